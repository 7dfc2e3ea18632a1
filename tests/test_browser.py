"""Notebook 5 as a person uses it: JupyterLab in headless Chromium, a photo uploaded, the slider moved.

Skipped, with the reason, where Chromium or Playwright is missing: `apt install chromium && pip install playwright`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from helpers.faces import orl

ROOT = Path(__file__).parents[1]
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MINUTES = 60_000  # milliseconds


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of notebook 5 in a JupyterLab of its own, on a copy: the project's notebook stays as it is."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed here, so nobody clicks through notebook 5")
    folder = tmp_path_factory.mktemp("lab")
    for name in ("helpers", "models", "data", "runs", "test_images"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "5_pipeline.ipynb", folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTERLAB_SETTINGS_DIR",
    )
    own = {kind: str(folder / kind.lower()) for kind in kinds}
    for name, setting in {
        "notebook-extension/tracker": '{"windowingMode": "none"}',  # cells out of sight stay on the page
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    }.items():
        path = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
        path.parent.mkdir(parents=True)
        path.write_text(setting)
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
        "--IdentityProvider.token=",
    ]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=os.environ | own, stdout=log, stderr=log)
    for _ in range(120):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api").close()
            break
        except OSError:
            time.sleep(0.5)
    yield f"http://127.0.0.1:{port}/lab/tree/5_pipeline.ipynb"
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def page(lab):
    """Notebook 5, run from top to bottom in Chromium."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright is installed here: pip install playwright"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.goto(lab)
        page.locator(".jp-CodeCell").first.wait_for(timeout=2 * MINUTES)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=2 * MINUTES)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('.lm-Menu-itemLabel:text-is("Run All Cells")').click()
        yield page
        browser.close()


def test_the_slider_and_an_upload_change_the_verdicts(page, tmp_path):
    summary = page.get_by_text(re.compile(r"^\d+ of \d+ pairs pass"))
    summary.wait_for(
        timeout=5 * MINUTES
    )  # the cells before it train a little if no notebook has run yet
    before = summary.inner_text()
    move_slider(page, "End", before)
    assert passed(summary.inner_text()) > passed(before), (
        "more pairs pass where more false matches are tolerated"
    )

    Image.fromarray(astronaut()).save(tmp_path / "Ада 1.png")
    Image.fromarray(astronaut()[:, ::-1].copy()).save(tmp_path / "Ада 2.png")
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    upload(page, [tmp_path / name for name in ("Ада 1.png", "Ада 2.png", "paper.jpg")])
    page.get_by_text("1 of 1 pairs pass").wait_for(timeout=MINUTES)
    page.get_by_text("paper.jpg: not a picture").wait_for()
    look(page, summary, "browser_upload.png")


def test_the_slider_answers_at_once_with_fifty_faces(page, tmp_path):
    faces = orl()
    with zipfile.ZipFile(tmp_path / "fifty.zip", "w") as archive:
        for number in range(50):
            Image.fromarray(faces.photo(3 * number).permute(1, 2, 0).numpy()).save(
                tmp_path / f"{number}.png"
            )
            archive.write(tmp_path / f"{number}.png", f"{number}.png")
    upload(page, [tmp_path / "fifty.zip"])
    summary = page.get_by_text(re.compile(r"^\d+ of 1225 pairs pass"))
    summary.wait_for(timeout=MINUTES)
    seconds = [
        move_slider(page, key, summary.inner_text()) for key in ("Home", "End", "Home", "End")
    ]
    print(f"the slider is answered in {np.median(seconds):.2f} s")
    assert np.median(seconds) < 1  # 0.3 s on a quiet machine
    look(page, summary, "browser_fifty.png")


def test_a_face_that_is_picked_gets_its_name(page):
    page.get_by_role("button", name="face 2", exact=True).click()
    page.locator(".widget-toggle-button.mod-active", has_text="face 2").wait_for()
    assert page.get_by_text(re.compile(r"^(s\d+|unknown), similarity")).last.is_visible()


def move_slider(page, key, before):
    """Press a key on the slider and wait until the summary is another one; the seconds it took."""
    page.locator(".widget-slider [split=slider]").first.focus()
    started = time.perf_counter()
    page.keyboard.press(key)
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=before)
    return time.perf_counter() - started


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
