"""Trains a SpecGAN; generates, plays and exports audio with it.

Examples:
  python train_specgan.py train ./run --data_dir sc09/
  python train_specgan.py preview ./run
  python train_specgan.py generate ./run --n 20
  python train_specgan.py export ./run --format onnx

Spectrograms are normalised by the moments of the data. `train` measures them
if they are missing; `moments` takes the same flags of the data.
"""

import functools
import pathlib
import sys
from collections.abc import Callable

from commandline import usage

if __name__ == "__main__":
    usage.answer("train_specgan.py", __doc__ or "", sys.argv)

from system import console

console.import_tensorflow()  # before any other module does

import tqdm
from absl import logging

import specgan
from commandline import flags, modes, program, run_config
from modes import train
from networks import spectrogram
from training import config as config_lib
from training import dataset, gan_model, train_dir, weights


def measure(
    path: pathlib.Path, config: config_lib.RunConfig, found: dataset.Corpus
) -> None:
    """Measures the moments of the audio of a run, and writes them to a file."""
    batches = dataset.pass_once(
        found, config, lambda *why: logging.warning("skipped: %r: %s", *why)
    )
    bar = tqdm.tqdm(batches, "measuring moments", delay=1.0, disable=None)
    spectrogram.measure_moments(bar).save(path)
    logging.info("moments: measured on all slices; written to %s", path)


def prepare(
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    found: dataset.Corpus | None,
) -> None:
    """Makes sure that a train dir has moments.

    Raises:
      FileNotFoundError: It has none, and there is no audio to measure.
      ValueError: Its run began with others than those asked for.
    """
    own = directory.moments
    if modes.FLAGS.data_moments_fp:
        given = spectrogram.Moments.load(
            pathlib.Path(modes.FLAGS.data_moments_fp)
        )
        if not (directory.exists() and own.exists()):
            given.save(own)
        elif given != spectrogram.Moments.load(own):
            raise ValueError(
                f"--data_moments_fp is {modes.FLAGS.data_moments_fp}, but "
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
    """Measures the moments of the data's spectrograms, and stops.

    Raises:
      ValueError: A run uses those that are there.
    """
    saved = None
    if directory.exists():
        saved = directory.read_config(MODEL.config)
    path = pathlib.Path(modes.FLAGS.data_moments_fp or directory.moments)
    if saved and directory.moments.exists() and path == directory.moments:
        raise ValueError(
            f"the run in {directory.path} learns by {path}: name another train "
            "dir, or another file by --data_moments_fp"
        )
    config = run_config.read_flags(
        command_line, modes.FLAGS, saved, fixed=("data",)
    )
    config, found = train.find_audio(config, directory)
    with directory.lock():
        measure(path, config, found)


def gan_of(
    directory: train_dir.TrainDir, config: specgan.SpecGANConfig
) -> Callable[..., specgan.SpecGAN]:
    """Returns the class SpecGAN with the moments of a train dir."""
    return functools.partial(
        specgan.SpecGAN,
        moments=spectrogram.Moments.load(directory.moments),
        iterations=config.iterations,
    )


MODEL = gan_model.GANModel(
    name="specgan",
    title="SpecGAN",
    config=specgan.SpecGANConfig,
    build_generator=specgan.build_generator,
    build_discriminator=specgan.build_discriminator,
    gan_of=gan_of,
    prepare=prepare,
    pretrained=weights.FOLDER / "specgan",
)
# Settings that `moments` uses: those that change slices.
SLICE_SETTINGS = (
    *("dir", "sample_rate", "overlap_ratio", "first_slice", "pad_end"),
    *("normalize", "fast_wav", "max_bad"),
)
COMMAND_LINE = flags.CommandLine(
    MODEL,
    modes={
        **modes.MODES,
        "moments": flags.Mode(moments, uses=SLICE_SETTINGS.__contains__),
    },
    own_options=(
        flags.Option(
            "data_moments_fp",
            None,
            "File of moments, the mean and the standard deviation of each "
            "frequency bin. moments writes it; train and import copy it into a "
            "new run. TRAIN_DIR/moments.npz if left out.",
            ("moments", "train", "import"),
        ),
    ),
    without=("spectral_critics", "spectral_dim", "conv"),  # they need waveforms
)

if __name__ == "__main__":
    program.run(COMMAND_LINE)
