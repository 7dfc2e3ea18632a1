"""report.html of `arrange`: whole, without a connection, harmless whatever names photos have."""

import numpy as np
import pytest
import torch
from in_browser import CHROMIUM, ROOT, browser_page

from helpers.pipeline import Face
from helpers.report import PAIRS, write_report
from helpers.verdicts import clusters
from helpers.verification import Verifier

VERIFIER = Verifier([1e-3, 0.1], [0.9, 0.3], 10.0, -5.0, 500, 10**6)
EVIL = ["<script>alert(1)</script>", "<img src=x onerror=alert(2)>", 'a "b" & <c>', "Ада"]
LEFT_OUT = ["<b>wall</b>.png: no face was found", "paper.jpg: it is a PDF"]


@pytest.fixture
def report(tmp_path):
    """A page about eight photos of four people with names that would do harm."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(4, 16))
    embeddings = (centres[np.arange(8) // 2] + 0.2 * draw.normal(size=(8, 16))).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    pixels = torch.from_numpy(draw.integers(0, 256, (8, 3, 112, 112), np.uint8))
    box, landmarks = np.array([10.0, 10, 90, 90]), np.zeros((5, 2))
    faces = [Face(i, box, 1.0, landmarks, 2.0, pixels[i], embeddings[i]) for i in range(8)]
    faces[3].others = 2
    names = [f"{name}_{k}" for name in EVIL for k in (1, 2)]
    groups = clusters(embeddings @ embeddings.T, VERIFIER.threshold(0.1))
    path = tmp_path / "report.html"
    write_report(path, "<i>photos", names, faces, groups, VERIFIER, 0.1, LEFT_OUT)
    return path


def test_the_report_names_everything_and_escapes_every_name(report):
    page = report.read_text(encoding="utf-8")
    assert "8 photos with a face, 4 groups" in page and page.count("<h3>") == 4
    assert "3 faces, of which the largest is taken" in page
    assert "&lt;b&gt;wall&lt;/b&gt;.png: no face" in page and "paper.jpg: it is a PDF" in page
    assert "Undecided: the threshold" in page and "mean similarity" in page
    assert "<th>Ада_1</th>" in page and 'title="Ада_1 and Ада_2"' in page
    for markup in ("<script", "<img src=x", "<b>wall", "<i>photos", "http"):
        assert markup not in page


def test_a_single_photo_makes_a_report_too(tmp_path):
    face = Face(
        0,
        np.array([0.0, 0, 50, 50]),
        1.0,
        np.zeros((5, 2)),
        1.0,
        torch.zeros(3, 112, 112, dtype=torch.uint8),
        np.eye(1, 8, dtype=np.float32)[0],
    )
    write_report(tmp_path / "one.html", "f", ["a"], [face], np.zeros(1, int), VERIFIER, 0.1, [])
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "There is only one photo" in page and "Group 0: 1 photo<" in page


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed here")
def test_the_report_opens_in_a_browser_with_every_picture_and_nothing_from_elsewhere(report):
    pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    asked, alarms = [], []
    with browser_page(1000, 1400) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))
        page.goto(report.as_uri())
        assert page.locator("h1").inner_text() == "Who is who in <i>photos/"
        assert page.locator(".matrix tr").count() == 9 and page.locator("figure").count() == 8
        assert page.locator(".pairs tr").count() == 1 + PAIRS
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert page.get_by_text("<b>wall</b>.png: no face was found").is_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 1000, "the page needs no sideways scrolling"
        (ROOT / "outputs").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "outputs" / "browser_report.png", full_page=True)
    assert not alarms and not [url for url in asked if not url.startswith(("file:", "data:"))]
