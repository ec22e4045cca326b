"""Measures how fast the loader makes batches, alone or while a GAN trains.

  python benchmarks/loader.py [--while_training] [--without_tensorflow_io]

Writes clips of one second, mono, 16 kHz, into a temporary folder, and pulls
batches of them from `loader.make_dataset`: with no cache, where each clip is
decoded each time, and with every clip in a cache already. Files are new to the
process but not to the system, which has just written them, so that the disk is
not measured. Takes a few minutes.
"""

import argparse
import concurrent.futures
import contextlib
import io
import itertools
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import numpy as np
import soundfile
import tensorflow as tf

import loader
import wavegan
from benchmarks import machine, plain

RATE = 16000
CODECS: dict[str, dict[str, Any]] = {
    "wav": {"subtype": "PCM_16"},
    "wav-24": {"subtype": "PCM_24"},
    "wav-float": {"subtype": "FLOAT"},
    "flac": {"subtype": "PCM_16"},
    "mp3": {  # 128 kbit/s
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": 0.2,
    },
}
CACHES = ("none", "memory", "disk")
SPAN_SECS = 2.0  # time in which batches are counted
IN_FLIGHT = 16  # batches; more than the stream prefetches


def write_clips(folder: pathlib.Path, kind: str, count: int) -> list[str]:
    """Writes copies of 64 different clips and returns their paths."""
    ending = kind.partition("-")[0]
    rng = np.random.default_rng(0)
    seconds = np.arange(RATE) / RATE
    contents = []
    for _ in range(min(count, 64)):
        tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * seconds)
        audio = 0.3 * tone + rng.normal(0, 0.05, RATE)
        file = io.BytesIO()
        codec = {"format": ending.upper(), **CODECS[kind]}
        soundfile.write(file, audio, RATE, **codec)
        contents.append(file.getvalue())
    paths = [folder / f"{i:05}.{ending}" for i in range(count)]
    for path, content in zip(paths, itertools.cycle(contents), strict=False):
        path.write_bytes(content)
    return [str(path) for path in paths]


def measure(
    paths: list[str], cache: str, batch_size: int, slice_len: int
) -> tuple[float, float]:
    """Reads a new stream once and measures its speed.

    Returns:
      Clips per second, and seconds from the call to the first batch.
    """
    for path in paths:
        os.utime(path)  # or the loader would not read the headers again
    start = time.perf_counter()
    batches = iter(
        loader.make_dataset(
            paths,
            slice_len=slice_len,
            batch_size=batch_size,
            cache=cache,
            cache_dir=pathlib.Path(paths[0]).parent,
        )
    )
    next(batches)
    first_secs = time.perf_counter() - start
    epoch = 0 if cache == "none" else len(paths) // batch_size  # fills it
    for _ in range(epoch + IN_FLIGHT):
        next(batches)
    clips, span, start = 0, 0.0, time.perf_counter()
    while span < SPAN_SECS:
        next(batches)
        clips += batch_size
        span = time.perf_counter() - start
    return clips / span, first_secs


@contextlib.contextmanager
def training(batch_size: int, slice_len: int) -> Iterator[list[float]]:
    """Trains a small GAN on noise in a thread, until the context ends.

    Yields:
      List of the seconds of each step, which grows while training goes on; the
      first step is from before the context.
    """
    config = wavegan.WaveGANConfig(slice_len=slice_len, dim=16)
    model = plain.build("ours", config)
    train_step = tf.function(model.train_step)
    shape = model.critic_steps, batch_size, slice_len, config.channels
    noise = tf.random.stateless_uniform(shape, [0, 0], -1.0, 1.0)
    stopped = threading.Event()
    step_secs: list[float] = []

    def step() -> None:
        start = time.perf_counter()
        train_step(noise)["g_loss"].numpy()  # waits for the numbers
        step_secs.append(time.perf_counter() - start)

    def run() -> None:
        while not stopped.is_set():
            step()

    step()  # traces
    step_secs.clear()
    step()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            yield step_secs
        finally:
            stopped.set()
        future.result()  # raises what the thread raised


def read_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--slice_len", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--while_training", action="store_true")
    parser.add_argument("--without_tensorflow_io", action="store_true")
    parser.add_argument(
        "--formats", nargs="+", choices=CODECS, default=list(CODECS)
    )
    parser.add_argument("--caches", nargs="+", choices=CACHES, default=CACHES)
    return parser.parse_args()


def main() -> None:
    """Measures every format with every cache and prints the medians."""
    args = read_arguments()
    rows = []
    if args.without_tensorflow_io:  # its import fails
        sys.modules["tensorflow_io"] = None  # type: ignore[assignment]
    with contextlib.ExitStack() as stack:
        step_secs = None
        if args.while_training:
            step_secs = stack.enter_context(
                training(args.batch, args.slice_len)
            )
        for kind in args.formats:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            paths = write_clips(pathlib.Path(folder), kind, args.clips)
            for cache in args.caches:
                runs = [
                    measure(paths, cache, args.batch, args.slice_len)
                    for _ in range(args.repeats)
                ]
                rate, secs = map(statistics.median, zip(*runs, strict=True))
                rows.append((kind, cache, rate, secs))
    print(f"{'format':10}{'cache':8}{'clips/s':>9}{'first batch, s':>16}")
    for kind, cache, rate, secs in rows:
        print(f"{kind:10}{cache:8}{rate:9,.0f}{secs:16.2f}")
    if step_secs:
        alone, *meanwhile = step_secs
        print(
            f"one training step: {alone:.1f} s alone, "
            f"{statistics.median(meanwhile):.1f} s meanwhile"
        )
    print(machine.describe())


if __name__ == "__main__":
    main()
