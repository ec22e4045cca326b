r"""Trains all models for the same processor time, and scores what they say.

  python benchmarks/bakeoff.py train OUT --data_dir fsdd/
  python benchmarks/bakeoff.py table OUT
  python benchmarks/bakeoff.py gallery OUT --to docs/alternatives

`train` gives each model one core until it has used each of the --minutes of
processor time; then it scores the model (`incept`), measures the time of a clip
and keeps weights, clips and spectrograms of that moment (`release`). It can be
stopped and started again at any time, and several can run at once, each with
--models of its own. `table` prints what is scored so far. `gallery` draws each
model's clips after the longest time side by side, and writes them as FLAC.
"""

import argparse
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import PIL.Image
import soundfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from system import console

console.import_tensorflow()

import wavegan
from audio import plots, write
from modes import render
from training import train_dir

EMA_FLAGS = ["--train_ema_decay=0.999"]
# The fast recipe, but for what needs waveforms.
GAN_FLAGS = [
    *EMA_FLAGS,
    "--train_penalty_weight=0.1",
    "--train_penalty_interval=4",
    "--train_learning_rate=5e-4",
    "--train_batch_size=16",
]
# Name -> program and its model, and flags: all have about 3 million weights.
MODELS: dict[str, tuple[list[str], list[str]]] = {
    "wavegan": (
        ["train_wavegan.py"],
        [
            "--flagfile=flagfiles/fast.cfg",
            "--wavegan_dim=16",
            "--train_batch_size=16",
        ],
    ),
    "specgan": (
        ["train_specgan.py"],
        [
            *GAN_FLAGS,
            "--specgan_dim=16",
            "--specgan_loss=r3gan",
            "--specgan_disc_nupdates=1",
            "--train_augment=gain,filter,shift",
        ],
    ),
    "vae": (
        ["train_alternative.py", "vae"],
        [*EMA_FLAGS, "--vae_dim=14", "--train_batch_size=16"],
    ),
    "vqvae": (
        ["train_alternative.py", "vqvae"],
        [*EMA_FLAGS, "--vqvae_dim=30", "--train_batch_size=16"],
    ),
    "gansynth": (
        ["train_alternative.py", "gansynth"],
        [
            *GAN_FLAGS,
            "--gansynth_dim=16",
            "--gansynth_loss=r3gan",
            "--gansynth_disc_nupdates=1",
        ],
    ),
    "diffusion": (
        ["train_alternative.py", "diffusion"],
        [
            *EMA_FLAGS,
            "--diffusion_dim=56",
            "--train_batch_size=32",
            "--train_learning_rate=1e-3",
        ],
    ),
}
DATA_FLAGS = [
    "--data_labels=words",
    "--data_first_slice",
    "--data_pad_end",
    "--data_normalize",
]
POLL_SECS = 2.0
# Clips that are timed: 1,000 if 100 take less than ENOUGH_SECS.
CLIPS, ENOUGH_SECS = (100, 1000), 10.0
SHOWN = 20  # clips that are kept of each model and time
RESULT = "bakeoff.json"


def command(core: int, model: str, mode: str, *rest: object) -> list[str]:
    """Returns the command line of a model's mode, on one core."""
    line = [sys.executable, *MODELS[model][0], mode, *map(str, rest)]
    return ["taskset", "-c", str(core), *line]


def processor_secs(pid: int) -> float:
    """Returns the processor time of a process and of its ended children."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    ticks = sum(map(int, fields.split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def newest_checkpoint(run: pathlib.Path) -> float:
    """Returns when a run last saved a checkpoint, in seconds since 1970."""
    files = (run / "checkpoints").glob("*")
    return max((file.stat().st_mtime for file in files), default=0.0)


def train_until(
    model: str,
    run: pathlib.Path,
    data_dir: pathlib.Path,
    secs: float,
    core: int,
) -> None:
    """Trains a model until its run has used some processor time in all.

    The time is written down when the run saves a checkpoint, so that what is
    lost when the machine stops does not count.
    """
    clock = run.with_name("processor_secs.txt")
    before = float(clock.read_text()) if clock.exists() else 0.0
    if before >= secs:
        return
    line = command(
        *(core, model, "train", run, f"--data_dir={data_dir}"),
        *(*DATA_FLAGS, *MODELS[model][1]),
    )
    with run.with_name("train.log").open("a") as log:
        process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=log)
    used, saved_at = 0.0, newest_checkpoint(run)
    try:
        while process.poll() is None and before + used < secs:
            time.sleep(POLL_SECS)
            # An ended process that is not waited for keeps its counts.
            used = processor_secs(process.pid)
            if newest_checkpoint(run) > saved_at:
                saved_at = newest_checkpoint(run)
                clock.write_text(f"{before + used:.1f}\n")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # it saves a checkpoint
        process.wait()
        if newest_checkpoint(run) > saved_at:
            clock.write_text(f"{before + used:.1f}\n")
    if before + used < secs:
        raise SystemExit(f"{model} ended too early: see {run.parent}/train.log")
    clock.write_text(f"{before + used:.1f}\n")


def train(args: argparse.Namespace) -> None:
    """Trains the models in turn, first all for the smallest of the times."""
    for minutes in sorted(args.minutes):
        for model in args.models:
            target = args.out / model / f"{minutes:g}"
            if target.exists():
                continue
            run = args.out / model / "run"
            run.parent.mkdir(parents=True, exist_ok=True)
            train_until(model, run, args.data_dir, 60 * minutes, args.core)
            draft = target.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            flags = (f"--out_dir={draft}", f"--preview_n={SHOWN}")
            call(command(args.core, model, "release", run, *flags))
            flags = ("--once", f"--incept_n={args.n}")
            call(command(args.core, model, "incept", run, *flags))
            lines = (run / "incept/scores.jsonl").read_text().splitlines()
            result = {
                "scores": json.loads(lines[-1]),
                "clip_secs": measure_clip(model, draft, args.core),
                "weights": count_weights(draft),
            }
            (draft / RESULT).write_text(json.dumps(result))
            draft.rename(target)


def call(line: list[str]) -> float:
    """Runs a command; returns its processor time in seconds."""
    before = os.times()
    subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def measure_clip(model: str, folder: pathlib.Path, core: int) -> float:
    """Returns the processor seconds of a clip, without those of the start.

    They are measured with so many clips that the start's hardly matter.
    """

    def generate(count: int) -> float:
        with tempfile.TemporaryDirectory() as out:
            flags = (f"--n={count}", f"--out_dir={out}/clips")
            return call(command(core, model, "generate", folder, *flags))

    start = generate(1)
    for count in CLIPS:
        secs = generate(1 + count) - start
        if secs > ENOUGH_SECS:
            break
    return secs / count


def count_weights(folder: pathlib.Path) -> int:
    """Returns the number of weights of all networks that are trained."""
    total = 0
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as weights:
            total += sum(value.size for value in weights.values())
    return total


def table(args: argparse.Namespace) -> None:
    """Prints a row for each model and time that is scored."""
    print(
        "| model | weights | minutes | updates | inception score "
        "| said what was asked | FID | precision | recall | ms per clip |\n"
        "|---" + 9 * "|--:" + "|"
    )
    found = [
        (model, float(path.parent.name), json.loads(path.read_text()))
        for model in args.models
        for path in (args.out / model).glob(f"*/{RESULT}")
    ]
    for model, minutes, result in sorted(found, key=lambda row: row[:2]):
        scores = result["scores"]
        cells = (
            model,
            f"{result['weights'] / 1e6:.1f} M",
            f"{minutes:g}",
            f"{scores['step']:,}",
            f"{scores['mean']:.2f} ± {scores['std']:.2f}",
            f"{scores['accuracy']:.0%}",
            f"{scores['fid']:.1f}",
            f"{scores['precision']:.2f}",
            f"{scores['recall']:.2f}",
            f"{1000 * result['clip_secs']:.0f}",
        )
        print("|", " | ".join(cells), "|")


def gallery(args: argparse.Namespace) -> None:
    """Draws the clips of the longest time side by side, and writes them."""
    run = train_dir.TrainDir(args.out / "wavegan" / "run")
    config = run.read_config(wavegan.WaveGANConfig)
    rate, words = config.data.sample_rate, config.data.words
    real = render.real_clips(config, render.num_vectors(SHOWN, words))
    assert real is not None
    groups = {"real": real}
    for model in args.models:
        found = (args.out / model).glob(f"*/{RESULT}")
        newest = max(found, key=lambda path: float(path.parent.name)).parent
        samples, _ = soundfile.read(newest / "samples.wav", dtype="float32")
        clips = samples.reshape(SHOWN, -1, 1)[:, : config.model.slice_len]
        groups[f"{model}, {newest.name} minutes"] = clips
        path = args.to / f"{model}.flac"
        flac = write.Writing(format="flac")
        write.write(path, samples[:, np.newaxis], rate, flac)
    picture = plots.draw_clips(groups, rate, words)
    # With a palette, the file has 40% of the size.
    image = PIL.Image.open(io.BytesIO(picture)).convert("RGB").quantize(128)
    image.save(args.to / "bakeoff.png", optimize=True)


def main() -> None:
    """Runs one of the steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument(
        "--data_dir", type=pathlib.Path, default="sc09_synthetic"
    )
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    parser.add_argument(
        "--minutes", nargs="*", type=float, default=[10.0, 25.0]
    )
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--to", type=pathlib.Path, default=".")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args.out = args.out.resolve()
    args.data_dir = args.data_dir.resolve()
    STEPS[args.step](args)


STEPS = {"train": train, "table": table, "gallery": gallery}

if __name__ == "__main__":
    main()
