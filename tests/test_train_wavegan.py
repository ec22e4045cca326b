"""Tests the command line in real processes, on real files."""

import json
import pathlib
import signal
import subprocess
import sys

import command_runner
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from training import train_dir as train_dir_lib

STEPS = 300


@pytest.fixture(scope="module")
def trained(
    audio: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """An uninterrupted run of 300 steps."""
    train_dir = tmp_path_factory.mktemp("run") / "train"
    done = command_runner.train(
        train_dir, audio, command_runner.EMA, f"--train_max_steps={STEPS}"
    )
    assert "11 files" in done.stderr
    assert f"step {STEPS}/{STEPS}" in done.stdout
    return train_dir


def test_a_run_leaves_config_metrics_logs_and_checkpoint(
    trained: pathlib.Path,
) -> None:
    config = json.loads((trained / "config.json").read_text())
    assert config["model"]["dim"] == 2
    assert config["train"]["batch_size"] == 4
    assert config["versions"]["tensorflow"] == tf.__version__
    rows = command_runner.losses(trained)
    assert list(rows) == [1, *range(10, STEPS + 1, 10)]
    assert np.isfinite(list(rows.values())).all()
    assert list((trained / "logs").glob("events*"))
    assert (trained / "checkpoints" / "ckpt-300.index").exists()


def test_tensorboard_plays_and_shows_real_and_generated(
    trained: pathlib.Path,
) -> None:
    tags: set[str] = set()
    for path in (trained / "logs").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags.update(value.tag for value in event.summary.value)
    for tag in ("config", "D_loss", "G_loss", "x_rms", "G_z_rms", "mel"):
        assert tag in tags
    assert {"x", "G_z", "x_rms_batch", "G_z_rms_batch"} <= tags


def test_tensorboard_itself_starts() -> None:
    command = [sys.executable, "-m", "tensorboard.main", "--version"]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_and_resumed_run_ends_as_an_uninterrupted_one(
    number: int,
    code: int,
    trained: pathlib.Path,
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    args = (
        "train",
        tmp_path,
        f"--data_dir={audio}",
        *command_runner.TINY,
        command_runner.EMA,
    )
    process = command_runner.start(*args)
    command_runner.wait_for_step(process, 1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    stopped = train_dir_lib.TrainDir(tmp_path).checkpoints.latest_step()
    assert stopped is not None
    assert stopped < STEPS
    assert f"saved at step {stopped}" in stderr
    done = command_runner.run(*args, f"--train_max_steps={STEPS}")
    assert done.returncode == 0, done.stderr
    assert f"at step {stopped}" in done.stderr
    command_runner.assert_same_run(tmp_path, trained)
    expected = command_runner.losses(trained)
    assert {
        k: v
        for k, v in command_runner.losses(tmp_path).items()
        if k in expected
    } == (expected)


def test_a_killed_run_resumes_from_its_last_checkpoint(
    trained: pathlib.Path, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    often = "--train_save_secs=0.2"
    args = (
        "train",
        tmp_path,
        f"--data_dir={audio}",
        *command_runner.TINY,
        command_runner.EMA,
        often,
    )
    process = command_runner.start(*args)
    command_runner.wait_for_checkpoint(process, tmp_path)
    process.kill()
    process.communicate(timeout=60)
    done = command_runner.run(*args, f"--train_max_steps={STEPS}")
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
    command_runner.assert_same_run(tmp_path, trained)


def test_flags_left_out_are_as_they_were(
    trained: pathlib.Path,
) -> None:
    done = command_runner.run("train", trained, f"--train_max_steps={STEPS}")
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr


@pytest.mark.slow
def test_another_seed_makes_another_run(
    trained: pathlib.Path, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    args = (
        f"--data_dir={audio}",
        *command_runner.TINY,
        command_runner.EMA,
        "--seed=1",
    )
    assert (
        command_runner.run(
            "train", tmp_path, *args, "--train_max_steps=1"
        ).returncode
        == 0
    )
    assert (
        command_runner.losses(tmp_path)[1] != command_runner.losses(trained)[1]
    )


def test_preview_writes_wav_picture_and_sound(trained: pathlib.Path) -> None:
    done = command_runner.run("preview", trained, "--once", "--preview_n=3")
    assert done.returncode == 0, done.stderr
    wav, picture = (
        trained / "preview" / f"00000300.{e}" for e in ("wav", "png")
    )
    assert str(wav) in done.stdout
    assert str(picture) in done.stdout
    samples, rate = soundfile.read(wav)
    assert rate == 16000
    assert len(samples) == 3 * (256 + 8000)
    assert np.any(samples[:256])
    assert not np.any(samples[256 : 256 + 8000])
    assert picture.read_bytes().startswith(b"\x89PNG")
    z = np.load(trained / "preview" / "z.npy")
    assert z.shape == (3, 8)
    assert list((trained / "preview" / "logs").glob("events*"))
    again = command_runner.run("preview", trained, "--once", "--preview_n=3")
    assert again.returncode == 0
    np.testing.assert_array_equal(soundfile.read(wav)[0], samples)


@pytest.mark.slow
def test_preview_waits_for_a_checkpoint_and_says_so(
    trained: pathlib.Path, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "config.json").write_bytes(
        (trained / "config.json").read_bytes()
    )
    process = command_runner.start("preview", tmp_path, "--preview_n=1")
    assert process.stderr is not None
    assert process.stdout is not None
    line = ""
    while "waiting" not in line:
        line = process.stderr.readline()
        assert process.poll() is None
    (tmp_path / "checkpoints").symlink_to(trained / "checkpoints")
    assert process.stdout.readline().startswith(f"step {STEPS}:")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_generated_clips_are_wavs_of_their_seed(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def clips(name: str, *args: str) -> list[bytes]:
        done = command_runner.run(
            "generate", trained, f"--out_dir={tmp_path / name}", *args
        )
        assert done.returncode == 0, done.stderr
        return [p.read_bytes() for p in sorted((tmp_path / name).glob("*.wav"))]

    five = clips("a", "--n=5", "--seed=3")
    assert len(set(five)) == 5
    assert clips("b", "--n=2", "--seed=3") == five[:2]
    assert clips("c", "--n=2", "--seed=4") != five[:2]
    info = soundfile.info(tmp_path / "a" / "00004.wav")
    assert (info.samplerate, info.frames, info.subtype) == (
        16000,
        256,
        "PCM_16",
    )


def test_the_saved_model_needs_tensorflow_alone(trained: pathlib.Path) -> None:
    assert command_runner.run("infer", trained).returncode == 0
    saved = trained / "export" / "saved_model"
    card = json.loads((saved / "generator.json").read_text())
    assert card["format"] == "savedmodel" and card["step"] == STEPS
    code = (
        "import sys, tensorflow as tf, numpy as np\n"
        f"model = tf.saved_model.load({str(saved)!r})\n"
        "f = model.signatures['serving_default']\n"
        "z = tf.random.stateless_uniform([3, 8], [0, 1], -1., 1.)\n"
        "y = f(z=z)\n"
        "x, n = y['G_z'].numpy(), y['G_z_int16'].numpy()\n"
        "assert x.shape == n.shape == (3, 256, 1) and n.dtype == np.int16\n"
        "assert np.abs(x * 32768 - n).max() <= 1 and np.ptp(n) > 0\n"
        "assert not {'wavegan', 'gan', 'phaseshuffle'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=saved, timeout=60
    )


def test_other_model_flags_are_refused_by_name(
    trained: pathlib.Path,
) -> None:
    before = (trained / "config.json").read_bytes()
    done = command_runner.run(
        "train", trained, "--wavegan_dim=3", "--train_max_steps=999"
    )
    command_runner.assert_one_line(done, "--wavegan_dim is 3", "has 2")
    assert (trained / "config.json").read_bytes() == before


def test_the_original_command_line_runs(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sc09").mkdir()
    (tmp_path / "sc09" / "train").symlink_to(audio)
    done = command_runner.run(
        "train",
        "./train",
        "--data_dir",
        "./sc09/train",
        "--data_first_slice",
        "--data_pad_end",
        "--data_fast_wav",
        # What follows only makes it short.
        *command_runner.TINY,
        "--train_max_steps=2",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    done = command_runner.run("preview", "./train", "--once", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_without_data_digits_are_made_once(tmp_path: pathlib.Path) -> None:
    args = (*command_runner.TINY, "--train_max_steps=1")
    done = command_runner.run("train", *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    clips = list((tmp_path / "sc09_synthetic" / "train").glob("*.wav"))
    assert len(clips) > 1000
    written = clips[0].stat().st_mtime_ns
    done = command_runner.run("train", "other", *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert clips[0].stat().st_mtime_ns == written
    assert (tmp_path / "train" / "config.json").exists()
