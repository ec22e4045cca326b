"""Trains, or continues a run: the mode train."""

import contextlib
import pathlib
import tempfile

from absl import logging

from digits import synthesizer
from networks import audio_model as audio_model_lib
from system import device, settings
from training import config as config_lib
from training import (
    dataset,
    distributed,
    loop,
    train_dir,
    weights,
)
from training import model as model_lib

DIGITS_DIR = "sc09_synthetic"  # what is learnt without --data_dir


def find_audio(
    config: config_lib.RunConfig, directory: train_dir.TrainDir
) -> tuple[config_lib.RunConfig, dataset.Corpus]:
    """Finds the audio of a run; synthesises digits if it has no folder.

    Returns:
      The config, with folder and words; and the audio.
    """
    if not config.data.dir:
        logging.info("no --data_dir: learning digits made in %s", DIGITS_DIR)
        synthesizer.synthesize(DIGITS_DIR)
        config = config.replace(dir=str(pathlib.Path(DIGITS_DIR).resolve()))
    found = dataset.find(config, directory)
    return config.with_words(found.words), found


def _start_from(
    path: pathlib.Path,
    model: model_lib.Model,
    audio_model: audio_model_lib.AudioModel,
    config: config_lib.RunConfig,
) -> int:
    """Gives a model the weights of a release or a run; returns their step."""
    source = train_dir.TrainDir(path)
    released = source.read_config(model.config)
    if source.is_release:
        return weights.load_shared(audio_model, path, released, config)
    other = model.build(source, released)
    step = train_dir.restore(other, source)
    with tempfile.TemporaryDirectory() as folder:
        weights.save(other, pathlib.Path(folder), step)
        return weights.load_shared(
            audio_model, pathlib.Path(folder), released, config
        )


def train(
    model: model_lib.Model,
    config: config_lib.RunConfig,
    directory: train_dir.TrainDir,
    *,
    released: pathlib.Path | None = None,
    num_gpus: int = -1,
    force_bf16: bool = False,
) -> None:
    """Trains a model, or continues the run of a train dir.

    Args:
      model: The model.
      config: Of the run; the words of its audio files are added.
      directory: A train dir, which need not exist yet.
      released: Release or train dir, whose weights a new run starts from.
      num_gpus: GPUs of this machine to use; -1: all; 0: none.
      force_bf16: Whether bfloat16 may be used where it is emulated.

    Raises:
      SettingError: The precision is bf16, and neither a GPU nor the processor
        calculates in bfloat16.
    """
    with distributed.guard():
        strategy = distributed.join(num_gpus)
        if (
            config.train.precision == "bf16"
            and not force_bf16
            and not device.has_bfloat16()
        ):
            raise settings.SettingError(
                "precision",
                "bf16",
                "fp32, since this processor has no instructions for bfloat16 "
                "and is several times slower with it (--force_bf16: all the "
                "same)",
            )
        chief = distributed.is_chief(strategy)
        with distributed.chief_first(strategy):
            config, found = find_audio(config, directory)
        with directory.lock() if chief else contextlib.nullcontext():
            if chief:
                if released and not directory.exists():
                    train_dir.TrainDir(released).copy_moments(directory)
                model.prepare(directory, config, found)
            distributed.agree(strategy)
            with strategy.scope():
                audio_model = model.build(directory, config)
                if released and directory.checkpoints.latest_step() is None:
                    step = _start_from(released, model, audio_model, config)
                    logging.info("starting from %s, step %d", released, step)
                model.compile(audio_model, config.train)
            loop.train(audio_model, directory, config, found)
