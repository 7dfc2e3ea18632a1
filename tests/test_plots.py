"""Figures change no setting of matplotlib, fit the page, and never tell by colour alone."""

import matplotlib
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from helpers import plots
from helpers.figure_output import alt_text, encoded

HISTORY = [
    {"epoch": e, "loss": 1 / (e + 1), "accuracy": 0.9, "held_out_accuracy": 0.5} for e in range(9)
]
FACES = np.zeros((4, 3, 112, 112), np.uint8)
RATES = {f"loss {k}": np.linspace(0, 1, 20) for k in range(7)}
SAME = np.arange(100) < 20


def figures():
    draw = np.random.default_rng(0)
    yield plots.curves({n: HISTORY for n in RATES}, {"loss": "loss", "accuracy": "accuracy"}, "t")
    yield plots.lines(np.arange(20), RATES, "x", "y", bands={"loss 0": (RATES["loss 1"],) * 2})
    yield plots.rate_curves(RATES, np.geomspace(0.001, 1, 20), "t")
    yield plots.bars({n: 0.5 for n in RATES}, "TPR", "t", {n: (0.4, 0.6) for n in RATES})
    yield plots.dots({n: 0.5 for n in RATES}, {n: (0.4, 0.6) for n in RATES}, "TPR", "t")
    yield plots.similarity_histograms({n: (draw.uniform(-1, 1, 100), SAME) for n in RATES})
    yield plots.scatter_people(draw.normal(size=(30, 2)), np.repeat(np.arange(10), 3))
    yield plots.pictures(list(FACES) * 4, title="t")
    yield plots.neighbours(FACES, FACES[:, None].repeat(10, 1), np.arange(40).reshape(4, 10) % 2)
    yield plots.similarity_matrix(draw.random((20, 20)), list(FACES) * 5, range(20), "t", 0.5)
    yield plots.heatmaps(FACES[0], draw.random((5, 8, 8)), list("abcde"))


def test_figures_fit_the_page_and_leave_matplotlibs_settings_alone():
    before = dict(matplotlib.rcParams)
    for figure in figures():
        assert figure.get_figwidth() <= 9 and figure.dpi == 150
    assert dict(matplotlib.rcParams) == before


def test_lines_of_one_figure_differ_without_their_colours():
    for figure in (plots.lines(np.arange(20), RATES, "x", "y"), next(figures())):
        drawn = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
        signs = {
            (
                str(line.get_linestyle()),
                line._dash_pattern[1] and tuple(line._dash_pattern[1]),
                line.get_marker(),
            )
            for line in drawn
        }
        assert len(signs) == len(drawn) == len(RATES)


@pytest.mark.parametrize("right, sign", [(1, "✓"), (0, "✗")])
def test_a_verdict_is_a_tick_or_a_cross(right, sign):
    figure = plots.neighbours(FACES[:1], FACES[None], [[right] * 4])
    assert all(sign in axis.get_title() for axis in figure.axes[1:])


def test_a_notebook_shows_photos_as_jpeg_and_charts_as_png_each_with_an_alt_text():
    draw = np.random.default_rng(0)
    photos = plots.pictures(list(draw.integers(0, 256, (8, 3, 112, 112), np.uint8)), title="Eight")
    chart = plots.lines(np.arange(20), RATES, "x", "y", "Rates")
    assert encoded(photos)[0] == "image/jpeg" and encoded(chart)[0] == "image/png"
    assert alt_text(photos) == "Eight" and alt_text(chart) == "Rates; y against x"


def test_the_alt_text_stands_in_the_metadata_of_the_output():
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.display_formatter.format(plots.lines(np.arange(20), RATES, "x", "y", "Rates"))
    [output] = captured.outputs
    assert output.metadata == {"image/png": {"alt": "Rates; y against x"}}


def test_a_matrix_says_what_its_frames_mean():
    faces = list(FACES)[:2]

    def legend(*frames):
        figure = plots.similarity_matrix(np.eye(2), faces, "ab", "t", *frames)
        return [text.get_text() for box in figure.legends for text in box.get_texts()]

    assert legend() == []
    assert legend(0.321) == ["similarity above the threshold, 0.32"]
    assert legend(0.3, ["a", "a"])[1] == "one person, by the photos' names"
