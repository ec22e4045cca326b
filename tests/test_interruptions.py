"""Tests a run's behaviour on full disks, signals, locks, other processes."""

from __future__ import annotations

import pathlib
import resource
import shutil
import signal
import subprocess
import time

import command_runner
import pytest

from training import checkpoints

OFTEN = "--train_save_secs=0"
ENDLESS = "--train_max_steps=0"


@pytest.fixture(scope="module")
def saved(
    audio: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A train dir of three steps, each saved."""
    path = tmp_path_factory.mktemp("saved") / "t"
    command_runner.train(path, audio, OFTEN, "--train_max_steps=3")
    return path


@pytest.fixture
def train_dir(saved: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of it, to harm."""
    shutil.copytree(saved, tmp_path / "t")
    return tmp_path / "t"


def store_of(train_dir: pathlib.Path) -> checkpoints.Checkpoints:
    return checkpoints.Checkpoints(train_dir / "checkpoints")


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    train_dir: pathlib.Path,
) -> None:
    path = store_of(train_dir).folder / "ckpt-3.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = command_runner.run("preview", train_dir, "--once", "--preview_n=2")
    assert done.returncode == 0, done.stderr
    assert "ckpt-3 is damaged" in done.stderr
    assert done.stdout.startswith("step 2:")
    done = command_runner.run("train", train_dir, "--train_max_steps=4", OFTEN)
    assert done.returncode == 0, done.stderr
    assert "ckpt-3 is damaged" in done.stderr
    assert "at step 2" in done.stderr
    assert store_of(train_dir).steps() == [2, 3, 4]


def test_if_all_checkpoints_are_damaged_train_exits_2_and_keeps_them(
    train_dir: pathlib.Path,
) -> None:
    for path in store_of(train_dir).folder.glob("*.index"):
        path.write_bytes(b"no index")
    train = "train", train_dir, "--train_max_steps=9"
    for command in (("generate", train_dir), train, train):
        done = command_runner.run(*command)
        assert done.returncode == 2, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("train_wavegan.py: no checkpoint in")
        assert "Traceback" not in done.stderr
    assert store_of(train_dir).steps() == [1, 2, 3]


@pytest.mark.slow
def test_train_dir_lock_excludes_others_and_ends_with_its_process(
    train_dir: pathlib.Path,
) -> None:
    process = command_runner.start("train", train_dir, OFTEN, ENDLESS)
    command_runner.wait_for_checkpoint(process, train_dir, beyond=3)
    done = command_runner.run("train", train_dir)
    command_runner.assert_one_line(
        done, f"by process {process.pid} on", code=75
    )
    # A pause does no harm.
    process.send_signal(signal.SIGSTOP)
    paused_at = store_of(train_dir).latest_step()
    assert paused_at is not None
    time.sleep(0.5)
    process.send_signal(signal.SIGCONT)
    command_runner.wait_for_checkpoint(process, train_dir, beyond=paused_at + 1)
    process.kill()
    process.communicate()
    latest = store_of(train_dir).latest_step()
    assert latest is not None
    done = command_runner.run("train", train_dir, f"--train_max_steps={latest}")
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr


@pytest.mark.slow
def test_a_removed_train_dir_ends_the_run_and_stays_removed(
    train_dir: pathlib.Path,
) -> None:
    process = command_runner.start("train", train_dir, OFTEN, ENDLESS)
    command_runner.wait_for_checkpoint(process, train_dir, beyond=3)
    train_dir.rename(train_dir.with_name("away"))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    last = stderr.splitlines()[-1]
    assert last.startswith(f"train_wavegan.py: {train_dir} was removed")
    assert "Traceback" not in stderr
    assert not train_dir.exists()


@pytest.mark.slow
def test_a_full_disk_ends_training_without_partial_files(
    train_dir: pathlib.Path,
) -> None:
    def fill_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        command_runner.command("train", train_dir, OFTEN, ENDLESS),
        preexec_fn=fill_disk,
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert sum("training goes on" in line for line in lines) == 2
    assert lines[-1].startswith("train_wavegan.py: step 6 cannot be saved")
    assert "step 3 is kept: free some space" in lines[-1]
    folder = store_of(train_dir).folder
    assert not list(folder.rglob("*part*"))
    done = command_runner.run("train", train_dir, "--train_max_steps=4")
    assert done.returncode == 0, done.stderr
    assert "at step 3" in done.stderr


def test_non_finite_losses_exit_3(
    train_dir: pathlib.Path, audio: pathlib.Path
) -> None:
    path = train_dir.with_name("new")
    done = command_runner.run(
        "train",
        path,
        f"--data_dir={audio}",
        *command_runner.TINY,
        "--wavegan_loss=r1",
        "--train_penalty_weight=1e38",
        OFTEN,
    )
    command_runner.assert_one_line(done, "step 1: a loss", "broken", code=3)
    assert store_of(path).latest_step() is None
    names = (path / "broken_step_1.txt").read_text().splitlines()
    assert 1 <= len(names) <= 8
    assert all(repr(str(audio))[:-1] in name for name in names)


@pytest.mark.parametrize(
    ("mode", "place"),
    [("train", ""), ("train", "checkpoints"), ("preview", "checkpoints")],
)
def test_an_unreadable_train_dir_is_not_taken_for_an_empty_one(
    train_dir: pathlib.Path, mode: str, place: str
) -> None:
    closed = train_dir / place
    closed.chmod(0)
    flags = ("--once",) if mode == "preview" else ()
    done = subprocess.run(
        command_runner.command(mode, train_dir, *flags),
        preexec_fn=command_runner.bind_permissions,
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )
    closed.chmod(0o755)
    command_runner.assert_one_line(done, "Permission denied", str(closed))
