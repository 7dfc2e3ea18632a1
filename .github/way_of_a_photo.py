"""Draw way_of_a_photo.png: `PYTHONPATH=. python .github/way_of_a_photo.py`.

One photo through all stations of the course, from pixels to an answer. It shows NASA's photo of
Eileen Collins (public domain, in scikit-image) beside people of ORL.
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot as plt
from skimage import data, transform

from helpers.faces import orl
from helpers.model_files import SHIPPED_RECOGNISER, load_encoder, load_verifier
from helpers.networks import hourglass
from helpers.pipeline import FacePipeline
from helpers.settings import load_settings

BLUE, ORANGE = "#0072b2", "#e69f00"  # Okabe and Ito's, told apart by everybody


def as_photo(array):
    """A picture (H, W, 3) of 0 to 255 as a uint8 photo (3, H, W)."""
    return torch.from_numpy(array).permute(2, 0, 1).to(torch.uint8)


def photos():
    """The astronaut, the same photo turned and greyed, and three people of ORL."""
    astronaut = data.astronaut()
    turned = 255 * transform.rotate(astronaut, 12, mode="edge")
    grey = turned.mean(2, keepdims=True).repeat(3, 2)
    people = orl()
    return [as_photo(astronaut), as_photo(grey), *(people.photo(i) for i in (70, 0, 130))]


def draw(faces, photo, threshold):
    """The five panels: photo, aligned face, embedding, and the others with their similarities."""
    first, others = faces[0], faces[1:]
    figure = plt.figure(figsize=(9, 2.9))
    grid = figure.add_gridspec(2, 5, width_ratios=(2, 2, 2, 1, 1), hspace=0.3, wspace=0.12)
    axes = [figure.add_subplot(grid[:, k]) for k in range(3)]
    axes[0].imshow(photo.permute(1, 2, 0)[:400, 40:440])
    x0, y0, x1, y1 = first.box - (40, 0, 40, 0)
    axes[0].add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=ORANGE, lw=2))
    axes[0].scatter(*(first.landmarks - (40, 0)).T, s=9, color=BLUE)
    axes[0].set_title("photo, box, five landmarks", fontsize=9)
    axes[1].imshow(first.face.permute(1, 2, 0))
    axes[1].set_title("aligned face, 112x112", fontsize=9)
    axes[2].imshow(first.embedding.reshape(8, 16).T, cmap="PuOr", aspect=0.5)
    axes[2].set_title(f"embedding, {len(first.embedding)} numbers", fontsize=9)
    for k, other in enumerate(others):
        axis = figure.add_subplot(grid[k // 2, 3 + k % 2])
        cosine = float(other.embedding @ first.embedding)
        same = cosine > threshold
        axis.imshow(other.face.permute(1, 2, 0))
        sign, colour = ("same ✓", BLUE) if same else ("other ✗", ORANGE)
        axis.set_title(f"{cosine:.2f} {sign}", fontsize=9)
        axes.append(axis)
        for side in axis.spines.values():
            side.set(color=colour, linewidth=3, linestyle="-" if same else "--")
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    figure.text(0.8, 0.965, f"same person? (above {threshold:.2f})", fontsize=9, ha="center")
    return figure


if __name__ == "__main__":
    matplotlib.use("Agg")
    pipeline = FacePipeline(hourglass(load_settings({})), load_encoder(SHIPPED_RECOGNISER))
    shown = photos()
    found = [faces[0] for faces in pipeline(shown, largest=True)]
    figure = draw(found, shown[0], load_verifier(SHIPPED_RECOGNISER).threshold(1e-3))
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, bbox_inches="tight")
