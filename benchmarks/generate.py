"""Measures how fast clips are generated, and the time to the first clip.

  python benchmarks/generate.py

The weights are untrained, which takes the same time. The stock generator has
the same weights in Keras's own layers; both take turns, batch by batch. A cold
start is the whole command `train_wavegan.py generate TRAIN_DIR --n 1`, from the
start of Python to its end. Takes a few minutes.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import keras
import numpy as np
import soundfile

import wavegan
from benchmarks import machine, plain

ROOT = pathlib.Path(__file__).resolve().parent.parent


def measure_rates(dim: int, batch_size: int, clips: int) -> tuple[float, float]:
    """Returns clips per second of our generator and of the stock one."""
    config = wavegan.WaveGANConfig(dim=dim)
    ours = wavegan.build_generator(config)
    stock = plain.plain_network(ours)
    rng = np.random.default_rng(0)

    def generate(model: keras.Model, z: np.ndarray) -> np.ndarray:
        return model(z, training=False).numpy()  # as modes/render.py does

    def draw_z() -> np.ndarray:
        shape = batch_size, config.latent_dim
        return rng.uniform(-1, 1, shape).astype(np.float32)

    z = draw_z()  # the first call is slower and not timed
    np.testing.assert_allclose(
        generate(ours, z), generate(stock, z), rtol=0, atol=1e-4
    )
    secs: tuple[list[float], list[float]] = [], []
    for _ in range(-(-clips // batch_size)):
        z = draw_z()
        for model, taken in zip((ours, stock), secs, strict=True):
            start = time.perf_counter()
            generate(model, z)
            taken.append(time.perf_counter() - start)
    our_secs, stock_secs = map(statistics.median, secs)
    return batch_size / our_secs, batch_size / stock_secs


def run(*args: object) -> float:
    """Runs the command line of the project and returns its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_wavegan.py"), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout)
    return time.perf_counter() - start


def measure_cold_start(dim: int, repeats: int) -> float:
    """Trains for a step and returns the median seconds of the first clip."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        data, train_dir = pathlib.Path(folder, "data"), f"{folder}/train"
        data.mkdir()
        for i in range(4):
            noise = rng.uniform(-0.5, 0.5, 16384)
            soundfile.write(data / f"{i}.wav", noise, 16000, "PCM_16")
        run(
            "train",
            train_dir,
            f"--data_dir={data}",
            f"--wavegan_dim={dim}",
            "--train_batch_size=2",
            "--train_max_steps=1",
        )
        secs = [run("generate", train_dir, "--n=1") for _ in range(repeats)]
    return statistics.median(secs)


def main() -> None:
    """Measures rates and cold starts, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--clips", type=int, default=1000, help="clips, in whole batches"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="number of cold starts"
    )
    args = parser.parse_args()
    cold_secs = measure_cold_start(args.dim, args.repeats)
    ours, stock = measure_rates(args.dim, args.batch, args.clips)
    rows = [
        ("wavegan.build_generator, clips/s", ours),
        ("the same from stock Keras layers, clips/s", stock),
        ("ratio", ours / stock),
        ("one clip from a cold start, s", cold_secs),
    ]
    for name, value in rows:
        print(f"{name:44}{value:8.2f}")
    print(machine.describe())


if __name__ == "__main__":
    main()
