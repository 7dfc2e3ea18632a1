"""A headless Chromium and a JupyterLab for it: for tests, and for the committed widget pictures."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

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
SETTINGS = {
    # cells out of sight stay on the page
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}


@contextmanager
def browser_page(width=1400, height=1600):
    """A page of a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(5 * MINUTES)  # a busy machine takes its time
        yield page
        browser.close()


@contextmanager
def jupyter_lab(folder):
    """The address of a JupyterLab with a copy of notebook 5: the original stays as it is."""
    for name in ("helpers", "models", "data", "runs", "test_images", "docs"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "5_pipeline.ipynb", folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    places = {f"JUPYTER_{kind}": str(folder / kind.lower()) for kind in kinds}
    places["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "lab_settings")
    for name, setting in SETTINGS.items():
        path = folder / "lab_settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(setting)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--ip=127.0.0.1", "--IdentityProvider.token="]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | places, stdout=log, stderr=log
        )
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api").close()
            break
        except OSError:
            time.sleep(0.5)
    try:
        yield f"http://127.0.0.1:{port}/lab/tree/5_pipeline.ipynb"
    finally:
        server.terminate()
        server.wait(30)


def run_all_cells(page, address):
    """Open a notebook in JupyterLab and run it from top to bottom; returns while it still runs."""
    page.goto(address)
    page.locator(".jp-CodeCell").first.wait_for(timeout=5 * MINUTES)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=5 * MINUTES)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('.lm-Menu-itemLabel:text-is("Run All Cells")').click()


def move_slider(page, key, before):
    """Press a key on the slider and wait until the text `before` is gone; the seconds it took."""
    page.locator(".widget-slider [role=slider]").first.focus()
    started = time.perf_counter()
    page.keyboard.press(key)
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=before)
    return time.perf_counter() - started
