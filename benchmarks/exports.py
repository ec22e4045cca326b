"""Measures the size of exports and the time that each takes for a clip.

  python benchmarks/exports.py

The weights are untrained, which takes the same time. Formats and `gan.generate`
of this process take turns, clip by clip, with one latent vector at a time, each
by its own runtime with its default number of threads. Prints a Markdown table:
median milliseconds for a clip, and the interval that holds half of them.

A second table compares two largest differences of SpecGAN's audio: that between
Keras's own layers and `spectrogram.to_audio`, and that of the latter if its
input is 1e-7 times larger, which is the effect of rounding. Takes a few
minutes.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from system import console

console.import_tensorflow()

import keras
import numpy as np

import gan
import loader
import wavegan
from benchmarks import export_runtimes, machine
from digits import synthesizer
from modes import export
from networks import spectrogram, spectrogram_keras

Generate = Callable[..., np.ndarray]  # from z, or z and label
WARM_UP = 3  # first clips of each format, which are not timed


def build(dim: int, num_labels: int = 0) -> gan.GAN:
    """Builds an untrained WaveGAN."""
    config = wavegan.WaveGANConfig(dim=dim, num_labels=num_labels)
    return gan.GAN(
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
        latent_dim=config.latent_dim,
    )


def open_all(
    model: gan.GAN, folder: pathlib.Path
) -> dict[str, tuple[Generate, float]]:
    """Exports in all formats; returns each one's function and size in MB."""
    ways: dict[str, tuple[Generate, float]] = {
        "`gan.generate` in Python": (
            lambda *inputs: model.generate(*inputs).numpy(),
            0.0,
        )
    }
    for form, chosen in export.FORMATS.items():
        target = folder / chosen.folder
        target.mkdir()
        chosen.write(model, target)
        size = sum(
            path.stat().st_size for path in target.rglob("*") if path.is_file()
        )
        ways[f"`{form}`"] = export_runtimes.OPENERS[form](folder), size / 1e6
    return ways


def measure(dim: int, clips: int, num_labels: int = 0) -> list[str]:
    """Returns the rows of the table for networks of one size."""
    keras.utils.set_random_seed(0)
    model = build(dim, num_labels)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        ways = open_all(model, pathlib.Path(folder))
        secs: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(WARM_UP + clips):
            z = rng.uniform(-1, 1, (1, model.latent_dim)).astype(np.float32)
            inputs: list[np.ndarray] = [z]
            if num_labels:
                inputs.append(rng.integers(num_labels, size=1, dtype=np.int32))
            for name, (generate, _) in ways.items():
                start = time.perf_counter()
                generate(*inputs)
                secs[name].append(time.perf_counter() - start)
    rows = []
    for name, (_, size) in ways.items():
        taken = [1000 * value for value in secs[name][WARM_UP:]]
        low, median, high = statistics.quantiles(taken, n=4)
        rows.append(
            f"| {dim} | {name} | {f'{size:.1f} MB' if size else ''} "
            f"| {median:.1f} | {low:.1f} to {high:.1f} |"
        )
    return rows


def spectrograms_of(kind: str) -> tuple[np.ndarray, spectrogram.Moments]:
    """Makes 16 spectrograms of digits or noise, and the digits' moments."""
    with tempfile.TemporaryDirectory() as folder:
        synthesizer.synthesize(folder, 120)
        paths = loader.find_audio(folder)[:16]
        digits = loader.load_clips(paths, spectrogram.SLICE_LEN, 16000)[
            ..., None
        ]
    moments = spectrogram.measure_moments([digits])
    spectrograms = spectrogram.to_spectrogram(digits, moments).numpy()
    if kind == "noise":
        rng = np.random.default_rng(0)
        noise = np.tanh(rng.normal(0, 1, spectrograms.shape))
        spectrograms = noise.astype(np.float32)
    return spectrograms, moments


def measure_rounding(kind: str, rounds: int) -> str:
    """Returns a row of the second table."""
    spectrograms, moments = spectrograms_of(kind)
    x = keras.Input(spectrograms.shape[1:])
    model = keras.Model(x, spectrogram_keras.to_audio(x, moments, rounds))
    audio = spectrogram.to_audio(spectrograms, moments, rounds).numpy()
    louder = spectrograms * np.float32(1 + 1e-7)
    other = spectrogram.to_audio(louder, moments, rounds).numpy()
    off = np.abs(model(spectrograms).numpy() - audio).max()
    own = np.abs(other - audio).max()
    return f"| {kind} | {rounds} | {off:.0e} | {own:.0e} |"


def main() -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 16])
    parser.add_argument(
        "--clips", type=int, default=50, help="clips to time for each format"
    )
    parser.add_argument(
        "--labels", type=int, default=0, help="number of labels; 0: none"
    )
    args = parser.parse_args()
    rows = [
        row
        for dim in args.dims
        for row in measure(dim, args.clips, args.labels)
    ]
    print("| dim | by | size | ms a clip | half of them |")
    print("|---|---|---|---|---|")
    print("\n".join(rows))
    print("\n| spectrograms of | rounds | stock layers | rounding |")
    print("|---|---|---|---|")
    for kind in ("digits", "noise"):
        for rounds in (0, 1, 16):
            print(measure_rounding(kind, rounds))
    print(machine.describe())


if __name__ == "__main__":
    main()
