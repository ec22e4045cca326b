"""Shows where the time of a training iteration goes, and what bounds it.

  python benchmarks/profile_step.py --dim 16 --batch 16

For each kind of TensorFlow operation it prints how often an iteration calls it,
how long the calls take (tf.profiler, mean of --repeats iterations), and the
least time that they would need: their multiplications at the rate of the
fastest matrix product of this machine, or their inputs and outputs at the rate
at which it copies memory, whichever is longer. Operations run side by side, so
that times may add up to more than the iteration takes.
"""

import argparse
import collections
import dataclasses
import math
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import wavegan
from benchmarks import machine, plain, train_step

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
# They move no data: views, constants, variables, control flow.
FREE = {
    *("Const", "Placeholder", "Identity", "IdentityN", "NoOp", "Reshape"),
    *("ReadVariableOp", "Shape", "Squeeze", "ExpandDims", "StopGradient"),
    *CALLS,
}


@dataclasses.dataclass
class Work:
    """What the operations of one kind do in an iteration.

    Attributes:
      calls: Number of calls.
      flops: Multiplications and additions of products and convolutions.
      size: Bytes of all inputs and outputs.
      secs: Duration of all calls.
    """

    calls: int = 0
    flops: float = 0.0
    size: float = 0.0
    secs: float = 0.0


def operations(graph: tf.Graph) -> Iterator[tf.Operation]:
    """Yields the operations of a graph and, at each call, of its functions."""
    for operation in graph.get_operations():
        yield operation
        if operation.type in CALLS:
            name = operation.get_attr("f").name
            yield from operations(graph._get_function(name).graph)


def num_elements(tensor: tf.Tensor) -> int:
    """Returns the number of elements, 0 if it is unknown."""
    return tensor.shape.num_elements() or 0 if tensor.shape.rank else 1


def flops_of(operation: tf.Operation) -> float:
    """Counts multiplications and additions of a product or convolution."""
    kind = operation.type
    if kind in ("MatMul", "BatchMatMulV2"):
        a = operation.inputs[0]
        flag = "transpose_a" if kind == "MatMul" else "adj_x"
        inner = a.shape[-2] if operation.get_attr(flag) else a.shape[-1]
        return 2.0 * num_elements(operation.outputs[0]) * (inner or 0)
    if kind == "Conv2D":
        taps = math.prod(operation.inputs[1].shape[:3])
        return 2.0 * num_elements(operation.outputs[0]) * taps
    if kind == "Conv2DBackpropInput":
        taps = math.prod(operation.inputs[1].shape[:3])
        return 2.0 * num_elements(operation.inputs[2]) * taps
    if kind == "Conv2DBackpropFilter":
        taps = math.prod(operation.outputs[0].shape[:3])
        return 2.0 * num_elements(operation.inputs[2]) * taps
    return 0.0


def count(graph: tf.Graph) -> dict[str, Work]:
    """Counts the work of a graph by kind of operation."""
    found: dict[str, Work] = collections.defaultdict(Work)
    for operation in operations(graph):
        if operation.type in FREE:
            continue
        work = found[operation.type]
        work.calls += 1
        work.flops += flops_of(operation)
        work.size += sum(
            num_elements(tensor) * tensor.dtype.size
            for tensor in [*operation.inputs, *operation.outputs]
        )
    return found


def name_of(kind: str) -> str:
    """Returns the name that an operation had before the graph was optimised."""
    for part in ("_Mkl", "Native", "Fused", "_Fused"):
        kind = kind.removeprefix(part)
    return kind


def profile(step: Callable[[], float], repeats: int) -> dict[str, float]:
    """Measures the seconds of each kind of operation in an iteration."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(repeats):
            step()
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found: dict[str, float] = collections.defaultdict(float)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if "/" in name or ":" in name:
                    kind = name_of(name.rsplit(":", 1)[-1])
                    found[kind] += event.duration_ps / 1e12 / repeats
    return found


def measure_bandwidth(size: int = 2**26, repeats: int = 9) -> float:
    """Returns the bytes per second that are read and written in a copy."""
    x = tf.zeros([size])
    copy = tf.function(lambda: x + 1.0)
    return 2 * 4 * size / train_step.measure_secs(copy, repeats)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    model = plain.build("ours", wavegan.WaveGANConfig(dim=args.dim))
    function = tf.function(model.train_step, autograph=False)
    shape = [train_step.CRITIC_STEPS, args.batch, 16384, 1]
    real = tf.random.stateless_uniform(shape, [0, 0], -1, 1)
    work = count(function.get_concrete_function(real).graph)

    def step() -> float:
        start = time.perf_counter()
        float(function(real)["g_loss"])
        return time.perf_counter() - start

    step()
    secs = statistics.median(step() for _ in range(args.repeats))
    peak, bandwidth = train_step.measure_peak(), measure_bandwidth()
    for kind, duration in profile(step, args.repeats).items():
        if kind in work:
            work[kind].secs = duration
    print(machine.describe())
    print(
        f"dim {args.dim}, batch {args.batch}: {secs:.3f} s an iteration; "
        f"matrix products: {peak / 1e9:.0f} GFLOP/s; "
        f"copies: {bandwidth / 1e9:.1f} GB/s"
    )
    row = "{:24} {:>7} {:>9} {:>8} {:>8} {:>9} {:>9}"
    print(
        row.format(
            "operation", "calls", "ms", "GFLOP", "GB", "GFLOP/s", "least ms"
        )
    )
    rows = sorted(work.items(), key=lambda pair: -pair[1].secs)
    total = 0.0
    for kind, done in rows:
        least = max(done.flops / peak, done.size / bandwidth)
        total += least
        if done.secs < 0.005 * secs:
            continue
        print(
            row.format(
                kind,
                done.calls,
                f"{1000 * done.secs:.1f}",
                f"{done.flops / 1e9:.2f}",
                f"{done.size / 1e9:.2f}",
                f"{done.flops / done.secs / 1e9:.0f}",
                f"{1000 * least:.1f}",
            )
        )
    durations = sum(done.secs for done in work.values())
    print(f"all: {1000 * durations:.0f} ms; least: {1000 * total:.0f} ms")


if __name__ == "__main__":
    main()
