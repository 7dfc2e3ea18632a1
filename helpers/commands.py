"""The commands of `python -m helpers`: each takes the options, answers, and returns (result, code).

The result is what --json prints; the code is the exit code, see `helpers.__main__`.
"""

import argparse
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

from . import metrics
from .aligned_data import unseen_faces
from .arrange import arrange
from .command_output import answer, make_folder
from .comparison import shown
from .embedding_map import embedding_map
from .encoders import embed
from .evaluation import unseen_figures
from .forget import forget
from .identify_photos import identify
from .model_files import MODELS, doubts_about, load_encoder, load_verifier, save_verifier
from .networks import hourglass, hourglass_id, recogniser_source
from .photos import PhotoError
from .pipeline import FacePipeline, doubts, faces_of, no_face, read_smaller
from .setting_flags import settings_of
from .settings import FIELDS
from .verdicts import UNDECIDED
from .verification import Verifier, measure
from .who_is_who import Recogniser, verify

FPRS = (1e-3, 1e-2, 1e-1)


def run(options: argparse.Namespace) -> tuple[dict, int]:
    """Load what the command needs, and run it."""
    settings = options.settings = settings_of(options)
    options.fpr, options.out = settings.fpr, Path(settings.out_dir)
    if options.command == "forget":
        return forget_person(options)
    if options.command in ("arrange", "identify", "map"):
        make_folder(options.out)
    options.encoder = recogniser_source(settings)
    encoder = load_encoder(options.encoder, settings.torch_device)
    pipeline = FacePipeline(hourglass(settings), encoder)
    if options.command in ("evaluate", "map"):
        command = evaluate if options.command == "evaluate" else draw_map
        return command(options, pipeline)
    for sentence in doubts_about(options.encoder, hourglass_id(pipeline.hourglass)):
        answer(options, sentence)
    command = {"predict": predict, "arrange": arrange, "identify": identify}[options.command]
    return command(options, Recogniser(pipeline, load_verifier(options.encoder)))


def predict(options: argparse.Namespace, recogniser: Recogniser) -> tuple[dict, int]:
    """The largest faces of two photos or more, each pair with its similarity and verdict."""
    shown_on, faces, skipped, (pipeline, verifier) = [], [], [], recogniser
    for path, _, found, sentence in faces_of(pipeline, read_smaller, options.photos):
        if not found:
            skipped.append(sentence or f"{no_face(path)}.")
            continue
        shown_on.append(path)
        faces.append(found[0])
        for doubt in doubts(found):
            answer(options, f"{path}: {doubt}")
    if len(faces) < 2:
        raise PhotoError("\n".join(skipped))
    for sentence in skipped:  # the others still get their answers
        answer(options, sentence)
    pairs, verdicts = [], set()
    for (one, first), (other, second) in combinations(zip(shown_on, faces), 2):
        found = verify(first, second, options.fpr, recogniser)
        verdicts.add(found.verdict)
        answer(
            options,
            f"{one} and {other}: {found.verdict}; similarity {found.similarity:.2f}, probability "
            f"that it is one person {found.probability:.2f}",
        )
        pairs.append(
            {
                "photos": [one, other],
                "similarity": round(found.similarity, 4),
                "same": found.same,
                "verdict": found.verdict,
                "probability": round(found.probability, 4),
            }
        )
    threshold, ends = verifier.threshold(options.fpr), verifier.fpr_interval(options.fpr)
    interval = f" (95 % interval over people: {ends[0]:.2g} to {ends[1]:.2g})" if ends else ""
    answer(
        options,
        f"The threshold is {threshold:.2f}: a share of {options.fpr:g}{interval} of pairs of "
        "different people is more alike. A larger --fpr accepts more pairs, and more false ones.",
    )
    if UNDECIDED in verdicts:
        answer(
            options,
            "Undecided: the threshold for this FPR and the probability point different ways.",
        )
    result = {"pairs": pairs, "threshold": round(threshold, 4), "skipped": skipped}
    return result, 2 if skipped else int(not all(pair["same"] for pair in pairs))


def people_in(options: argparse.Namespace) -> SimpleNamespace:
    """The aligned faces of a folder of people; what was left out is told."""
    settings = replace(options.settings, dataset=options.folder, split="")
    return unseen_faces(settings, lambda sentence: answer(options, sentence))


def evaluate(options: argparse.Namespace, pipeline: FacePipeline) -> tuple[dict, int]:
    """Verification rate and retrieval of unseen people; with --save their thresholds are saved."""
    if options.save:
        refuse_to_change_models(options)
    data = people_in(options)
    people = [data.probe_names[label] for label in set(data.probe_labels)]
    for sentence in doubts_about(options.encoder, data.landmarks, people):
        answer(options, sentence)
    result = unseen_figures(pipeline.encoder, data, FPRS)
    if options.save:
        verifier = measure(embed(pipeline.encoder, data.probe), data.probe_labels)
        saved = save_verifier(options.encoder, verifier, data.landmarks)
        tell_saved(options, verifier, saved)
    for key in ("recall@1", "r_precision", "map@r"):
        answer(options, f"{key:20s} {shown(result, key)}")
    number = result["pairs_of_people"]
    for line in metrics.rates_as_lines(
        FPRS, result["tpr"], result["tpr_low"], result["tpr_high"], number
    ):
        answer(options, line)
    return {key: result[key] for key in ("recall@1", "r_precision", "map@r")} | {
        "tpr_at_fpr": metrics.rates_as_json(FPRS, result["tpr"], number),
        "pairs_of_people": number,
        "photos": len(data.probe),
        "skipped": data.skipped,
    }, 0


def refuse_to_change_models(options: argparse.Namespace) -> None:
    """Thresholds replace those of a model that ships only if --recogniser names its file."""
    file = Path(options.encoder)
    if options.recogniser in (None, "shipped") and file.resolve().parent == MODELS.resolve():
        raise ValueError(
            f"--save would replace the thresholds of {file.name} in models/, which every command "
            f"uses: copy that file and give --recogniser COPY, or give --recogniser {file} if that "
            "is what you want."
        )


def tell_saved(options: argparse.Namespace, verifier: Verifier, saved: Path) -> None:
    """Where the thresholds lie now, and whether they reach the default FPR."""
    answer(options, f"The thresholds are saved in {saved}, in place of those before.")
    default, least = FIELDS["fpr"].default, verifier.fprs[0]
    if least > default:
        answer(
            options,
            f"Warning: {verifier.people} people are too few for the default FPR of {default:g}, at "
            f"which predict and arrange will now fail: the smallest that these thresholds offer is "
            f"--fpr {math.ceil(least * 1000) / 1000:g}. More people offer smaller ones.",
        )


def draw_map(options: argparse.Namespace, pipeline: FacePipeline) -> tuple[dict, int]:
    """outputs/map.html of a folder of people."""
    data = people_in(options)
    people = [data.probe_names[person] for person in data.probe_labels]
    path = options.out / "map.html"
    embedding_map(embed(pipeline.encoder, data.probe), data.probe, people, people, path)
    answer(options, f"written to {path}: open it in a browser")
    return {"map": str(path), "photos": len(people)}, 0


def forget_person(options: argparse.Namespace) -> tuple[dict, int]:
    """Delete a person from galleries, aligned sets and pictures; what remains is told."""
    settings = options.settings
    done = forget(options.name, settings.data_dir, settings.runs_dir, options.out)
    answer(options, "\n".join(done))
    return {"forgotten": options.name, "done": done}, 0
