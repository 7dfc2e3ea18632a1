"""What a photo's name claims: the person it shows."""

import re
import unicodedata

from .folders import is_picture

# what cameras and phones call their photos: such a name claims to show nobody
CAMERA = re.compile(
    r"((?i:_?IMG|_?DSC[A-Z]?|_MG|DCIM|PXL|MVIMG|PANO|VID|MOV|IMAGE?|PICT?|PICTURE|PHOTO|FOTO"
    r"|SCREENSHOT|SCAN|FB_IMG|RECEIVED|SNAPCHAT|BURST|CIMG|HPIM|GOPR|DJI|CAPTURE|WEBCAM|SIGNAL)"
    r"|P\d{5,}|(19|20)\d{6})[\d_-]*"
)
# these as well, if four digits or more follow
SHORT_CAMERA = {"SAM", "WIN", "WP", "GP", "KIMG", "P", "DC"}


def person_in(name: str) -> str:
    """The person that a photo's name claims to show: `ada` of `ada_1`, `ada_1.jpg` or `x/ada_1`.

    A name without a number at its end stands for itself, and so does one that a camera gave, such
    as IMG_0001: no other photo claims the same person.
    """
    file = unicodedata.normalize("NFC", name.rpartition("/")[2])  # macOS writes accents apart
    stem = file.rpartition(".")[0] if is_picture(file) else file
    person, _, number = stem.rpartition("_")
    if not person or not number.isdecimal():
        return name
    by_camera = CAMERA.fullmatch(person) or (person in SHORT_CAMERA and len(number) >= 4)
    return name if by_camera else person
