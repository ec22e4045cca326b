r"""Kills a training again and again and checks that it resumes bit-identically.

  python benchmarks/chaos.py --kills 30 --seed 0

A tiny model learns noise and saves after each step; some of its processes save
less often, so that the next one repeats steps. Processes are killed at random
moments, most of them during or between saves, one in five at any time from the
process's start on, and restarted. A second run trains to the same step without
kills. The contents of both must be the same to the last bit; the exit code is 1
if they are not.

--signal chooses the signal: KILL ends the process at once, TERM asks for a last
save, STOP freezes the process for a moment and asks for a last save when it
continues.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

SCRIPT = pathlib.Path(console.__file__).parent.parent / "train_wavegan.py"
TINY = (
    "--data_slice_len=256",
    "--wavegan_dim=2",
    "--wavegan_latent_dim=8",
    "--wavegan_disc_nupdates=2",
    "--train_batch_size=4",
    "--train_ema_decay=0.9",
)
ANYWHERE = 0.2  # share of kills that do not wait for a step
SAVE_SECS = (0.0, 0.0, 0.3)  # time between saves, drawn for each process
START_SECS = 5.0  # assumed duration of a start until one has been measured
STEPPING_SECS = 1.0  # longest time from the first step to a kill
FROZEN_SECS = 1.0  # time between SIGSTOP and SIGCONT
PATIENCE_SECS = 300.0  # timeout for a step, or for the end of a process
MORE_STEPS = 20  # steps after the last kill
# Without this script, a training process ends by itself after so many steps.
LONG_STEPS = 5000


class ResumeError(Exception):
    """Error of a training that did not resume, or not from the right step."""


@dataclasses.dataclass
class Run:
    """A training run on disk.

    Attributes:
      path: Train dir of the run.
      audio: Folder of the training data.
    """

    path: pathlib.Path
    audio: pathlib.Path

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder of the run's checkpoints."""
        return self.path / "checkpoints"

    @property
    def log(self) -> pathlib.Path:
        """File with the stderr of the run's newest process."""
        return self.path.with_suffix(".log")

    def start(self, max_steps: int, *flags: str) -> subprocess.Popen[bytes]:
        """Starts a process that continues the run."""
        command = [sys.executable, str(SCRIPT), "train", str(self.path), *TINY]
        flags += (f"--data_dir={self.audio}", f"--train_max_steps={max_steps}")
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*command, *flags], stdout=subprocess.DEVNULL, stderr=log
            )

    def finish(self, max_steps: int) -> None:
        """Trains without kills, with the usual interval of saves.

        Raises:
          ResumeError: The process failed.
        """
        before = self.newest()
        process = self.start(max_steps, "--train_save_secs=300")
        self.check(process.wait(), {0}, before)

    def newest(self) -> int:
        """Returns the step of the newest checkpoint, 0 if there is none."""
        names = (path.stem for path in self.checkpoints.glob("ckpt-*.index"))
        return max((int(name.split("-")[1]) for name in names), default=0)

    def leftovers(self) -> set[tuple[str, int]]:
        """Returns names and times of files that belong to no checkpoint."""
        if not self.checkpoints.exists():
            return set()
        whole = {path.stem for path in self.checkpoints.glob("ckpt-*.index")}
        return {
            (path.name, path.stat().st_mtime_ns)
            for path in self.checkpoints.iterdir()
            if path.stem not in whole and path.name != "checkpoint"
        }

    def wait_for(self, process: subprocess.Popen[bytes], step: int) -> None:
        """Waits for a checkpoint of a step or later.

        Raises:
          ResumeError: There is no such checkpoint before the timeout.
        """
        deadline = time.monotonic() + PATIENCE_SECS
        while self.newest() < step:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ResumeError(f"step {step} does not come: see {self.log}")
            time.sleep(0.005)

    def check(self, code: int, good: set[int], before: int) -> None:
        """Checks the end of a process that started at checkpoint `before`.

        Raises:
          ResumeError: The exit code is not in `good`, stderr has a traceback,
            or the process did not start from this checkpoint.
        """
        text = self.log.read_text()
        if code not in good or "Traceback" in text:
            raise ResumeError(f"ended with {code}: see {self.log}")
        resumed = re.search(r"^resuming .* at step (\d+)$", text, re.MULTILINE)
        start = int(resumed[1]) if resumed else 0
        # A process without a step may have had no time to log where it started.
        # And the next process completes a save that was killed in its last
        # moves.
        if start < before and (resumed or self.newest() > before):
            raise ResumeError(
                f"went on from step {start}, not {before}: see {self.log}"
            )


@dataclasses.dataclass(frozen=True)
class Life:
    """The result of one process.

    Attributes:
      steps: Number of steps that the process made and saved.
      saving: Whether the kill left a partly written checkpoint.
      start_secs: Seconds from the start to the first checkpoint; 0: unknown.
    """

    steps: int
    saving: bool
    start_secs: float


def live(
    run: Run,
    how: signal.Signals,
    delay: float,
    from_start: bool,
    save_secs: float,
) -> Life:
    """Starts a process that continues a run, and kills it.

    Args:
      run: Run to continue.
      how: Signal: SIGKILL, SIGTERM or SIGSTOP.
      delay: Seconds until the kill.
      from_start: Whether `delay` counts from the start of the process instead
        of from its first checkpoint.
      save_secs: Seconds between two saves.

    Raises:
      ResumeError: The process did not resume or end as it should.
    """
    before, leftovers = run.newest(), run.leftovers()
    began, start_secs = time.monotonic(), 0.0
    process = run.start(before + LONG_STEPS, f"--train_save_secs={save_secs}")
    try:
        if not from_start:
            run.wait_for(process, before + 1)
            start_secs = time.monotonic() - began
        time.sleep(delay)
        if how == signal.SIGSTOP:
            process.send_signal(how)
            time.sleep(FROZEN_SECS)
            frozen_at = run.newest()
            process.send_signal(signal.SIGCONT)
            run.wait_for(process, frozen_at + 1)
        steps = run.newest() - before
        asked = signal.SIGKILL if how == signal.SIGKILL else signal.SIGTERM
        process.send_signal(asked)
        code = process.wait(PATIENCE_SECS)
    finally:
        process.kill()
        process.wait()
    good = {-signal.SIGKILL} if how == signal.SIGKILL else {128 + asked}
    if asked == signal.SIGTERM and not steps:
        good.add(-asked)  # it had not yet installed its signal handler
    run.check(code, good, before)
    saving = bool(run.leftovers() - leftovers)
    return Life(run.newest() - before, saving, start_secs)


def content(run: Run) -> dict[str, Any]:
    """Returns a run's tensors, losses and step by name, for comparison."""
    console.import_tensorflow()  # not earlier: only the comparison needs it
    import tensorflow as tf

    step = run.newest()
    found: dict[str, Any] = {"newest checkpoint": step}
    reader = tf.train.load_checkpoint(str(run.checkpoints / f"ckpt-{step}"))
    for name, shape in reader.get_variable_to_shape_map().items():
        # TensorFlow's metadata of a checkpoint are not part of the run.
        if "OBJECT_GRAPH" not in name and "save_counter" not in name:
            tensor = reader.get_tensor(name)
            found[name] = str(tensor.dtype), shape, tensor.tobytes()
    for line in (run.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        losses = [row["d_loss"], row["g_loss"]]
        # A step that was repeated has several rows.
        found.setdefault(f"losses of step {row['step']}", []).extend(losses)
    return found


def differences(a: Run, b: Run) -> list[str]:
    """Returns the names of all contents in which two runs differ."""
    ours, theirs = content(a), content(b)
    names = sorted(ours.keys() | theirs.keys())
    return [name for name in names if ours.get(name) != theirs.get(name)]


def make_audio(folder: pathlib.Path) -> pathlib.Path:
    """Writes eleven short clips to a new folder and returns its path."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(11):
        samples = 0.3 * rng.standard_normal(200 + 40 * i)
        soundfile.write(folder / f"{i}.wav", samples, 16000)
    return folder


def torment(
    folder: pathlib.Path, kills: int, how: signal.Signals, seed: int, steps: int
) -> list[str]:
    """Trains with and without kills, and prints the progress.

    Args:
      folder: Folder for both runs, new or empty.
      kills: Number of kills.
      how: Signal: SIGKILL, SIGTERM or SIGSTOP.
      seed: Seed of the moments of the kills.
      steps: Smallest number of steps to train.

    Returns:
      Names of all contents in which both runs differ.

    Raises:
      ResumeError: A process did not resume or end as it should.
    """
    audio = make_audio(folder / "audio")
    killed, whole = Run(folder / "killed", audio), Run(folder / "whole", audio)
    rng = np.random.default_rng(seed)
    began, start_secs = time.monotonic(), START_SECS
    lives: list[Life] = []
    while len(lives) < kills:
        # The first kill comes while the train dir is being created.
        from_start = not lives or rng.random() < ANYWHERE
        delay = rng.uniform(0, start_secs if from_start else STEPPING_SECS)
        save_secs = rng.choice(SAVE_SECS)
        life = live(killed, how, delay, from_start, save_secs)
        start_secs = life.start_secs or start_secs
        lives.append(life)
        where = ", within a save" if life.saving else ""
        print(
            f"{how.name} {len(lives)} of {kills}: step {killed.newest()} "
            f"(+{life.steps}){where}",
            flush=True,
        )
    goal = max(steps, killed.newest() + MORE_STEPS)
    killed.finish(goal)
    whole.finish(goal)
    made = [life.steps for life in lives]
    print(
        f"{kills} x {how.name}: {sum(life.saving for life in lives)} within a "
        f"save, {made.count(0)} before a new checkpoint; {min(made)} to "
        f"{max(made)} steps between two; {goal} steps, "
        f"{(time.monotonic() - began) / 60:.1f} minutes"
    )
    return differences(killed, whole)


def main() -> None:
    """Trains, kills and compares; keeps the runs if they differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30, help="number of kills")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the moments of the kills"
    )
    parser.add_argument(
        "--signal",
        default="KILL",
        choices=list(SIGNALS),
        help="signal that ends a process",
    )
    parser.add_argument(
        "--steps", type=int, default=0, help="smallest number of steps"
    )
    parser.add_argument(
        "--work_dir",
        type=pathlib.Path,
        help="new folder for the runs, which is kept",
    )
    args = parser.parse_args()
    folder = args.work_dir or pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        differ = torment(
            folder, args.kills, SIGNALS[args.signal], args.seed, args.steps
        )
    except (ResumeError, FileExistsError) as error:
        sys.exit(f"chaos.py: {error}")
    if differ:
        some = ", ".join(differ[:5])
        sys.exit(f"chaos.py: {folder}: {len(differ)} differ, such as {some}")
    if not args.work_dir:
        shutil.rmtree(folder)
    print("bit-identical")


SIGNALS = {
    "KILL": signal.SIGKILL,
    "TERM": signal.SIGTERM,
    "STOP": signal.SIGSTOP,
}

if __name__ == "__main__":
    main()
