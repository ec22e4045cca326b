"""Calculates how long a training step takes on a GPU at the least.

  python benchmarks/roofline.py [--dim 64] [--batch 64]

Nothing is measured. An iteration, five critic updates and one of the generator,
needs operations and memory traffic; each divided by a card's limit is a time
that no implementation can beat, if it convolves as the paper does. Traffic is
counted as if every layer were one kernel that reads its input and its weights
and writes its output: separate activations and phase shuffles add to that.
"""

import argparse
import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import wavegan
from benchmarks import train_step

# Passes of an update through each network, as `train_step.count_flops` counts
# them: critic, generator.
PASSES = ((1, 10), (3, 2))  # (through G, through D)
ADAM = 7  # values read and written for each weight: 4 and 3, float32


@dataclasses.dataclass(frozen=True)
class Card:
    """Limits of a GPU by its maker's data sheet, without sparsity.

    Attributes:
      flops: Operations per second by precision.
      bytes_per_sec: Bandwidth of its memory.
    """

    flops: dict[str, float]
    bytes_per_sec: float


CARDS = {
    "H100 SXM": Card(
        {"float32": 67e12, "TF32": 495e12, "bfloat16": 989e12}, 3.35e12
    ),
    "H200": Card(
        {"float32": 67e12, "TF32": 495e12, "bfloat16": 989e12}, 4.8e12
    ),
    "RTX 4090": Card(
        {"float32": 82.6e12, "TF32": 82.6e12, "bfloat16": 165e12}, 1.008e12
    ),
}


def count_operations(config: wavegan.WaveGANConfig, batch: int) -> float:
    """Counts the floating-point operations of an iteration."""
    return batch * train_step.operations_per_clip(config)


def count_bytes(
    config: wavegan.WaveGANConfig, batch: int, width: int = 4
) -> float:
    """Counts the bytes that an iteration moves from and to a GPU's memory.

    Args:
      config: Architecture of the networks.
      batch: Number of clips in a batch.
      width: Bytes of an activation, and of a weight while it is used.
    """
    networks = (
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
    )
    weights = [network.count_params() for network in networks]
    steps, channels, layers = config.slice_len, config.channels, 0
    for outputs, stride in zip(config.widths, config.strides, strict=True):
        layers += steps * channels  # read by D, written by G
        steps, channels = steps // stride, outputs
        layers += steps * channels  # written by D, read by G
    total = 0
    for passes, repeats, trained in zip(
        PASSES, (train_step.CRITIC_STEPS, 1), reversed(weights), strict=True
    ):
        moved = sum(
            number * (batch * layers + count)
            for number, count in zip(passes, weights, strict=True)
        )
        total += repeats * (width * moved + 4 * ADAM * trained)
    return total


def main() -> None:
    """Prints the work of an iteration and its shortest time by card."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    config = wavegan.WaveGANConfig(dim=args.dim)
    flops = count_operations(config, args.batch)
    clips = train_step.CRITIC_STEPS * args.batch
    print(f"an iteration: {flops / 1e12:.2f} TFLOP, {clips} clips of data")
    print(f"{'card':10}{'products':>10}{'GB':>7}{'compute, ms':>13}", end="")
    print(f"{'memory, ms':>12}{'clips/s':>9}")
    for name, card in CARDS.items():
        for precision, limit in card.flops.items():
            width = 2 if precision == "bfloat16" else 4
            moved = count_bytes(config, args.batch, width)
            compute, memory = flops / limit, moved / card.bytes_per_sec
            rate = clips / max(compute, memory)
            print(f"{name:10}{precision:>10}{moved / 1e9:7.1f}", end="")
            print(f"{compute * 1e3:13.1f}{memory * 1e3:12.1f}{rate:9,.0f}")


if __name__ == "__main__":
    main()
