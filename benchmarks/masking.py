"""What does a vision transformer recognise when it may see only a part?

Precision@5 and @10 of unseen people under four masks. Half of each person's photos are the gallery;
the other half ask. The gallery shows everything, or is masked like the queries ("alike"): what is
lost against a plain gallery is partly that queries and gallery are unlike. Beside the attention
masks: queries with an occlusion over mouth or eyes, and the time that hidden patches cost when they
are masked and when they are taken out.
"""

import json
import sys
import time

import numpy as np
import torch

from helpers import course, metrics
from helpers.aligned_set import FaceArray
from helpers.attention import REGIONS, attention_mask, hidden_removed, region, visible_patches
from helpers.augment import MaskAugmentation
from helpers.encoders import Encoder, embed
from helpers.gallery import Gallery
from helpers.splits import split_photos

from .recognition import asked_for


def main(arguments: list[str]) -> None:
    """Enrol, ask under every mask, and print the table."""
    _, encoder, data = asked_for("masking", __doc__, arguments, course.SHIPPED_VIT)
    if not hasattr(encoder.net, "patch_embed"):
        sys.exit(
            f"The encoder '{encoder.settings['name']}' is no vision transformer, so there is "
            f"nothing to mask."
        )
    result = measure(encoder, data.probe, data.probe_labels)
    print(f"{len(data.probe)} photos of {len(np.unique(data.probe_labels))} people")
    print_table(result)
    masked, removed = seconds(encoder)
    print(
        f"\nHalf of the patches hidden: {removed / masked:.2f} of the time when they are taken "
        f"out instead of masked"
    )
    print(
        json.dumps(
            {
                name: {f"p@{k}": round(float(row[k].mean()), 4) for k in (5, 10)}
                for name, row in result["rows"].items()
            }
            | {
                "chance": round(result["chance"], 4),
                "removed_over_masked": round(removed / masked, 3),
            }
        )
    )


def measure(encoder: Encoder, faces: FaceArray, labels: np.ndarray, seed: int = 0) -> dict:
    """Precision of each query under each mask and cover, with who asked and what chance gives."""
    asked = split_photos(labels, share=0.5, seed=seed)
    gallery = Gallery(encoder.dim)
    gallery.enrol(encoder, faces[~asked], labels[~asked].tolist(), mirror=False)
    queries, asking, grid = faces[asked], labels[asked], encoder.net.patch_embed.grid_size[0]
    rows = {}
    for name in REGIONS:
        mask = attention_mask(visible_patches(region(name), grid))
        masked = embed(encoder, queries, mirror=False, attn_mask=mask)
        rows[name] = precisions(gallery, masked, asking)
        if name != "all":
            alike = Gallery(encoder.dim)
            alike.enrol(
                encoder, faces[~asked], labels[~asked].tolist(), mirror=False, attn_mask=mask
            )
            rows[f"{name}_alike"] = precisions(alike, masked, asking)
    for part in ("lower", "upper"):
        torch.manual_seed(seed)
        covered = MaskAugmentation(1, (part,))(torch.as_tensor(queries), None)[0]
        rows[f"cover_{part}"] = precisions(gallery, embed(encoder, covered, mirror=False), asking)
    return {"rows": rows, "people": asking, "chance": gallery.precision_by_chance(asking)}


def precisions(
    gallery: Gallery, embeddings: np.ndarray, labels: np.ndarray
) -> dict[int, np.ndarray]:
    """Precision@5 and @10 of each query."""
    return {k: gallery.precision_at(k, embeddings, labels) for k in (5, 10)}


def print_table(result: dict) -> None:
    """The table for people, with intervals over people."""
    print(f"{'':14s}" + "".join(f"{f'precision@{k}':>14s}   95 % interval " for k in (5, 10)))
    for name, row in result["rows"].items():
        print(
            f"{name:14s}"
            + "".join(
                "{:14.3f}   {:.3f} to {:.3f}".format(
                    row[k].mean(), *metrics.interval(row[k], result["people"])
                )
                for k in (5, 10)
            )
        )
    print(f"{'chance':14s}{result['chance']:14.3f}")


def seconds(encoder: Encoder, photos: int = 32, repetitions: int = 5) -> tuple[float, float]:
    """Seconds for a batch with half of its patches masked, and with the same half taken out.

    The best of several.
    """
    faces = torch.randint(0, 256, (photos, 3, encoder.size, encoder.size), dtype=torch.uint8)
    visible = torch.arange(encoder.net.patch_embed.num_patches) % 2 == 0
    times = {}
    for _ in range(repetitions):
        for name in ("masked", "removed"):
            started = time.perf_counter()
            if name == "masked":
                embed(encoder, faces, mirror=False, attn_mask=attention_mask(visible))
            else:
                with hidden_removed(encoder.net, visible):
                    embed(encoder, faces, mirror=False)
            times[name] = min(times.get(name, np.inf), time.perf_counter() - started)
    return times["masked"], times["removed"]
