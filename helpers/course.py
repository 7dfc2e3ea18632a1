"""What one notebook hands to the next; where that is missing, a small version is made on the spot, and said so."""
import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from . import faces as face_sets
from . import metrics
from .aligned_set import build_aligned_set, read_images
from .augment import Jitter
from .encoders import Encoder, embed
from .files import write_atomically
from .landmarks import StackedHourglass
from .losses import MarginHead
from .photos import picture_files
from .training import fit

SHIPPED_HOURGLASS = Path(__file__).parents[1] / "models" / "hourglass.safetensors"
FPR = 0.01  # the tolerated share of false matches at which the course compares


def split(settings):
    """The dataset's people as (train, query, distractors), three FaceSets; their lists are saved as CSV."""
    parts = face_sets.split_people(face_sets.load_faces(settings.dataset, settings.data_dir), settings.people,
                                   settings.query_people, settings.distractor_people, settings.seed)
    for name, part in zip(("train", "query", "distractors"), parts):
        face_sets.save_people(part, settings.run_dir / f"people_{name}.csv")
    return parts


def save_model(model, path, **notes):
    """One safetensors file with the weights, the settings that rebuild the model, and notes, all as text."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    labels = {"settings": json.dumps(model.settings), **{key: str(note) for key, note in notes.items()}}
    write_atomically(path, lambda part: save_file(weights, part, metadata=labels))


def load_model(kind, path, device="cpu"):
    """A StackedHourglass or an Encoder as save_model wrote it, ready to use."""
    try:
        with safe_open(path, "pt") as file:
            model = kind(**json.loads(file.metadata()["settings"]))
        model.load_state_dict(load_file(path))
    except Exception as error:
        raise ValueError(f"{path} is no {kind.__name__} that this course saved, or it is missing or cut short "
                         f"({type(error).__name__}); make it anew, or fetch the repository anew if it ships.") from None
    return model.to(device).eval()


def own_hourglass_path(settings):
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
    """The hourglass that straightens faces: the shipped one, notebook 1's own, a file's, or None: MTCNN's points."""
    if settings.hourglass == "mtcnn":
        return None
    path = {"shipped": SHIPPED_HOURGLASS, "own": own_hourglass_path(settings)}.get(settings.hourglass, settings.hourglass)
    if settings.hourglass == "own" and not path.exists():
        raise FileNotFoundError(f"FACES_HOURGLASS is 'own', but {path} is missing: run notebook 1 first.")
    return load_model(StackedHourglass, path, settings.torch_device)


def maker_of(model):
    """A line that stands for what finds the points: an hourglass with just these weights, or MTCNN (None)."""
    if model is None:
        return "MTCNN"
    state = b"".join(tensor.cpu().contiguous().numpy().tobytes() for tensor in model.state_dict().values())
    return f"hourglass {zlib.crc32(state):08x}"


def aligned_folder(settings):
    """Where the straight faces of the dataset's people are kept."""
    people = settings.people + settings.query_people + settings.distractor_people
    name = f"{settings.dataset_name}_top{people}"
    if settings.hourglass != "shipped":
        name += f"_{Path(settings.hourglass).stem}"
    return Path(settings.data_dir) / "aligned" / name


@dataclass
class RecognitionData:
    """Straight faces uint8 (N, 3, 112, 112) with their people (N,).

    train and test: photos of the people trained on, numbered 0 to n_people - 1.  query and distractors: people
    never trained on, with numbers of their own.
    """
    train: torch.Tensor
    train_people: torch.Tensor
    test: torch.Tensor
    test_people: torch.Tensor
    query: torch.Tensor
    query_people: np.ndarray
    query_names: dict
    distractors: torch.Tensor
    distractor_people: np.ndarray

    @property
    def n_people(self):
        """How many people are trained on."""
        return int(self.train_people.max()) + 1


def recognition_data(settings):
    """The straight faces of the dataset in their roles; they are made first if no notebook has made them yet."""
    parts, model = split(settings), hourglass(settings)
    everyone = face_sets.load_faces(settings.dataset, settings.data_dir).top_people(
        settings.people + settings.query_people + settings.distractor_people)
    aligned = build_aligned_set(everyone, model, aligned_folder(settings), maker_of(model), settings.torch_device)
    images, names = read_images(aligned), np.array(aligned.names)[aligned.people]
    role = [np.isin(names, [part.names[p] for p in np.unique(part.people)]) for part in parts]
    people = np.unique(names[role[0]], return_inverse=True)[1]
    test = face_sets.split_photos(people, seed=settings.seed)
    faces = images[role[0]]
    if not test.any() or len(np.unique(names[role[1]])) < 2:
        raise ValueError(f"{settings.dataset} leaves too few straight faces: people to train on need two photos or more, "
                         f"and two people to ask for are needed; {aligned_folder(settings) / 'skipped.csv'} tells why.")
    numbers = torch.from_numpy(people)
    return RecognitionData(faces[~test], numbers[~test], faces[test], numbers[test],
                           images[role[1]], aligned.people[role[1]], dict(enumerate(aligned.names)),
                           images[role[2]], aligned.people[role[2]])


def new_encoder(settings):
    """The encoder that the settings name, with the first weights that the seed gives."""
    torch.manual_seed(settings.seed)
    return Encoder(settings.encoder, settings.embedding, settings.encoder_size).to(settings.torch_device)


def new_vit(settings):
    """The vision transformer that the settings name: with weights from the hub, or small and untrained."""
    if settings.vit_pretrained:
        return Encoder(settings.vit, None, 224, weights="imagenet").to(settings.torch_device).eval()
    torch.manual_seed(settings.seed)
    small = {"img_size": 112, "patch_size": 14, "depth": 4, "embed_dim": 128, "num_heads": 4, "patch_drop_rate": 0.3}
    return Encoder(settings.vit, None, 112, **small).to(settings.torch_device).eval()


def train_recogniser(name, loss, data, settings, encoder=None, **options):
    """Train an encoder on data.train with a loss; return (encoder, Run). The one recipe of notebooks 2 and 3.

    options go to `fit`: epochs, lr, batches and the like.
    """
    encoder = encoder or new_encoder(settings)
    recipe = dict(epochs=settings.epochs, batch_size=settings.batch_size, lr=1e-3, augment=Jitter(),
                  seed=settings.seed)
    loss.to(settings.torch_device)
    run = fit(encoder, loss, data.train, data.train_people, settings.run_dir / name, **recipe | options)
    return encoder, run


def figures(encoder, data, loss=None):
    """What an encoder is worth: a dict of numbers, the share at FPR 0.01 with its interval over people."""
    train, test = embed(encoder, data.train), embed(encoder, data.test)
    query = embed(encoder, data.query)
    pairs = metrics.pairs(query, data.query_people, embed(encoder, data.distractors), data.distractor_people)
    low, high = metrics.identification_interval(*pairs, FPR)
    found = metrics.retrieval(query, data.query_people)
    result = {"knn_accuracy": metrics.knn_accuracy(train, data.train_people, test, data.test_people),
              "tpr": float(metrics.identification_rate(*pairs[:2], FPR)[0]), "tpr_low": float(low), "tpr_high": float(high),
              **{key: float(found[key].mean()) for key in ("recall@1", "r_precision", "map@r")}}
    if hasattr(loss, "logits"):
        result["accuracy"] = classifier_accuracy(encoder, loss, data.test, data.test_people)
    return result


def comparison(runs):
    """The saved figures of runs as rows of a table, best identification rate first."""
    rows = []
    for run in sorted(runs, key=lambda run: -run.results["tpr"]):
        r = run.results
        rows.append({"run": run.folder.name, "accuracy": r.get("accuracy", ""), "kNN accuracy": r["knn_accuracy"],
                     f"TPR at FPR {FPR}": r["tpr"], "95 % interval": f"{r['tpr_low']:.2f} to {r['tpr_high']:.2f}",
                     "Recall@1": r["recall@1"], "R-Precision": r["r_precision"], "MAP@R": r["map@r"],
                     "seconds": round(run.seconds), "loss": run.settings["loss"], "model": run.settings["model"]})
    return rows


@torch.inference_mode()
def classifier_accuracy(encoder, loss, faces, people):
    """Share of faces that the loss's own classifier names rightly, without any margin."""
    encoder.eval()
    guesses = [loss.logits(encoder(batch.to(next(encoder.parameters()).device))).argmax(1).cpu() for batch in faces.split(64)]
    return float((torch.cat(guesses) == people).float().mean())


def raw_pixels(faces):
    """The simplest embedding: 32x32 grey pixels, centred, of unit length (N, 1024). A baseline."""
    small = torch.nn.functional.interpolate(faces.float(), (32, 32), mode="bilinear", antialias=True).mean(1).flatten(1)
    return torch.nn.functional.normalize(small - small.mean(1, keepdim=True)).numpy()


def recogniser(settings, data):
    """Notebook 3's encoder; if it was not run, or on faces straightened otherwise, a small ArcFace encoder trained here."""
    path = recogniser_path(settings)
    if path.exists():
        with safe_open(path, "pt") as file:
            if file.metadata().get("faces") == aligned_folder(settings).name:
                return load_model(Encoder, path, settings.torch_device)
    print("No recogniser of notebook 3 for these faces here: a small one is trained first.")
    torch.manual_seed(settings.seed)
    loss = MarginHead(settings.embedding, data.n_people)
    return train_recogniser("small", loss, data, settings, epochs=max(1, settings.epochs // 4))[0]


def photo_folder(settings, strangers, each=3):
    """`test_images/` if the user put pictures there, else a folder of sample photos of the given strangers' names."""
    own = Path("test_images")
    if picture_files(own):
        return own
    folder = settings.run_dir / "sample_photos"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    query = split(settings)[1]
    for name in strangers:
        of_one = query.of_people([query.names.index(name)])
        for k in range(min(each, len(of_one))):
            Image.fromarray(of_one.photo(k).permute(1, 2, 0).numpy()).save(folder / f"{name}_{k + 1}.png")
    return folder
