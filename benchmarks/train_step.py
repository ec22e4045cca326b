r"""Times training iterations of this project and of other code in turn.

  python benchmarks/train_step.py --dim 16 --batch 16
  python benchmarks/train_step.py --rivals plain tf1 torch jax \
      --python torch=ENV/bin/python jax=ENV/bin/python

An iteration is five updates of the critic and one of the generator. Each
variant runs in a process of its own, so that its memory can be measured; they
take turns, so that other load on the machine slows all of them. The rivals are
in benchmarks/rivals/: the same networks and step in Keras's own layers, as a
graph of TensorFlow 1, in PyTorch, and in JAX; the last two need environments of
their own, with `pip install torch` or `jax`. "of peak" compares the
multiplications that the definition of the networks needs (25 taps, nothing
twice) with the fastest float32 matrix product measured in the same run: more
than 1 means that a variant needs fewer multiplications.
"""

import argparse
import dataclasses
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import tensorflow as tf

import wavegan
from benchmarks import machine

CRITIC_STEPS = 5
WORKER = pathlib.Path(__file__).parent / "rivals" / "worker.py"
# Name -> what it is, module in rivals/, and options.
RIVALS = {
    "plain": ("Keras's own layers", "keras_step", ["plain"]),
    "stock": (
        "ours, --train_conv stock",
        "keras_step",
        ["ours", "fp32", "stock"],
    ),
    "tf1": ("graph of TensorFlow 1", "tf1_step", []),
    "torch": ("PyTorch, conv1d, eager", "torch_step", []),
    "jax": ("JAX, im2col, jit", "jax_step", []),
}


@dataclasses.dataclass(frozen=True)
class Iteration:
    """What a worker prints about an iteration.

    Attributes:
      secs: Duration.
      processor_secs: Time of all cores.
      peak_bytes: Largest memory of the process so far.
      loss: The generator's loss.
    """

    secs: float
    processor_secs: float
    peak_bytes: float
    loss: float


class Worker:
    """A process that makes an iteration when it is asked to.

    Args:
      python: Path of the Python to run.
      arguments: Arguments of `rivals/worker.py`.

    Attributes:
      first_secs: Duration of its first iteration, with all that is compiled.
    """

    def __init__(self, python: str, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [python, str(WORKER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self._readline().split()
        if ready[:1] != ["ready"]:
            raise SystemExit(f"{python} {WORKER} {arguments[0]} did not start")
        self.first_secs = float(ready[1])

    def iterate(self) -> Iteration:
        """Makes an iteration."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Iteration(*map(float, self._readline().split()))

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _readline(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


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


def operations_per_clip(config: wavegan.WaveGANConfig) -> int:
    """Returns the number of operations of an iteration for each clip."""
    critic, generator = count_flops(config)
    return CRITIC_STEPS * critic + generator


def measure_secs(function: Callable[[], object], repeats: int) -> float:
    """Returns the seconds of the fastest call, after one that warms up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_peak(size: int = 2048, repeats: int = 15) -> float:
    """Returns operations per second of the fastest float32 matrix product."""
    a = tf.random.normal([size, size])
    product = tf.function(lambda: tf.linalg.trace(tf.matmul(a, a)))
    return 2 * size**3 / measure_secs(lambda: float(product()), repeats)


def parse() -> argparse.Namespace:
    """Parses the command line."""
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
    parser.add_argument(
        "--rivals",
        nargs="*",
        choices=RIVALS,
        default=["plain"],
        help="\n".join(
            f"{name}: {what}" for name, (what, *_) in RIVALS.items()
        ),
    )
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        metavar="RIVAL=PATH",
        help="the Python of a rival's environment",
    )
    return parser.parse_args()


def main() -> None:
    """Prints the table."""
    args = parse()
    pythons = dict(pair.split("=", 1) for pair in args.python)
    ours = ["ours", args.precision, "auto"] + ["jit"] * args.jit
    variants = {name: RIVALS[name] for name in args.rivals}
    variants["ours"] = ("this project", "keras_step", ours)
    workers = {}
    for name, (_, module, options) in variants.items():
        arguments = [module, str(args.dim), str(args.batch), *options]
        python = pythons.get(name, sys.executable)
        workers[name] = Worker(python, arguments)
    peak = measure_peak()
    iterations: dict[str, list[Iteration]] = {name: [] for name in workers}
    for _ in range(args.repeats):
        for name, worker in workers.items():
            iterations[name].append(worker.iterate())
    peak = max(peak, measure_peak())
    print(machine.describe())
    print(
        f"dim {args.dim}, batch {args.batch}, ours in {args.precision}"
        + ", by XLA" * args.jit
        + f", medians of {args.repeats}; matrix products: "
        f"{peak / 1e9:.0f} GFLOP/s"
    )
    flops = args.batch * operations_per_clip(
        wavegan.WaveGANConfig(dim=args.dim)
    )
    row = "{:24} {:>9} {:>11} {:>8} {:>8} {:>6} {:>8} {:>7}"
    print(
        row.format(
            "", "seconds", "processor s", "clips/s", "of peak", "GiB",
            "first s", "times",
        )
    )  # fmt: skip

    def median(name: str, number: str) -> float:
        return statistics.median(getattr(i, number) for i in iterations[name])

    for name, worker in workers.items():
        worker.close()
        secs = median(name, "secs")
        print(
            row.format(
                variants[name][0],
                f"{secs:.3f}",
                f"{median(name, 'processor_secs'):.3f}",
                f"{CRITIC_STEPS * args.batch / secs:.1f}",
                f"{flops / secs / peak:.2f}",
                f"{iterations[name][-1].peak_bytes / 2**30:.2f}",
                f"{worker.first_secs:.1f}",
                f"{secs / median('ours', 'secs'):.2f}",
            )
        )


if __name__ == "__main__":
    main()
