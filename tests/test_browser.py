"""Notebook 5 as a person uses it: JupyterLab in Chromium, a photo uploaded, the slider moved.

Skipped, with the reason, where Chromium or Playwright is missing: `apt install chromium` and
`pip install playwright`.
"""

import re
import zipfile

import pytest
from in_browser import (
    CHROMIUM,
    MINUTES,
    ROOT,
    browser_page,
    jupyter_lab,
    move_slider,
    run_all_cells,
)
from PIL import Image
from skimage.data import astronaut

from helpers.faces import orl

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Notebook 5, run from top to bottom in JupyterLab in Chromium."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed here, so nobody clicks through notebook 5")
    pytest.importorskip(
        "playwright.sync_api", reason="no Playwright is installed here: pip install playwright"
    )
    with jupyter_lab(tmp_path_factory.mktemp("lab")) as address, browser_page() as page:
        run_all_cells(page, address)
        yield page


def test_the_slider_and_an_upload_change_the_verdicts(page, tmp_path):
    summary = page.get_by_text(re.compile(r"^\d+ of \d+ pairs pass"))
    # the cells before it train a little if no notebook has run yet
    summary.wait_for(timeout=15 * MINUTES)
    before = summary.inner_text()
    move_slider(page, "End", before)
    assert passed(summary.inner_text()) > passed(before), (
        "more pairs pass where more false matches are tolerated"
    )

    Image.fromarray(astronaut()).save(tmp_path / "Ада 1.png")
    Image.fromarray(astronaut()[:, ::-1].copy()).save(tmp_path / "Ада 2.png")
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    upload(page, [tmp_path / name for name in ("Ада 1.png", "Ада 2.png", "paper.jpg")])
    page.get_by_text("1 of 1 pairs pass").wait_for(timeout=5 * MINUTES)
    page.get_by_text("paper.jpg: not a picture").wait_for()
    look(page, summary, "browser_upload.png")


def test_the_slider_answers_with_fifty_faces(page, tmp_path):
    faces = orl()
    with zipfile.ZipFile(tmp_path / "fifty.zip", "w") as archive:
        for number in range(50):
            Image.fromarray(faces.photo(3 * number).permute(1, 2, 0).numpy()).save(
                tmp_path / f"{number}.png"
            )
            archive.write(tmp_path / f"{number}.png", f"{number}.png")
    upload(page, [tmp_path / "fifty.zip"])
    summary = page.get_by_text(re.compile(r"^\d+ of 1225 pairs pass"))
    summary.wait_for(timeout=5 * MINUTES)
    for key in ("Home", "End", "Home"):
        move_slider(page, key, summary.inner_text())
    look(page, summary, "browser_fifty.png")


def test_a_face_that_is_picked_gets_its_name(page):
    page.get_by_role("button", name="face 2", exact=True).click()
    page.locator(".widget-toggle-button.mod-active", has_text="face 2").wait_for()
    assert page.get_by_text(re.compile(r"^(s\d+|unknown), similarity")).last.is_visible()


def upload(page, paths):
    """Choose files as a person would."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="your photos").click()
    chooser.value.set_files(paths)


def look(page, what, name):
    """Leave a picture in outputs/, to look at."""
    what.scroll_into_view_if_needed()
    (ROOT / "outputs").mkdir(exist_ok=True)
    page.screenshot(path=ROOT / "outputs" / name)


def passed(sentence):
    """How many pairs the summary says pass."""
    return int(sentence.split()[0])
