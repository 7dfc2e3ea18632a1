"""Train the hourglass that ships, on landmarks set by hand.

    python -m helpers.train_hourglass --data PHOTOS LANDMARKS.csv --out mine.safetensors

`--data` may be given more than once. A stopped training goes on where it was when the same command
is given again.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from .alignment import WIDEN
from .augment import Compose, Degrade, Jitter
from .face_array import FaceArray
from .face_set import FaceSet
from .faces import celeba, photos_with_landmarks
from .files import enough_room, to_csv, write_text
from .landmark_set import crops_in_pieces
from .landmarks import CROP, HeatmapLoss, nme, predict_landmarks
from .model_files import save_model
from .networks import new_hourglass
from .setting_flags import add_flags, settings_of
from .settings import Settings
from .training import fit

# side of the crops kept on disk, pixels: 128 are cut from their middle, and when turned most of
# these show real surroundings
ROOM = 176
# the settings that are flags
FLAGS = (
    "channels",
    "grow",
    "stacks",
    "sigma",
    "landmark_epochs",
    "batch_size",
    "lr",
    "seed",
    "device",
    "runs_dir",
)
MOST_WATCHED = 2000  # photos held out that the curves look at


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.train_hourglass", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--data",
        nargs=2,
        action="append",
        default=[],
        metavar=("PHOTOS", "LANDMARKS.csv"),
        help="a folder of photos and a CSV of landmarks in them; may be given more than once",
    )
    parser.add_argument(
        "--celeba", metavar="DATA_DIR", help="learn from CelebA, in DATA_DIR/celeba"
    )
    parser.add_argument(
        "--rows",
        default="train",
        help='the rows to learn from, by their column split; "" for all (default: %(default)s)',
    )
    # what --rows was called before, which is now the name of a setting
    parser.add_argument("--split", dest="rows", help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    add_flags(parser, *FLAGS, command="train_hourglass", before={"landmark_epochs": "--epochs"})
    parser.add_argument(
        "--polish",
        type=int,
        default=5,
        help="last epochs, milder (default: %(default)s)",
    )
    parser.add_argument("--run", help="folder of the run (default: shipped_hourglass in runs_dir)")
    parser.add_argument(
        "--out", required=True, help="where the weights go; FACES_HOURGLASS may name them then"
    )
    try:
        options = parser.parse_args(arguments)
        train_hourglass(options, settings_of(options, "train_hourglass"))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{error}")


def train_hourglass(options: argparse.Namespace, settings: Settings) -> None:
    """Learn landmarks set by hand, in every turn, size and quality, then polish on milder changes.

    A twentieth of each set's people is held out, for the curves.

    Args:
        options: what to learn from, where the run lies and where the weights go, see `main`.
        settings: those named in FLAGS are used.

    Raises:
        ValueError: there is nothing to learn from.
    """
    folder = options.run or str(Path(settings.runs_dir) / "shipped_hourglass")
    crops, landmarks, held_out = gather(_photos(options), folder, settings.torch_device)
    watched = torch.nonzero(held_out)[:MOST_WATCHED, 0]
    evaluate = _held_out_nme(crops[watched], landmarks[watched])
    model = new_hourglass(settings)
    crops, landmarks = FaceArray(crops.array, crops.rows[~held_out.numpy()]), landmarks[~held_out]
    wild = Compose(Jitter(45, 0.2, 0.07, crop=CROP), Degrade())
    mild = Compose(Jitter(30, 0.1, 0.05, crop=CROP), Degrade(tint=0.15, blur=1.0, noise=4))
    stages = (
        (folder, wild, settings.landmark_epochs, settings.lr),
        (f"{folder}_polish", mild, options.polish, settings.lr / 8),
    )
    for folder, augment, epochs, lr in [stage for stage in stages if stage[2]]:
        run = fit(
            model,
            HeatmapLoss(settings.sigma),
            crops,
            landmarks,
            folder,
            epochs=epochs,
            lr=lr,
            seed=settings.seed,
            batch_size=settings.batch_size,
            augment=augment,
            evaluate=evaluate,
        )
        error, minutes = run.history[-1]["nme"], run.seconds / 60
        print(f"{run.folder}: NME of the photos held out {error:.4f}, {minutes:.0f} minutes")
    if PartialState().is_main_process:
        notes = {"seed": settings.seed, "sigma": settings.sigma, "polish": options.polish}
        save_model(model, options.out, epochs=settings.landmark_epochs, **notes)
        print(f"{options.out}: {Path(options.out).stat().st_size / 1e6:.1f} MB")
    PartialState().destroy_process_group()


def _held_out_nme(crops, landmarks):
    """The function `evaluate` of `fit`: the NME on these crops, cut to 128x128 and not moved."""
    crops, landmarks = Jitter(0, 0, 0, False, 0, CROP)(crops, landmarks)
    crops = crops.round().byte()
    return lambda net: {"nme": nme(predict_landmarks(net, crops, True)[0], landmarks).mean()}


def _photos(options):
    """The FaceSets that the command line names."""
    parts = [photos_with_landmarks(*pair, options.rows) for pair in options.data]
    if options.celeba:
        parts.append(celeba(options.celeba, options.rows or None))
    if not parts:
        raise ValueError(
            "There is nothing to learn from: give --data PHOTOS LANDMARKS.csv or --celeba DATA_DIR."
        )
    return parts


def gather(
    parts: list[FaceSet], folder: str, device: torch.device
) -> tuple[FaceArray, torch.Tensor, torch.Tensor]:
    """Cut out the heads of all photos, and hold every twentieth person out.

    The crops of all of CelebA take 19 GB, so they lie in a file beside the run and are read when
    indexed.

    Args:
        parts: photos with landmarks.
        folder: of the run; the files lie beside it.
        device: where the detector works.

    Returns:
        Crops, uint8 (N, 3, 176, 176), landmarks (N, 5, 2), and which are held out (N,).
    """
    landmarks, skipped, held_out = [], [], []
    rank = os.environ.get("RANK", "")  # each process writes its own
    path = Path(f"{folder}_crops{rank}.bin")
    path.parent.mkdir(parents=True, exist_ok=True)
    with enough_room(path), open(path, "wb") as file:
        for faces in parts:
            bad = {}
            pieces = crops_in_pieces(faces, ROOM, WIDEN * ROOM / CROP, device)
            for cut, five, some_bad in pieces:
                file.write(cut.numpy().tobytes())
                landmarks.append(five)
                bad |= some_bad
            print(f"{faces.name}: {len(faces) - len(bad)} photos, {len(bad)} skipped")
            held_out.append(hold_out(faces.labels[[i for i in range(len(faces)) if i not in bad]]))
            skipped += [(faces.files[i], why) for i, why in bad.items()]
    write_text(Path(f"{folder}_skipped.csv"), to_csv([("photo", "why"), *skipped]))
    if not len(landmarks) or not sum(map(len, landmarks)):
        raise ValueError(f"None of the photos can be learned from; {folder}_skipped.csv tells why.")
    landmarks, held_out = torch.cat(landmarks), torch.cat(held_out)
    crops = np.memmap(path, np.uint8, "r", shape=(len(landmarks), 3, ROOM, ROOM))
    return FaceArray(crops, np.arange(len(landmarks))), landmarks, held_out


def hold_out(labels: np.ndarray) -> torch.Tensor:
    """Which photos (N,) are held out: all of every twentieth person.

    Of fewer than 20 people, it is every twentieth photo.
    """
    known, number = np.unique(labels, return_inverse=True)
    return torch.from_numpy((number if len(known) >= 20 else np.arange(len(labels))) % 20 == 0)


if __name__ == "__main__":
    main()
