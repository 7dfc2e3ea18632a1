"""Photos for notebook 5: the reader's own, or samples of the dataset."""

import shutil
from pathlib import Path

from PIL import Image

from .folders import picture_files
from .settings import Settings
from .splits import split_faces


def photo_folder(settings: Settings, names: list[str], each: int = 3) -> Path:
    """`test_images/` if there are pictures in it, else a folder of sample photos.

    Args:
        settings: the dataset from which samples are taken.
        names: probe identities whose photos are taken.
        each: photos of each of them, at most.
    """
    given = Path("test_images")
    if given.is_dir() and picture_files(given):
        return given
    folder = settings.run_dir / "sample_photos"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    probe = split_faces(settings)[1]
    for name in names:
        photos = probe.of_people([probe.names.index(name)])
        for k in range(min(each, len(photos))):
            picture = Image.fromarray(photos.photo(k).permute(1, 2, 0).numpy())
            picture.save(folder / f"{name}_{k + 1}.png")
    return folder
