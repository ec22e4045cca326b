"""Runs a training step that `lower_step.py` wrote; needs only JAX and NumPy.

  python benchmarks/lowered_step.py STEP --updates 1000

It prints losses and milliseconds per generator update, and at the end leaves
the state of the run in STEP. Clips are drawn in a new random order for each
epoch. --decay lets the learning rates fall linearly to 2% over the last
updates. NVIDIA_TF32_OVERRIDE=0 in the environment makes products of float32
exact to 24 bits on a GPU, where XLA's default is TF32.
"""

import argparse
import gzip
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jaxlib import _jax
from jaxlib.mlir import ir

jax.config.update("jax_enable_x64", True)

REPORT = 1000  # updates from one line to the next
SYNC = 50  # updates that may be queued on the device
END_RATE = 0.02


def compile_step(module: bytes) -> Any:
    """Compiles a serialised HLO module for the first device.

    A GPU's compiler takes StableHLO alone, which has no copies.
    """
    stable = _jax.mlir.hlo_to_stablehlo(module)
    with mlir.make_ir_context():
        program = ir.Module.parse(stable)
        copies: list[Any] = []

        def visit(op: Any) -> Any:
            if op.name == "mhlo.copy":
                op.results[0].replace_all_uses_with(op.operands[0])
                copies.append(op)
            return ir.WalkResult.ADVANCE

        program.operation.walk(visit)
        for copy in copies:
            copy.erase()
        text = mlir.module_to_bytecode(program)
    device = jax.devices()[0]
    devices = _jax.DeviceList((device,))
    options = xla_client.CompileOptions()
    return device.client.compile_and_load(text, devices, options)


def draw(num_clips: int, shape: list[int], seed: int) -> Iterator[np.ndarray]:
    """Draws the indices of the clips of each update, epoch by epoch."""
    rng, waiting = np.random.default_rng(seed), np.zeros(0, np.int32)
    size = int(np.prod(shape))
    while True:
        while len(waiting) < size:
            order = rng.permutation(num_clips).astype(np.int32)
            waiting = np.concatenate([waiting, order])
        yield waiting[:size].reshape(shape)
        waiting = waiting[size:]


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("step", type=pathlib.Path)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--decay", type=int, default=0, metavar="UPDATES")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Trains for some updates."""
    about = json.loads((args.step / "about.json").read_text())
    start = time.monotonic()
    step = compile_step(
        gzip.decompress((args.step / "step.hlo.gz").read_bytes())
    )
    print(f"{jax.devices()[0].device_kind}: {time.monotonic() - start:.0f} s")
    clips = np.load(args.step / "clips.npz")
    inputs = [jax.device_put(clips[name]) for name in ("audio", "labels")]
    saved = np.load(args.step / "state.npz")
    state = [jax.device_put(saved[str(i)]) for i in range(len(saved.files))]
    rates = {i: state[i] for i, is_rate in enumerate(about["rates"]) if is_rate}
    changed = [i for i, changes in enumerate(about["changed"]) if changes]
    batches = draw(len(clips["labels"]), about["shape"], args.seed)
    start, since = time.monotonic(), 0
    for update in range(1, args.updates + 1):
        if args.decay and update % SYNC == 1:
            left = min(1.0, (args.updates - update) / args.decay)
            for i, rate in rates.items():
                state[i] = rate * np.float32(END_RATE + (1 - END_RATE) * left)
        indices = jax.device_put(next(batches))
        losses, *new = step.execute([*inputs, indices, *state])
        for i, value in zip(changed, new, strict=True):
            state[i] = value
        if update % SYNC == 0 and not np.isfinite(losses).all():
            raise FloatingPointError(f"update {update}: losses {losses}")
        if update % REPORT == 0 or update == args.updates:
            losses = np.asarray(losses)
            now = time.monotonic()
            pace = 1000 * (now - start) / (update - since)
            print(
                f"{update}: losses {losses}, {pace:.2f} ms/update", flush=True
            )
            start, since = now, update
    for i, rate in rates.items():
        state[i] = rate
    arrays: dict[str, Any] = {
        str(i): np.asarray(value) for i, value in enumerate(state)
    }
    np.savez_compressed(args.step / "state.npz", **arrays)


if __name__ == "__main__":
    main(parse_arguments())
