"""What one notebook hands to the next; where that is missing, a small version is made on the spot, and said so."""

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file

from .encoders import Encoder, weights_id
from .files import write_atomically, write_text
from .folders import picture_files
from .landmarks import StackedHourglass
from .other_encoders import OTHERS, onnx_encoder, other_encoder
from .settings import load_settings
from .splits import split_faces
from .verification import Verifier

MODELS = Path(__file__).parents[1] / "models"
SHIPPED_HOURGLASS, SHIPPED_RECOGNISER = (
    MODELS / "hourglass.safetensors",
    MODELS / "recogniser.safetensors",
)
SHIPPED_VIT = MODELS / "vit.safetensors"


def save_model(model, path, half=False, **notes):
    """One safetensors file with the weights, the settings that rebuild the model, and notes, all as text.

    half: matrices in float16, which halves the file; the norms' vectors, whose range may be larger, stay in float32.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    if half:
        weights = {
            name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()
        }
    labels = {
        "settings": json.dumps(model.settings),
        **{key: str(note) for key, note in notes.items()},
    }
    write_atomically(path, lambda part: save_file(weights, part, metadata=labels))


def load_model(kind, path, device="cpu"):
    """A StackedHourglass or an Encoder as save_model wrote it, ready to use."""
    try:
        with safe_open(path, "pt") as file:
            model = kind(**json.loads(file.metadata()["settings"]))
        model.load_state_dict(load_file(path))
    except Exception as error:
        raise ValueError(
            f"{path} is no {kind.__name__} that this course saved, or it is missing or cut short "
            f"({type(error).__name__}); make it anew, or fetch the repository anew if it ships."
        ) from None
    return model.to(device).eval()


def save_note(path, **notes):
    """Add notes to a model that is saved already, such as the thresholds that were measured for it."""
    with safe_open(path, "pt") as file:
        labels = file.metadata() | {key: str(note) for key, note in notes.items()}
    weights = load(
        Path(path).read_bytes()
    )  # not memory-mapped, or Windows would not replace the file
    write_atomically(path, lambda part: save_file(weights, part, metadata=labels))


def load_encoder(source, device="cpu"):
    """An encoder by the path of a file that save_model wrote, by an ONNX file, or by a name: sface, dlib, facenet."""
    if str(source) in OTHERS:
        return other_encoder(str(source)).to(device)
    if ".onnx" in Path(source).name:
        return onnx_encoder(str(source))
    return load_model(Encoder, source, device)


def thresholds_file(source):
    """Where thresholds are kept of an encoder that has no file of this course: beside the data."""
    return (
        Path(load_settings().data_dir)
        / "thresholds"
        / f"{Path(source).name.partition(':')[0]}.json"
    )


def save_verifier(source, verifier):
    """Keep the thresholds that were measured for an encoder: in its own file, or beside the data for a borrowed one."""
    if str(source) in OTHERS or ".onnx" in Path(source).name:
        write_text(thresholds_file(source), verifier.to_text())
    else:
        save_note(source, verifier=verifier.to_text())


def load_verifier(path):
    """The thresholds and probabilities that were measured for an encoder and saved with it."""
    if str(path) in OTHERS or ".onnx" in Path(path).name:
        text = (
            thresholds_file(path).read_text(encoding="utf-8")
            if thresholds_file(path).exists()
            else None
        )
    else:
        with safe_open(path, "pt") as file:
            text = file.metadata().get("verifier")
    if text is None:
        raise ValueError(
            f"{path} has no thresholds with it: measure some on people it was not trained on, with "
            f"python -m helpers evaluate PEOPLE --encoder {path} --keep."
        )
    return Verifier.from_text(text)


def trained_hourglass_path(settings):
    """Where notebook 1 leaves its hourglass."""
    return settings.run_dir / "hourglass.safetensors"


def recogniser_path(settings):
    """Where notebook 3 leaves the recogniser that the pipeline uses."""
    return settings.run_dir / "recogniser.safetensors"


def new_hourglass(settings):
    """An untrained hourglass as the settings describe it, with the first weights that the seed gives."""
    torch.manual_seed(settings.seed)
    return StackedHourglass(settings.channels, settings.stacks).to(settings.torch_device).eval()


def hourglass(settings):
    """The hourglass that aligns faces: the shipped one, notebook 1's own, a file's, or None: MTCNN's landmarks."""
    if settings.hourglass == "mtcnn":
        return None
    path = {"shipped": SHIPPED_HOURGLASS, "trained": trained_hourglass_path(settings)}.get(
        settings.hourglass, settings.hourglass
    )
    if settings.hourglass == "trained" and not path.exists():
        raise FileNotFoundError(
            f"FACES_HOURGLASS is 'own', but {path} is missing: run notebook 1 first."
        )
    return load_model(StackedHourglass, path, settings.torch_device)


def hourglass_id(model):
    """A line that stands for what finds the landmarks: an hourglass with just these weights, or MTCNN (None)."""
    return "MTCNN" if model is None else f"hourglass {weights_id(model)}"


def aligned_folder(settings):
    """Where the aligned faces of the dataset's people are kept."""
    people = settings.people + settings.probe_people + settings.distractor_people
    name = f"{settings.dataset_name}_{'listed' if settings.split else f'top{people}'}"
    if settings.hourglass != "shipped":
        name += f"_{Path(settings.hourglass).stem}"
    return Path(settings.data_dir) / "aligned" / name


def new_encoder(settings, **options):
    """The encoder that the settings name, with the first weights that the seed gives, or those that the settings name."""
    torch.manual_seed(settings.seed)
    return Encoder(
        settings.encoder, settings.embedding, settings.encoder_size, settings.weights, **options
    ).to(settings.torch_device)


def new_vit(settings):
    """The vision transformer of notebook 4 with the weights that the settings name; "none": small and untrained."""
    if settings.vit_weights == "imagenet":
        return Encoder(settings.vit, None, 224, weights="imagenet").to(settings.torch_device).eval()
    if settings.vit_weights == "none":
        torch.manual_seed(settings.seed)
        small = {"img_size": 112, "patch_size": 14, "depth": 4, "embed_dim": 128, "num_heads": 4}
        return (
            Encoder(settings.vit, None, 112, hide=("all", "head", "face"), **small)
            .to(settings.torch_device)
            .eval()
        )
    path = SHIPPED_VIT if settings.vit_weights == "shipped" else settings.vit_weights
    return load_model(Encoder, path, settings.torch_device)


def photo_folder(settings, names, each=3):
    """`test_images/` if the user put pictures there, else a folder of sample photos of the given strangers' names."""
    own = Path("test_images")
    if own.is_dir() and picture_files(own):
        return own
    folder = settings.run_dir / "sample_photos"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    probe = split_faces(settings)[1]
    for name in names:
        of_one = probe.of_people([probe.names.index(name)])
        for k in range(min(each, len(of_one))):
            Image.fromarray(of_one.photo(k).permute(1, 2, 0).numpy()).save(
                folder / f"{name}_{k + 1}.png"
            )
    return folder
