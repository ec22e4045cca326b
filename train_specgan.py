"""Trains a SpecGAN, and lets one hear, use and export what it learnt.

  python train_specgan.py train [TRAIN_DIR] --data_dir sc09/
  python train_specgan.py preview [TRAIN_DIR]
  python train_specgan.py incept [TRAIN_DIR]
  python train_specgan.py generate [TRAIN_DIR] --n 20
  python train_specgan.py generate [TRAIN_DIR] --say "three one four"
  python train_specgan.py play [TRAIN_DIR]
  python train_specgan.py export [TRAIN_DIR] --format onnx
  python train_specgan.py infer [TRAIN_DIR]
  python train_specgan.py release [TRAIN_DIR]
  python train_specgan.py moments [TRAIN_DIR] --data_dir sc09/
  python train_specgan.py import [TRAIN_DIR] --checkpoint PATH/model.ckpt-STEP

TRAIN_DIR is ./train if left out. `train` goes on with a run that is there; the
other modes know its flags from its config.json. `moments` measures what is
normal in the data; `train` does so by itself where that was not done. `import`
makes a TRAIN_DIR of a checkpoint of the authors' code.
"""

import functools
import pathlib
from collections.abc import Callable

from system import console

console.quiet_tensorflow()  # its notes would bury ours

import tqdm
from absl import logging

import specgan
from commandline import flags, program, run_config
from modes import train
from networks import spectrogram
from training import dataset, model, train_dir


def measure(
    path: pathlib.Path, config: model.Config, found: dataset.Corpus
) -> None:
    """Measures what is normal in the audio of a run, and writes it down."""
    batches = dataset.pass_once(
        found, config, lambda *why: logging.warning("skipped: %r: %s", *why)
    )
    bar = tqdm.tqdm(batches, "measuring moments", delay=1.0, disable=None)
    spectrogram.measure_moments(bar).save(path)
    logging.info("moments: measured on all slices; written to %s", path)


def prepare(
    directory: train_dir.TrainDir,
    config: model.Config,
    found: dataset.Corpus | None,
) -> None:
    """Makes sure that a train dir has moments.

    Raises:
      FileNotFoundError: It has none, and there is no audio to measure.
      ValueError: Its run began with others than those asked for.
    """
    own = directory.moments
    if program.FLAGS.data_moments_fp:
        given = spectrogram.Moments.load(
            pathlib.Path(program.FLAGS.data_moments_fp)
        )
        if not (directory.exists() and own.exists()):
            given.save(own)
        elif given != spectrogram.Moments.load(own):
            raise ValueError(
                f"--data_moments_fp is {program.FLAGS.data_moments_fp}, but "
                f"that run learns by {own}: leave the flag out to go on with "
                "it, or name another train dir"
            )
    elif found is None:
        spectrogram.Moments.load(own)
    elif not own.exists():
        measure(own, config, found)


def moments(
    command_line: flags.CommandLine, directory: train_dir.TrainDir
) -> None:
    """Measures moments alone.

    Raises:
      ValueError: A run learns by those that are there.
    """
    saved = None
    if directory.exists():
        saved = MODEL.read_config(directory)
    path = pathlib.Path(program.FLAGS.data_moments_fp or directory.moments)
    if saved and directory.moments.exists() and path == directory.moments:
        raise ValueError(
            f"the run in {directory.path} learns by {path}: name another train "
            "dir, or another file by --data_moments_fp"
        )
    config = run_config.read_flags(command_line, program.FLAGS, saved)
    found = train.find_audio(config, directory)
    with directory.lock():
        measure(path, config, found)


def gan_of(
    directory: train_dir.TrainDir, config: specgan.SpecGANConfig
) -> Callable[..., specgan.SpecGAN]:
    """SpecGAN, as it hears by the moments of a train dir."""
    return functools.partial(
        specgan.SpecGAN,
        moments=spectrogram.Moments.load(directory.moments),
        iterations=config.iterations,
    )


MODEL = model.Model(
    name="specgan",
    config=specgan.SpecGANConfig,
    build_generator=specgan.build_generator,
    build_discriminator=specgan.build_discriminator,
    gan_of=gan_of,
    prepare=prepare,
)
COMMAND_LINE = flags.CommandLine(
    MODEL,
    own_settings=(
        ("specgan_ngl", "model", "iterations", "of Griffin and Lim, from "
         "spectrogram to sound"),
    ),
    own_options=(
        ("data_moments_fp", None, "moments: file to write; train, import: file "
         "to copy at the start; TRAIN_DIR/moments.npz if left out"),
    ),
    own_modes={"moments": moments},
)  # fmt: skip

if __name__ == "__main__":
    program.run(COMMAND_LINE)
