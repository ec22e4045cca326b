"""Tests the mode `import`: from the authors' checkpoint to more training."""

from __future__ import annotations

import pathlib
from typing import Any

import command_runner
import numpy as np
import pytest
import soundfile
import tf1_wavegan as tf1

import wavegan
from networks import spectrogram
from training import train_dir as train_dir_lib

SPECGAN = "train_specgan.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tf1.Run:
    """A run of the authors' code, of two steps."""
    folder = tmp_path_factory.mktemp("theirs")
    return tf1.train(folder, tf1.Shape(), loss="dcgan")


@pytest.fixture
def nowhere(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where no train dir may be made."""
    return tmp_path / "never" / "train"


def import_(
    train_dir: pathlib.Path, path: str, *flags: str, program: str
) -> Any:
    """Runs the mode."""
    given = f"--checkpoint={path}"
    return command_runner.run(
        "import", train_dir, given, *flags, program=program
    )


def test_what_was_imported_is_heard_and_trains_on(
    theirs: tf1.Run, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train_dir = tmp_path / "t"
    flags = ("--wavegan_disc_nupdates=3", "--train_batch_size=2")
    program = command_runner.WAVEGAN
    done = import_(train_dir, theirs.path, *flags, program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"step 2: {train_dir}\n"
    directory = train_dir_lib.TrainDir(train_dir)
    config = directory.read_config(wavegan.WaveGANConfig)
    assert config.train.loss == "dcgan"  # Adam's decays tell
    before = command_runner.weights(train_dir)
    done = import_(train_dir, theirs.path, *flags, program=program)
    command_runner.assert_one_line(done, "holds a run", str(train_dir))
    done = command_runner.run("generate", train_dir, "--n=2")
    assert done.returncode == 0, done.stderr
    wavs = sorted((train_dir / "generated").glob("*.wav"))
    assert [soundfile.info(wav).frames for wav in wavs] == [16384, 16384]
    given = (f"--data_dir={audio}", "--train_max_steps=3")
    done = command_runner.run("train", train_dir, *given)
    assert done.returncode == 0, done.stderr
    assert f"resuming {train_dir} at step 2" in done.stderr
    after = command_runner.weights(train_dir)
    assert after.keys() == before.keys()
    counts = [n for n, value in after.items() if value.dtype.kind == "i"]
    grown = sorted(int(after[n]) - int(before[n]) for n in counts)
    assert grown == [0, 1, 1, 3]  # seed; step, G's optimizer; D's
    for name in set(after) - set(counts):
        # Adam moves no weight by more than a few times 1e-4.
        if "optimizer" not in name:
            np.testing.assert_allclose(before[name], after[name], atol=2e-3)


def test_a_generator_alone_is_said_to_be_that(
    theirs: tf1.Run, tmp_path: pathlib.Path
) -> None:
    def keep_generator(values: dict[str, Any]) -> None:
        for name in list(values):
            if not name.startswith("G/") or "Adam" in name:
                del values[name]

    path = tf1.rewrite(theirs.path, tmp_path, keep_generator)
    train_dir = tmp_path / "t"
    done = import_(train_dir, path, program=command_runner.WAVEGAN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"step 0: {train_dir}; ")
    assert "without step, generator's optimizer, discriminator" in done.stdout
    assert "training goes on with fresh ones" in done.stdout


def test_specgan_asks_for_moments_and_upsampling(
    tmp_path: pathlib.Path, nowhere: pathlib.Path
) -> None:
    shape = tf1.Shape(flat=False, kernel_len=5, dim=1, upsample="linear")
    theirs = tf1.train(tmp_path, shape, steps=1, critic_steps=1)
    linear = "--specgan_genr_upsample=linear"
    done = import_(nowhere, theirs.path, program=SPECGAN)
    named = ("--specgan_genr_upsample is 'zeros'", "'linear' or 'cubic'")
    command_runner.assert_one_line(done, *named, program=SPECGAN)
    done = import_(nowhere, theirs.path, program=command_runner.WAVEGAN)
    command_runner.assert_one_line(done, "train_specgan.py")
    assert not nowhere.parent.exists()
    bare = tmp_path / "bare"
    done = import_(bare, theirs.path, linear, program=SPECGAN)
    command_runner.assert_one_line(done, "moments", program=SPECGAN)
    assert not train_dir_lib.TrainDir(bare).exists()
    moments = spectrogram.Moments(np.full(128, -4.0), np.ones(128))
    moments.save(tmp_path / "m.npz")
    given = (linear, "--specgan_ngl=1", f"--data_moments_fp={tmp_path}/m.npz")
    train_dir = tmp_path / "t"
    done = import_(train_dir, theirs.path, *given, program=SPECGAN)
    assert done.returncode == 0, done.stderr
    done = command_runner.run("generate", train_dir, "--n=1", program=SPECGAN)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(train_dir / "generated/00000.wav").frames == 16384


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--wavegan_loss=lsgan", ("--wavegan_loss is 'lsgan'", "'dcgan'")),
        ("--data_labels=words", ("--data_labels is a flag of train:",)),
        ("--checkpoint=", ("--checkpoint is missing",)),
        ("--checkpoint=nothing", ("nothing.index is missing",)),
    ],
)
def test_what_contradicts_the_checkpoint_ends_in_one_line(
    theirs: tf1.Run, nowhere: pathlib.Path, flag: str, words: tuple[str, ...]
) -> None:
    done = import_(nowhere, theirs.path, flag, program=command_runner.WAVEGAN)
    command_runner.assert_one_line(done, *words)
    assert not nowhere.parent.exists()
