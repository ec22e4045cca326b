"""Times a training step of this project and of plain Keras code in turn.

  python benchmarks/train_step.py --dim 64 --batch 64
  python benchmarks/train_step.py --dim 64 --batch 64 --precision bf16

Each variant runs in a process of its own, so that its memory can be measured;
they take turns, so that other load on the machine slows all of them. An
iteration is five updates of the critic and one of the generator. "of peak"
compares the multiplications that the definition of the networks needs (25 taps,
nothing twice) with the fastest float32 matrix product measured in the same run:
more than 1 means that a variant needs fewer multiplications.
"""

import argparse
import pathlib
import resource
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import tensorflow as tf

import wavegan
from benchmarks import machine, plain

CRITIC_STEPS = 5


def count_flops(config: wavegan.WaveGANConfig) -> tuple[int, int]:
    """Counts operations of a critic and a generator update for each example.

    There are two for each tap and pair of channels, also in padding. Critic:
    G forward; D forward three times, and backward to the weights and to the
    activations for real and fake (not to the audio); for the penalty, backward
    to the audio, the tangent forward, and that one's weights. Generator:
    G and D forward, D backward to the audio, G backward to both.
    """
    steps, channels, convs = config.slice_len, config.channels, []
    for width, stride in zip(config.widths, config.strides, strict=True):
        steps //= stride
        convs.append(2 * steps * config.kernel_len * channels * width)
        channels = width
    first_map = wavegan.FIRST_LEN * config.widths[-1]
    dense_g = 2 * config.latent_dim * first_map
    d, g = sum(convs) + 2 * first_map, sum(convs) + dense_g
    critic = g + 3 * d + 2 * d + 2 * (d - convs[0]) + 3 * d
    generator = g + 2 * d + (g - dense_g) + g
    return critic, generator


def measure_peak(size: int = 2048, repeats: int = 15) -> float:
    """Returns operations per second of the fastest float32 matrix product."""
    a = tf.random.normal([size, size])
    product = tf.function(lambda: tf.linalg.trace(tf.matmul(a, a)))
    product()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        float(product())
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def work(kind: str, dim: int, batch: int, precision: str, jit: bool) -> None:
    """Makes an update of each network for each line on stdin.

    It prints the seconds of both, and the peak memory of the process in bytes.
    """
    model = plain.build(kind, wavegan.WaveGANConfig(dim=dim), precision)
    critic = tf.function(model._update_discriminator, jit_compile=jit)
    generator = tf.function(model._update_generator, jit_compile=jit)
    real = tf.random.stateless_normal([batch, 16384, 1], [0, 0], 0, 0.1)
    update = tf.constant(0, tf.int64)

    def step() -> tuple[float, float]:
        start = time.perf_counter()
        float(critic(real, None, update))
        middle = time.perf_counter()
        float(generator(real, None, update))
        return middle - start, time.perf_counter() - middle

    for _ in range(2):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(*step(), peak, flush=True)


def start(kind: str, args: argparse.Namespace) -> subprocess.Popen[str]:
    """Starts a worker process and waits until it has warmed up."""
    command = [sys.executable, __file__, "--worker", kind]
    command += ["--dim", str(args.dim), "--batch", str(args.batch)]
    if kind == "ours":
        command += ["--precision", args.precision] + ["--jit"] * args.jit
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    if worker.stdout.readline().strip() != "ready":
        raise SystemExit(f"the process of {kind!r} died")
    return worker


def take_turns(
    workers: dict[str, subprocess.Popen[str]], repeats: int
) -> dict[str, list[list[float]]]:
    """Lets each worker make steps in turn and returns all of their results."""
    answers: dict[str, list[list[float]]] = {kind: [] for kind in workers}
    for _ in range(repeats):
        for kind, worker in workers.items():
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
            answer = worker.stdout.readline().split()
            answers[kind].append([float(number) for number in answer])
    return answers


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--precision", default="fp32", help="precision of our variant"
    )
    parser.add_argument(
        "--jit", action="store_true", help="compile our variant by XLA"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.dim, args.batch, args.precision, args.jit)
        return
    flops = count_flops(wavegan.WaveGANConfig(dim=args.dim))
    workers = {kind: start(kind, args) for kind in ("plain", "ours")}
    peak = measure_peak()
    answers = take_turns(workers, args.repeats)
    peak = max(peak, measure_peak())
    for worker in workers.values():
        worker.communicate()
    print(machine.describe())
    print(
        f"dim {args.dim}, batch {args.batch}, ours in {args.precision}"
        + ", by XLA" * args.jit
        + f", medians of {args.repeats}; matrix products: "
        f"{peak / 1e9:.0f} GFLOP/s"
    )
    row = "{:7} {:>9} {:>9} {:>11} {:>8} {:>8} {:>8} {:>8}"
    print(
        row.format(
            "", "critic s", "gen. s", "iteration s", "clips/s", "of peak",
            "GiB", "ratio",
        )
    )  # fmt: skip
    reference = None
    for kind, numbers in answers.items():
        columns = list(zip(*numbers, strict=True))
        critic, generator = map(statistics.median, columns[:2])
        iteration = CRITIC_STEPS * critic + generator
        reference = reference or iteration
        work_done = args.batch * (CRITIC_STEPS * flops[0] + flops[1])
        print(
            row.format(
                kind,
                f"{critic:.3f}",
                f"{generator:.3f}",
                f"{iteration:.3f}",
                f"{CRITIC_STEPS * args.batch / iteration:.1f}",
                f"{work_done / iteration / peak:.2f}",
                f"{columns[2][-1] / 2**30:.2f}",
                f"{reference / iteration:.2f}",
            )
        )


if __name__ == "__main__":
    main()
