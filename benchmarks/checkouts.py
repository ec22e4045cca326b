r"""Times training by two checkouts of this project, in turn.

  git worktree add ../before 2216159
  python benchmarks/checkouts.py ../before . --repeats 3 -- \
      --flagfile=$PWD/flagfiles/fast.cfg --data_dir=/path/to/sc09/train \
      --wavegan_dim=16 --train_batch_size=16

What follows `--` are flags of `train_wavegan.py train`, which both know. Each
run starts in a train dir of its own, in the checkout's folder; both use this
Python. An update's time is that between the tenth update, when all is compiled,
and the last one, as the run's own metrics.jsonl has it.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

# TensorFlow is imported as it is: options that this checkout sets for it would
# reach the runs of the other one.
from benchmarks import machine


@dataclasses.dataclass(frozen=True)
class Run:
    """What was measured of a run.

    Attributes:
      secs: Duration of an update.
      first_secs: Duration of the first ten updates, with all that is compiled.
      peak_bytes: Largest memory of the process.
    """

    secs: float
    first_secs: float
    peak_bytes: float


def train(checkout: pathlib.Path, updates: int, flags: list[str]) -> Run:
    """Trains by the code of a checkout, and measures the run."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["train_wavegan.py", "train", folder, *flags]
        process = subprocess.Popen(
            [sys.executable, *command, f"--train_max_steps={updates}"],
            cwd=checkout,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{checkout}: {' '.join(command)} failed")
        text = pathlib.Path(folder, "metrics.jsonl").read_text("utf-8")
    first, *_, last = map(json.loads, text.splitlines())
    secs = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return Run(secs, first["seconds"], 1024 * usage.ru_maxrss)


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkouts", nargs=2, type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=60)
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(
        sys.argv[1:at], argparse.Namespace(flags=sys.argv[at + 1 :])
    )
    if args.updates < 20:
        parser.error("--updates: expected at least 20, since ten are left out")
    return args


def main() -> None:
    """Prints the table."""
    args = parse()
    runs: dict[pathlib.Path, list[Run]] = {path: [] for path in args.checkouts}
    for _ in range(args.repeats):
        for checkout, measured in runs.items():
            measured.append(train(checkout, args.updates, args.flags))
    print(machine.describe())
    print(f"{' '.join(args.flags)}; medians of {args.repeats}")
    row = "{:24} {:>10} {:>10} {:>6} {:>8}"
    print(row.format("", "s/update", "first 10 s", "GiB", "of first"))

    def median(checkout: pathlib.Path, number: str) -> float:
        return statistics.median(getattr(run, number) for run in runs[checkout])

    for checkout in args.checkouts:
        secs = median(checkout, "secs")
        print(
            row.format(
                checkout.resolve().name,
                f"{secs:.3f}",
                f"{median(checkout, 'first_secs'):.1f}",
                f"{median(checkout, 'peak_bytes') / 2**30:.2f}",
                f"{secs / median(args.checkouts[0], 'secs'):.2f}",
            )
        )


if __name__ == "__main__":
    main()
