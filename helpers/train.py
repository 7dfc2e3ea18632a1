"""Train a recogniser by command: `python -m helpers.train dataset=celeba loss=arcface encoder=resnet34 epochs=40`.

Every setting stands in helpers/config/train.yaml; `-m loss=ce,arcface,triplet` trains one after another. A run that was
stopped goes on when the same command is given again. On several GPUs, or processes:
`accelerate launch --multi_gpu --num_processes 2 -m helpers.train loss=arcface`.
"""
import argparse
import atexit
import os
from dataclasses import fields
from datetime import timedelta

import hydra
import torch
from accelerate import PartialState
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from .batches import people_by_photos
from .course import new_encoder, save_model
from .encoders import LayerFreezer, embed
from .metrics import left_out
from .recognition import FPR, figures, recognition_data, shown, train_recogniser
from .settings import Settings, load_settings
from .teachers import teacher_embeddings
from .verification import measure


@hydra.main(version_base="1.3", config_path="config", config_name="train")
def main(config):
    """Train as the configuration says, measure, and leave encoder.safetensors in the run folder."""
    given = {f"FACES_{field.name.upper()}": str(config[field.name]) for field in fields(Settings)
             if config.get(field.name) is not None}
    settings = load_settings(os.environ | given)
    # the others wait while one makes the straight faces, which takes longer than the usual ten minutes
    processes = PartialState(cpu=settings.torch_device.type == "cpu", timeout=timedelta(hours=12))
    with processes.main_process_first():
        data = recognition_data(settings)
    for field in fields(Settings):  # what was null, now as it is
        if field.name in config:
            config[field.name] = getattr(settings, field.name)
    config.classes = data.n_people
    options = OmegaConf.to_container(config.encoder_options) if config.encoder_options else {}
    encoder = new_encoder(settings, face_stem=config.face_stem, flat_head=config.flat_head, **options)
    torch.manual_seed(settings.seed)
    loss = instantiate(config.loss)
    batches = batches_of(config.photos_each, data.train_people, settings.batch_size)
    targets = None
    if config.teacher:
        teachers = [config.teacher] if isinstance(config.teacher, str) else list(config.teacher)
        targets = teacher_embeddings(teachers, data, settings.embedding, settings.torch_device)
    encoder, run = train_recogniser(
        config.name, loss, data, settings, encoder, targets,
        batches=batches, augment=instantiate(config.augment), hours=config.hours,
        optimizer=config.optimizer, lr=config.lr, weight_decay=config.weight_decay, schedule=config.schedule,
        freezer=config.freeze and LayerFreezer(config.freeze), keep={"config.yaml": OmegaConf.to_yaml(config)})
    if processes.is_main_process:
        results = figures(encoder, data, loss)
        run.save_results(**results)
        try:
            notes = {"verifier": measure(embed(encoder, data.query), data.query_people, embed(encoder, data.distractors),
                                         data.distractor_people).to_text()}
        except ValueError as error:
            notes = {}
            print(f"No thresholds are kept with the encoder: {error}")
        save_model(encoder, run.folder / "encoder.safetensors", loss=run.settings["loss"], epochs=run.settings["epochs"],
                   seed=settings.seed, dataset=settings.dataset_name, people=data.n_people, photos=len(data.train), **notes)
        print(f"\n{run.folder}: {len(run.history)} epochs in {run.seconds / 60:.1f} minutes")
        for key in ("accuracy", "knn_accuracy", "tpr", "recall@1", "r_precision", "map@r"):
            if key in results:
                print(f"{key:14s} {shown(results, key)}")
        if sentence := left_out(FPR, results["pairs_of_people"]):
            print(sentence)
    # at exit, since a multirun comes here again; not after an error, when the others may wait in the middle of a step
    atexit.register(processes.destroy_process_group)


def configured_loss(name, embedding, people):
    """A loss of helpers/config/loss by its name, and how many photos of each person it wants in a batch (None: any)."""
    with initialize_config_module("helpers.config", version_base="1.3"):
        config = compose("train", [f"loss={name}", f"embedding={embedding}", f"classes={people}"])
    return instantiate(config.loss), config.photos_each


def batches_of(photos_each, people, batch_size):
    """Batches with so many photos of each person, or None, for fit's own."""
    return photos_each and people_by_photos(people, max(2, batch_size // photos_each), photos_each)


if __name__ == "__main__":
    if hasattr(argparse.ArgumentParser, "_check_help"):  # since Python 3.14 it refuses the help text of Hydra's own options:
        argparse.ArgumentParser._check_help = lambda parser, action: None  # github.com/hydra-ecosystem/hydra/issues/3121
    main()
