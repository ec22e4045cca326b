"""Tests how many checkpoints a run keeps, and modes that use an older one."""

from __future__ import annotations

import pathlib
import shutil

import command_runner
import numpy as np
import pytest
from test_loop import build, config_of, train

from training import train_dir


@pytest.fixture(scope="module")
def run(
    audio: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> train_dir.TrainDir:
    """A run of six steps that saved each and keeps four, and milestones."""
    directory = train_dir.TrainDir(tmp_path_factory.mktemp("run"))
    config = config_of(
        audio, max_steps=6, save_secs=0, keep=4, keep_every_secs=1e-9
    )
    train(build(config), directory, config)
    return directory


def test_a_run_keeps_as_many_checkpoints_as_asked(
    run: train_dir.TrainDir,
) -> None:
    assert run.checkpoints.steps() == [3, 4, 5, 6]


def test_milestones_are_kept_for_good_and_are_train_dirs(
    run: train_dir.TrainDir,
) -> None:
    assert run.milestone_steps() == [1, 2, 3, 4, 5, 6]
    for step in (1, 6):
        model = build(config_of(run.path))
        kept = train_dir.TrainDir(run.milestones / str(step))
        assert train_dir.restore(model, kept) == step
        assert int(model.step) == step


def test_no_milestone_before_its_time(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = train_dir.TrainDir(tmp_path)
    for max_steps in (3, 6):  # the second run knows of the first one's
        config = config_of(
            audio, max_steps=max_steps, save_secs=0, keep_every_secs=3600
        )
        train(build(config), directory, config)
    assert directory.milestone_steps() == [1]


def test_a_step_is_restored_from_checkpoints_or_milestones(
    run: train_dir.TrainDir,
) -> None:
    weights = []
    for step in (2, 5, 6):
        model = build(config_of(run.path))
        at_step = train_dir.TrainDir(run.path, step)
        assert train_dir.restore(model, at_step) == int(model.step) == step
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    assert (weights[0] != weights[1]).any()
    assert (weights[1] != weights[2]).any()


def test_a_damaged_step_gives_way_to_no_other(
    run: train_dir.TrainDir, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    directory = train_dir.TrainDir(tmp_path / "run", 4)
    data = next(directory.checkpoints.folder.glob("ckpt-4.data*"))
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match="ckpt-4 is damaged"):
        train_dir.restore(build(config_of(run.path)), directory)


@pytest.mark.slow
def test_modes_take_a_step(audio: pathlib.Path, tmp_path: pathlib.Path) -> None:
    command_runner.train(
        tmp_path,
        audio,
        "--train_max_steps=3",
        "--train_save_secs=0",
        "--train_keep=2",
    )
    done = command_runner.run(
        "preview", tmp_path, "--step=2", "--preview_n=4", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "preview" / "00000002.wav").exists()
    missing = command_runner.run("generate", tmp_path, "--step=1", "--n=1")
    command_runner.assert_one_line(missing)
    assert "no checkpoint of step 1: there are the steps 2, 3" in missing.stderr
    refused = command_runner.run("train", tmp_path, "--step=2")
    command_runner.assert_one_line(refused)
    assert "train does not use it" in refused.stderr
