"""What a cell of a notebook shows of a figure: one picture, small, with a text for those who
cannot see it."""

import base64
import io

from IPython.display import display
from matplotlib.figure import Figure

FORMATS = {
    "image/png": {"format": "png", "pil_kwargs": {"optimize": True}},
    "image/jpeg": {
        "format": "jpeg",
        "pil_kwargs": {"quality": 75, "subsampling": 0, "optimize": True},
    },
}


def encoded(figure: Figure) -> tuple[str, bytes]:
    """A figure as a picture: PNG, or JPEG where that is less than half as large, as for photos.

    Returns:
        The MIME type and the bytes of the file.
    """
    files = {}
    for kind, options in FORMATS.items():
        file = io.BytesIO()
        figure.savefig(file, bbox_inches="tight", facecolor="white", **options)
        files[kind] = file.getvalue()
    kind = "image/jpeg" if 2 * len(files["image/jpeg"]) < len(files["image/png"]) else "image/png"
    return kind, files[kind]


def alt_text(figure: Figure) -> str:
    """The titles of a figure and of its axes, and what the axes show, as one line of text."""
    texts = [figure.get_suptitle()]
    for axis in figure.axes:
        texts.append(axis.get_title())
        if axis.get_xlabel() and axis.get_ylabel():
            texts.append(f"{axis.get_ylabel()} against {axis.get_xlabel()}")
    texts = [text.replace("\n", " ").replace(r"\$", "$") for text in texts if text]
    return "; ".join(dict.fromkeys(texts)) or "figure"


def show_in_notebook(figure: Figure) -> None:
    """Display a figure in a notebook, with an alt text in the place where nbconvert looks for it.

    `jupyter nbconvert --to html --template classic` hands the alt text on; JupyterLab and the
    other templates leave it out (nbconvert pull request 1112).
    """
    kind, content = encoded(figure)
    data = {kind: base64.b64encode(content).decode(), "text/plain": alt_text(figure)}
    display(data, raw=True, metadata={kind: {"alt": alt_text(figure)}})
