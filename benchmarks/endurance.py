r"""Checks that a long training and its preview do not leak memory or files.

  python benchmarks/endurance.py --steps 30000 --out endurance.jsonl

A tiny model learns noise, with a save and a summary every five seconds, while
the command `preview` follows it in a process of its own. Every two seconds,
memory, open files and threads of both processes are counted, and in the trainer
also TensorFlow's graphs. The first fifth of the steps is left out as warm-up.
The exit code is 1 unless nothing grows; memory may grow by less than 1 MiB in
1,000 steps.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from typing import Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import chaos
from system import console

SAMPLE_SECS = 2.0
WARM_UP = 0.2  # share of the steps that is left out
PROCESSES = ("trainer", "preview")
# Limits of growth: of memory in MiB for 1,000 steps, of other counts from the
# first half of the steps to the second.
LIMITS = {"rss_mib": 1.0, "files": 0, "threads": 2, "graphs": 0}


@dataclasses.dataclass
class Watch:
    """Samples the resources of this process, which trains, and of a preview.

    Attributes:
      train_dir: Train dir of the training.
      out: File for the samples, in JSON lines.
      graphs: TensorFlow's graphs that are alive.
      lost: Whether the preview ended by itself.
    """

    train_dir: pathlib.Path
    out: pathlib.Path
    graphs: weakref.WeakSet[Any]
    lost: bool = False

    def run(self, stop: threading.Event) -> None:
        """Samples until it is asked to stop, then ends the preview."""
        command = [sys.executable, str(chaos.SCRIPT), "preview"]
        while not (self.train_dir / "config.json").exists():
            if stop.wait(0.1):
                return
        with subprocess.Popen(
            [*command, str(self.train_dir)], stdout=subprocess.DEVNULL
        ) as preview:
            try:
                while not (stop.wait(SAMPLE_SECS) or self.lost):
                    self._sample(preview.pid)
                    self.lost = preview.poll() is not None
            finally:
                preview.terminate()

    def _sample(self, preview: int) -> None:
        place = {
            "step": newest_step(self.train_dir),
            "time": round(time.monotonic(), 1),
        }
        ours = {**count(os.getpid()), "graphs": len(self.graphs)}
        rows = [
            {"process": "trainer", **place, **ours},
            {"process": "preview", **place, **count(preview)},
        ]
        with self.out.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def note_graphs() -> weakref.WeakSet[Any]:
    """Returns a set of the TensorFlow graphs that are created from now on."""
    # gc.get_objects() in a thread finds them too, but it breaks tuples that
    # other threads are creating at that moment.
    console.import_tensorflow()
    from tensorflow.python.framework import func_graph

    graphs: weakref.WeakSet[Any] = weakref.WeakSet()
    make = func_graph.FuncGraph.__init__

    def note(graph: Any, *args: Any, **kwargs: Any) -> None:
        make(graph, *args, **kwargs)
        graphs.add(graph)

    func_graph.FuncGraph.__init__ = note
    return graphs


def newest_step(train_dir: pathlib.Path) -> int:
    """Returns the last step in metrics.jsonl."""
    path = train_dir / "metrics.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return json.loads(whole.splitlines()[-1])["step"] if whole else 0


def count(process: int) -> dict[str, Any]:
    """Counts memory, open files and threads of a process."""
    folder = pathlib.Path("/proc") / str(process)
    pages = int((folder / "statm").read_text().split()[1])
    return {
        "rss_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2),
        "files": len(list((folder / "fd").iterdir())),
        "threads": len(list((folder / "task").iterdir())),
    }


def growth(rows: list[dict[str, Any]], key: str) -> float:
    """Computes growth: memory in 1,000 steps, other counts between halves.

    Numbers of files and threads fluctuate, so that their minima are compared.
    """
    values = np.array([row[key] for row in rows], float)
    if key == "rss_mib":
        steps = np.array([row["step"] for row in rows], float)
        return 1000 * float(np.polyfit(steps, values, 1)[0])
    half = len(values) // 2
    return float(values[half:].min() - values[:half].min())


def report(rows: list[dict[str, Any]]) -> tuple[str, bool]:
    """Makes a Markdown table, and returns it and whether nothing grows.

    Raises:
      ValueError: There are too few samples.
    """
    lines = ["| process | | first | last | lowest | highest | growth |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|")
    flat = True
    for name in PROCESSES:
        warm = [
            row
            for row in rows
            if row["process"] == name
            and row["step"] >= WARM_UP * rows[-1]["step"]
        ]
        if len(warm) < 4 or warm[0]["step"] == warm[-1]["step"]:
            raise ValueError(f"{name}: too few samples: train for more --steps")
        for key, limit in LIMITS.items():
            if key not in warm[0]:
                continue
            values = [row[key] for row in warm]
            grown = growth(warm, key)
            bad = "" if grown <= limit else " !"
            flat = flat and not bad
            numbers = values[0], values[-1], min(values), max(values)
            cells = [name, key, *(f"{n:.10g}" for n in numbers)]
            lines.append(f"| {' | '.join(cells)} | {grown:+.2f}{bad} |")
    return "\n".join(lines), flat


def train(folder: pathlib.Path, steps: int) -> None:
    """Trains in this process, by the project's command line."""
    sys.argv = [str(chaos.SCRIPT), "train", str(folder / "train"), *chaos.TINY]
    sys.argv += [f"--data_dir={chaos.make_audio(folder / 'audio')}"]
    sys.argv += [f"--train_max_steps={steps}"]
    sys.argv += ["--train_save_secs=5", "--train_summary_secs=5"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


def main() -> None:
    """Trains, samples resources and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30000)
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="JSON lines of samples"
    )
    args = parser.parse_args()
    args.out.write_text("")
    with tempfile.TemporaryDirectory(prefix="endurance-") as name:
        folder = pathlib.Path(name)
        stop = threading.Event()
        watch = Watch(folder / "train", args.out, note_graphs())
        watcher = threading.Thread(target=watch.run, args=[stop])
        watcher.start()
        try:
            train(folder, args.steps)
        finally:
            stop.set()
            watcher.join()
    if watch.lost:
        sys.exit("endurance.py: the preview ended by itself")
    rows = [json.loads(line) for line in args.out.read_text().splitlines()]
    table, flat = report(rows)
    print(table)
    sys.exit(0 if flat else "endurance.py: not flat: see the lines with a !")


if __name__ == "__main__":
    main()
