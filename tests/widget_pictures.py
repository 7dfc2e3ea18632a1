"""Pictures of notebook 5's widgets, for readers on GitHub: python tests/widget_pictures.py

Writes docs/widget_compare.png, docs/widget_picker.png and .github/matrix.gif, with faces of ORL.
"""

import io
import tempfile
from pathlib import Path

import nbformat
from in_browser import MINUTES, ROOT, browser_page, jupyter_lab, move_slider, run_all_cells
from PIL import Image

CELL = """
import warnings; warnings.simplefilter("ignore")
import numpy as np
from helpers.faces import orl
from helpers.gallery import Gallery
from helpers.interactive import compare_app, picker_app
from helpers.sample_photos import tiled
from helpers.who_is_who import load_recogniser

pipeline, verifier = load_recogniser()
photos = orl()
people = [15, 16, 29, 31]
rows = [np.flatnonzero(photos.labels == person)[k] for person in people for k in range(3)]
faces = [faces[0] for faces in pipeline([photos.photo(i) for i in rows])]
names = [f"s{person + 1}_{k + 1}" for person in people for k in range(3)]
gallery = Gallery(pipeline.encoder.dim)
gallery.add(np.stack([faces[i].embedding for i in (0, 3, 6)]), ["s16", "s17", "s30"])
group = tiled([photos.photo(rows[i]) for i in (1, 4, 7, 10)], columns=4, side=200)
"""
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
APPS = (
    "compare_app(pipeline, verifier, faces, names)",
    "picker_app(pipeline, group, gallery, verifier)",
)


def main():
    """Run the two widgets in JupyterLab, look at them, and move the slider for the animation."""
    cells = [nbformat.v4.new_code_cell(source) for source in (CELL, *APPS)]
    with tempfile.TemporaryDirectory() as place, jupyter_lab(Path(place)) as address:
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, Path(place) / "5_pipeline.ipynb")
        with browser_page(1000, 2400) as page:
            run_all_cells(page, address)
            page.get_by_text("who is").wait_for(timeout=10 * MINUTES)
            page.wait_for_timeout(2000)
            compare, picker = (
                page.locator(".jp-OutputArea-output > .widget-vbox").nth(k) for k in (0, 1)
            )
            compare.screenshot(path=ROOT / "docs" / "widget_compare.png")
            picker.screenshot(path=ROOT / "docs" / "widget_picker.png")
            frames = slide(page, compare)
    save_gif(frames, ROOT / ".github" / "matrix.gif")


def slide(page, widget):
    """Frames of the widget while its slider moves from the strictest FPR to the laxest."""
    summary = widget.locator(".widget-html-content").first  # how many pass, at which threshold
    page.locator(".widget-slider [role=slider]").first.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(1500)
    frames = [frame(widget)]
    for _ in range(8):
        before = summary.inner_text()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        move_slider(page, "ArrowRight", before)
        page.wait_for_timeout(600)
        frames.append(frame(widget))
    return frames


def frame(widget):
    """What the widget shows now: the slider, the sentence and the matrix, without the table."""
    picture = Image.open(io.BytesIO(widget.screenshot())).convert("RGB")
    bottom = widget.locator("img").first.evaluate("image => image.offsetTop + image.offsetHeight")
    return picture.crop((0, 0, min(picture.width, 760), min(picture.height, bottom + 60)))


def save_gif(frames, path):
    """An animation that goes there and back, half a second a frame."""
    small = [one.resize((560, round(560 * one.height / one.width))) for one in frames]
    coloured = [one.quantize(96) for one in small + small[-2:0:-1]]
    coloured[0].save(path, save_all=True, append_images=coloured[1:], duration=600, loop=0)
    print(f"{path}: {len(coloured)} frames, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
