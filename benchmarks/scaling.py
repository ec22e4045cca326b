"""Estimates the speed of training on several GPUs, without measuring it.

  python benchmarks/scaling.py
  python benchmarks/scaling.py --tflops 60 --dim 32

A step consists of computation and then communication:

  compute       = clips of a GPU x operations of a clip / --tflops
  communication = 2 (N - 1) / N x bytes / speed of the ring's slowest link

There are four bytes for each trainable weight: the critic's are sent once for
each of its updates, the generator's once. Operations are those that
`train_step.py` counts: 25 taps, nothing twice. The estimate leaves out latency,
optimizers, loading, overlap of computation and communication, and that a GPU
with few clips takes longer for each.
"""

import argparse
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import keras

import wavegan
from benchmarks import train_step

BATCH = 64
TFLOPS = 20.0
# Speed of links in bytes per second in one direction, within a machine and
# between machines.
NVLINK = {"NVLink": 450e9}
NETWORKS = {f"{gbit} Gbit/s": gbit * 1e9 / 8 for gbit in (200, 100, 25)}
# Numbers of GPUs, and the possible slowest links of their ring.
RINGS: dict[int, dict[str, float]] = {
    1: {"none": math.inf},
    8: {**NVLINK, **NETWORKS},
    64: NETWORKS,
}
COLUMNS = (
    "GPUs",
    "slowest link",
    "clips: all, each",
    "compute",
    "communication",
    "step",
    "clips/s, times one GPU's",
    "of N times",
)


def count_bytes(network: keras.Model) -> int:
    """Returns the bytes of a network's gradients in float32."""
    return 4 * sum(math.prod(w.shape) for w in network.trainable_weights)


def bytes_per_step(config: wavegan.WaveGANConfig) -> int:
    """Returns the bytes of all gradients that a GPU exchanges in a step."""
    critic = count_bytes(wavegan.build_discriminator(config))
    generator = count_bytes(wavegan.build_generator(config))
    return train_step.CRITIC_STEPS * critic + generator


def communication(num_gpus: int, num_bytes: float, link: float) -> float:
    """Returns the seconds of a ring all-reduce of `num_bytes` on each GPU."""
    return 2 * (num_gpus - 1) / num_gpus * num_bytes / link


def rows(config: wavegan.WaveGANConfig, tflops: float) -> list[tuple[str, ...]]:
    """Returns the rows of the table, by batch, number of GPUs and link."""
    num_bytes = bytes_per_step(config)
    clip_seconds = train_step.operations_per_clip(config) / (tflops * 1e12)
    table: list[tuple[str, ...]] = []
    for grows in (False, True):
        for num_gpus, links in RINGS.items():
            if grows and num_gpus == 1:
                continue  # the same as without
            each = BATCH if grows else BATCH // num_gpus
            for name, link in links.items():
                compute = each * clip_seconds
                waiting = communication(num_gpus, num_bytes, link)
                faster = num_gpus * each * clip_seconds / (compute + waiting)
                table.append(
                    (
                        f"{num_gpus}",
                        name,
                        f"{num_gpus * each:,}, {each}",
                        f"{1e3 * compute:.0f} ms",
                        f"{1e3 * waiting:.1f} ms",
                        f"{1e3 * (compute + waiting):.0f} ms",
                        f"{faster:.1f}",
                        f"{100 * faster / num_gpus:.0f}%",
                    )
                )
    return table


def markdown(config: wavegan.WaveGANConfig, tflops: float) -> str:
    """Formats the table and its assumptions in Markdown."""
    num_bytes = bytes_per_step(config)
    operations = train_step.operations_per_clip(config)
    lines = [
        f"Calculated, not measured: dim {config.dim}, "
        f"{train_step.CRITIC_STEPS} critic updates a step, float32, "
        f"{tflops:g} TFLOP/s sustained by each GPU; "
        f"{num_bytes / 1e6:.0f} MB to add up and "
        f"{operations / 1e9:.0f} GFLOP for each clip in a step.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|--:|---|{'--:|' * (len(COLUMNS) - 2)}",
    ]
    lines += [f"| {' | '.join(row)} |" for row in rows(config, tflops)]
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument(
        "--tflops", type=float, default=TFLOPS, help="TFLOPS of a GPU"
    )
    args = parser.parse_args()
    print(markdown(wavegan.WaveGANConfig(dim=args.dim), args.tflops))


if __name__ == "__main__":
    main()
