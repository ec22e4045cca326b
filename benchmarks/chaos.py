r"""Does a training survive being killed? Ends one again and again, compares.

  python benchmarks/chaos.py --kills 30 --seed 0

A tiny model learns noise and saves after each step, in some lives less often,
so that steps come again. It is ended at random moments, most of them within or
between saves, one in five anywhere from the process's start on, and started
again. Another run is left in peace until the same step: what both know must be
the same to the last bit. Exit code 1 if not.

--signal says how: KILL gives no time for anything, TERM asks for a last save,
STOP freezes the process for a moment and asks when it steps again.
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
SAVE_SECS = (0.0, 0.0, 0.3)  # between two saves, drawn for each life
START_SECS = 5.0  # until a start has shown how long it takes
STEPPING_SECS = 1.0  # at most, from the first step to a kill
FROZEN_SECS = 1.0
PATIENCE_SECS = 300.0  # a step, or an end, that takes longer never comes
MORE_STEPS = 20  # after the last kill
# A run that lost this script ends by itself, these steps after its start.
LONG_STEPS = 5000


class ResumeError(Exception):
    """A training did not go on, or not from where it must."""


@dataclasses.dataclass
class Run:
    """A training on disk.

    Attributes:
      path: Its train dir.
      audio: What it learns.
    """

    path: pathlib.Path
    audio: pathlib.Path

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where its checkpoints are."""
        return self.path / "checkpoints"

    @property
    def log(self) -> pathlib.Path:
        """What its newest process wrote to stderr."""
        return self.path.with_suffix(".log")

    def start(self, max_steps: int, *flags: str) -> subprocess.Popen[bytes]:
        """Starts a process that goes on with it."""
        command = [sys.executable, str(SCRIPT), "train", str(self.path), *TINY]
        flags += (f"--data_dir={self.audio}", f"--train_max_steps={max_steps}")
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*command, *flags], stdout=subprocess.DEVNULL, stderr=log
            )

    def finish(self, max_steps: int) -> None:
        """Trains in peace, with the saves that are usual.

        Raises:
          ResumeError: It did not end well.
        """
        before = self.newest()
        process = self.start(max_steps, "--train_save_secs=300")
        self.check(process.wait(), {0}, before)

    def newest(self) -> int:
        """Step of the newest checkpoint; 0: there is none."""
        names = (path.stem for path in self.checkpoints.glob("ckpt-*.index"))
        return max((int(name.split("-")[1]) for name in names), default=0)

    def leftovers(self) -> set[tuple[str, int]]:
        """What in its checkpoints' folder is of none; names and times."""
        if not self.checkpoints.exists():
            return set()
        whole = {path.stem for path in self.checkpoints.glob("ckpt-*.index")}
        return {
            (path.name, path.stat().st_mtime_ns)
            for path in self.checkpoints.iterdir()
            if path.stem not in whole and path.name != "checkpoint"
        }

    def wait_for(self, process: subprocess.Popen[bytes], step: int) -> None:
        """Waits for a checkpoint of that step or later.

        Raises:
          ResumeError: It does not come.
        """
        deadline = time.monotonic() + PATIENCE_SECS
        while self.newest() < step:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ResumeError(f"step {step} does not come: see {self.log}")
            time.sleep(0.005)

    def check(self, code: int, good: set[int], before: int) -> None:
        """Checks how a process ended that found a checkpoint of `before`.

        Raises:
          ResumeError: By another exit code than the good ones, or with a
            traceback, or it did not start from that checkpoint.
        """
        text = self.log.read_text()
        if code not in good or "Traceback" in text:
            raise ResumeError(f"ended with {code}: see {self.log}")
        resumed = re.search(r"^resuming .* at step (\d+)$", text, re.MULTILINE)
        start = int(resumed[1]) if resumed else 0
        # Who made no step may have had no time to say where it started. And a
        # save that was killed amid its last moves is ended by who comes next.
        if start < before and (resumed or self.newest() > before):
            raise ResumeError(
                f"went on from step {start}, not {before}: see {self.log}"
            )


@dataclasses.dataclass(frozen=True)
class Life:
    """What became of one process.

    Attributes:
      steps: How many it made and saved.
      saving: Its end left a checkpoint half written.
      start_secs: From its start to its first checkpoint; 0: not awaited.
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
    """Starts a process and ends it.

    Args:
      run: To go on with.
      how: SIGKILL, SIGTERM or SIGSTOP.
      delay: When, in seconds.
      from_start: Counted from its start on, not from its first checkpoint.
      save_secs: Between two saves.

    Raises:
      ResumeError: Something went wrong.
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
        good.add(-asked)  # it was not yet listening
    run.check(code, good, before)
    saving = bool(run.leftovers() - leftovers)
    return Life(run.newest() - before, saving, start_secs)


def content(run: Run) -> dict[str, Any]:
    """What a run knows, by name: tensors to the bit, losses, its step."""
    console.quiet_tensorflow()  # late, as only the end of it all needs it
    import tensorflow as tf

    step = run.newest()
    found: dict[str, Any] = {"newest checkpoint": step}
    reader = tf.train.load_checkpoint(str(run.checkpoints / f"ckpt-{step}"))
    for name, shape in reader.get_variable_to_shape_map().items():
        # TensorFlow's own notes on a checkpoint are no part of the run.
        if "OBJECT_GRAPH" not in name and "save_counter" not in name:
            tensor = reader.get_tensor(name)
            found[name] = str(tensor.dtype), shape, tensor.tobytes()
    for line in (run.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        losses = [row["d_loss"], row["g_loss"]]
        # A step that comes twice has more of them.
        found.setdefault(f"losses of step {row['step']}", []).extend(losses)
    return found


def differences(a: Run, b: Run) -> list[str]:
    """Names of all in which two runs differ."""
    ours, theirs = content(a), content(b)
    names = sorted(ours.keys() | theirs.keys())
    return [name for name in names if ours.get(name) != theirs.get(name)]


def make_audio(folder: pathlib.Path) -> pathlib.Path:
    """Writes eleven short sounds into a new folder; returns it."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(11):
        samples = 0.3 * rng.standard_normal(200 + 40 * i)
        soundfile.write(folder / f"{i}.wav", samples, 16000)
    return folder


def torment(
    folder: pathlib.Path, kills: int, how: signal.Signals, seed: int, steps: int
) -> list[str]:
    """Trains with and without kills; tells how it goes.

    Args:
      folder: Where to; new or empty.
      kills: How many.
      how: SIGKILL, SIGTERM or SIGSTOP.
      seed: Of the moments.
      steps: To train at least.

    Returns:
      Names of what differs between both runs.

    Raises:
      ResumeError: A process did not go on as it must, or ended badly.
    """
    audio = make_audio(folder / "audio")
    killed, whole = Run(folder / "killed", audio), Run(folder / "whole", audio)
    rng = np.random.default_rng(seed)
    began, start_secs = time.monotonic(), START_SECS
    lives: list[Life] = []
    while len(lives) < kills:
        # The first kill finds a train dir that is just being made.
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
    """Trains, kills, compares; what is found is kept if it is bad."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--signal", default="KILL", choices=list(SIGNALS))
    parser.add_argument("--steps", type=int, default=0, help="at least")
    parser.add_argument(
        "--work_dir", type=pathlib.Path, help="new folder, which is then kept"
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
