"""Train a recogniser by command: `python -m helpers.train dataset=celeba loss=arcface epochs=40`.

Every setting of helpers/settings.py may be given, and what helpers/config/train.yaml adds;
`-m loss=ce,arcface,triplet` trains one after another. A run that was stopped goes on when the same
command is given again. An error is one sentence; `--debug` shows where it came from. On several
GPUs, or processes: `accelerate launch --multi_gpu --num_processes 2 -m helpers.train loss=arcface`.
"""

import argparse
import atexit
import difflib
import os
import re
import sys
from datetime import timedelta
from pathlib import Path

import hydra
import torch
from accelerate import PartialState
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors.torch import load_file

from .aligned_data import recognition_data
from .comparison import FPR, shown
from .configured import GIVEN
from .encoders import embed
from .evaluation import figures
from .metrics import left_out
from .model_files import origin, save_model
from .networks import new_encoder
from .recognisers import train_recogniser
from .settings import FIELDS, RENAMED, load_settings
from .teachers import teacher_embeddings
from .unreadable import sentence_of
from .verification import measure

# may hold anything
PATHS = (
    "dataset",
    "data_dir",
    "runs_dir",
    "out_dir",
    "split",
    "hourglass",
    "recogniser",
    "weights",
    "teacher",
    "name",
)


class _Stop(BaseException):
    """Carries an error past Hydra, which would print lines of its own."""


@hydra.main(version_base="1.3", config_path="config", config_name="train")
def main(config: DictConfig) -> None:
    """What Hydra calls with each configuration."""
    try:
        train(config)
    except Exception as error:
        raise _Stop(error) from None


def train(config: DictConfig) -> None:
    """Train as the configuration says, measure, and leave encoder.safetensors in the run folder."""
    given = {name: config[name] for name in GIVEN if config[name] is not None}
    settings = load_settings(given=OmegaConf.to_container(OmegaConf.create(given)))
    # the others wait while one makes the aligned faces, which takes longer than ten minutes
    processes = PartialState(cpu=settings.torch_device.type == "cpu", timeout=timedelta(hours=12))
    for name in GIVEN:  # what was null, now as it is
        config[name] = getattr(settings, name)
    # first: numbers that are nonsense, and weights that can't be fetched, show before the photos
    # are aligned
    augment, config.classes = instantiate(config.augment), 2
    instantiate(config.loss)
    with processes.main_process_first():
        encoder = new_encoder(settings)
        data = recognition_data(settings)
    config.classes = data.num_classes
    torch.manual_seed(settings.seed)
    loss = instantiate(config.loss)
    targets = None
    if config.teacher:
        teachers = [config.teacher] if isinstance(config.teacher, str) else list(config.teacher)
        targets = teacher_embeddings(teachers, data, settings.embedding, settings.torch_device)
    files = {"config.yaml": OmegaConf.to_yaml(config)}
    encoder, run = train_recogniser(
        config.name, loss, data, settings, encoder, targets, augment=augment, extra_files=files
    )
    if processes.is_main_process:
        if settings.best:
            _take_best(encoder, run, settings.best)
            loss = None  # its centres are not kept: those of the last epoch fit no other encoder
        _measure_and_save(encoder, run, data, loss, settings)
    # at exit, since a multirun comes here again; not after an error, when the others may wait in
    # the middle of a step
    atexit.register(processes.destroy_process_group)


def _take_best(encoder, run, best):
    """Load the weights of the epoch whose number `best` was highest."""
    encoder.load_state_dict(load_file(run.folder / "best.safetensors"))
    epoch = max(run.history, key=lambda row: row[best])["epoch"]
    print(
        f"The best epoch by {best} is {epoch:.0f} of {len(run.history)}; it is measured and kept."
    )


def _measure_and_save(encoder, run, data, loss, settings):
    """Leave results.json, and encoder.safetensors with its thresholds; print what it is worth."""
    results = figures(encoder, data, loss)
    run.save_results(**results)
    notes = {}
    try:
        probe, distractors = embed(encoder, data.probe), embed(encoder, data.distractors)
        verifier = measure(probe, data.probe_labels, distractors, data.distractor_labels)
        notes["verifier"] = verifier.to_text()
    except ValueError as error:
        print(f"No thresholds are kept with the encoder: {error}")
    save_model(
        encoder,
        run.folder / "encoder.safetensors",
        loss=run.settings["loss"],
        epochs=run.settings["epochs"],
        seed=settings.seed,
        dataset=settings.dataset_name,
        people=data.num_classes,
        photos=len(data.train),
        **origin(data.landmarks, data.train_names),
        **notes,
    )
    print(f"\n{run.folder}: {len(run.history)} epochs in {run.seconds / 60:.1f} minutes")
    for key in ("accuracy", "knn_accuracy", "tpr", "recall@1", "r_precision", "map@r"):
        if key in results:
            print(f"{key:14s} {shown(results, key)}")
    if sentence := left_out(FPR, results["pairs_of_people"]):
        print(sentence)


def overrides(words: list) -> list:
    """The words of the command line as Hydra takes them: paths of any name stand in quotes.

    Raises:
        ValueError: there is no setting of such a name.
    """
    known = {*FIELDS, "loss", "name", "teacher", "classes", "hydra"}
    several = bool({"-m", "--multirun"} & set(words))
    # another configuration file may have further settings
    other_file = any(word.partition("=")[0] in ("--config-name", "-cn") for word in words)
    done = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+~").partition(".")[0].partition("/")[0]
        if word in FIELDS:
            raise ValueError(f"The setting {word} came without a value: write {word}=VALUE.")
        if word.startswith("-") or not equals:
            done.append(word)
            continue
        if name in RENAMED:
            key, name = key.replace(name, RENAMED[name], 1), RENAMED[name]
        if (name, value) == ("loss", "imitation"):
            value = "distillation"  # its name before
        word = f"{key}={value}"
        if name not in known and not other_file:
            near = difflib.get_close_matches(name, known, 1)
            advice = "; python -m helpers.settings lists them all."
            if near:
                advice = f": did you mean {near[0]}?"
            raise ValueError(f"There is no setting '{name}'{advice}")
        if key.startswith("augment.") and "_target_" not in key:
            word = f"++{word}"  # of the augmentation's class, whose defaults no file repeats
        done.append(f"{key}={_quoted(value, several)}" if key.lstrip("+") in PATHS else word)
    return done


def _quoted(value, several=False):
    """A path in Hydra's quotes, whatever it holds.

    several: paths between commas, unless there is such a path.
    """
    if several and "," in value and not Path(value).exists():
        return ",".join(_quoted(part) for part in value.split(","))
    # in quotes already, or a list
    if value in ("", "null") or (value[0] in "'\"[" and not Path(value).exists()):
        return value
    value = re.sub(r"(\\*)'", r"\1\1\\'", value.replace("${", "\\${"))
    return "'" + re.sub(r"(\\+)$", r"\1\1", value) + "'"


def sentence(error: Exception) -> str:
    """An error as one sentence: Hydra's without its advice, those of others with their kind."""
    cause = error.__cause__ if isinstance(error.__cause__, (ValueError, OSError)) else error
    noise = r"To append to your config use \S+|full_key: \S*|object_type=\S*|Config search path:.*"
    text = " ".join(re.sub(noise, "", str(cause), flags=re.DOTALL).split())
    if isinstance(cause, OSError) and not isinstance(cause, HydraException):  # as some of Hydra are
        text = sentence_of(cause)
    ours = (
        isinstance(cause, (ValueError, OSError, HydraException, OmegaConfBaseException))
        or type(cause) is RuntimeError
    )
    return text if ours and text else f"{type(cause).__name__}: {text} (--debug shows where)"


def run(words: list) -> None:
    """Train as the command line says; an error ends in one sentence, with --debug in Python's."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that Hydra hands errors on
    try:
        sys.argv[1:] = overrides([word for word in words if word != "--debug"])
        main()
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last finished epoch.", file=sys.stderr)
        sys.exit(130)
    except (Exception, _Stop) as error:
        error = error.args[0] if isinstance(error, _Stop) else error
        if "--debug" in words:
            raise error from None
        sys.exit(sentence(error))


if __name__ == "__main__":
    # since Python 3.14 it refuses the help text of Hydra's own options:
    if hasattr(argparse.ArgumentParser, "_check_help"):
        # github.com/hydra-ecosystem/hydra/issues/3121
        argparse.ArgumentParser._check_help = lambda parser, action: None
    run(sys.argv[1:])
