"""Tests what the training loop reports."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import tensorflow as tf
import wavs
from absl import logging

import gan
import loader
import wavegan
from training import config as config_lib
from training import dataset as dataset_lib
from training import log as log_lib
from training import loop, train_dir

MODEL = wavegan.WaveGANConfig(slice_len=64, dim=1, latent_dim=3)


def config_of(audio: pathlib.Path, **settings: float) -> config_lib.RunConfig:
    """A small run on a folder of audio."""
    small = config_lib.RunConfig(MODEL).replace(critic_steps=1, batch_size=2)
    return small.replace(dir=str(audio), **settings)


def build(config: config_lib.RunConfig, **kwargs: float) -> gan.GAN:
    """The GAN of such a run, ready to train."""
    model = gan.GAN(
        wavegan.build_generator(MODEL),
        wavegan.build_discriminator(MODEL),
        latent_dim=3,
        critic_steps=1,
    )
    model.compile("wgan-gp", **kwargs)  # type: ignore[arg-type]
    return model


def train(
    model: gan.GAN, directory: train_dir.TrainDir, config: config_lib.RunConfig
) -> None:
    """Trains as the command does."""
    found = dataset_lib.find(config, directory)
    with directory.lock():
        loop.train(model, directory, config, found)


def steps_of(path: pathlib.Path) -> list[int]:
    """Steps in metrics.jsonl."""
    return [json.loads(a)["step"] for a in path.read_text().splitlines()]


def test_after_a_kill_metrics_contain_each_step_once(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = train_dir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=20)
    train(build(config), directory, config)
    assert steps_of(directory.metrics) == [1, 10, 20]
    with directory.metrics.open("a") as file:
        file.write(json.dumps({"step": 30, "seconds": 1.0}) + "\n")
        file.write('{"step": 40, "d_lo')  # what a kill leaves
    config = config_of(audio, max_steps=30)
    train(build(config), directory, config)
    assert steps_of(directory.metrics) == [1, 10, 20, 30]
    lines = directory.metrics.read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert seconds == sorted(seconds)


def test_a_run_at_its_last_step_takes_no_more_steps(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = train_dir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=1)
    for _ in range(2):
        model = build(config)
        train(model, directory, config)
        assert int(model.step) == 1
    assert directory.checkpoints.steps() == [1]


def test_weights_after_non_finite_losses_are_not_saved(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = train_dir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=4, save_secs=0)
    train(build(config), directory, config)
    config = config_of(audio, max_steps=12, save_secs=0)
    for _ in range(2):  # it breaks at the same step again
        model = build(config, penalty_weight=1e38)
        with pytest.raises(FloatingPointError, match=r"step 5: .*step 4 is"):
            train(model, directory, config)
        assert int(model.first_nonfinite_step) == 5
        assert directory.checkpoints.steps() == [2, 3, 4]
    lines = (tmp_path / "broken_step_5.txt").read_text().splitlines()
    found = dataset_lib.find(config, directory)
    paths = dataset_lib.files_of_step(found, config, 5)
    assert lines == [repr(path) for path in paths]


@pytest.mark.parametrize("failures", [2, 3])
def test_training_continues_after_two_failed_saves(
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
) -> None:
    directory = train_dir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=9, save_secs=0)
    save, asked = directory.checkpoints.save, []

    def refuse(model: gan.GAN, step: int, keep: int) -> None:
        asked.append(step)
        if 4 <= step < 4 + failures:
            raise OSError("the disk is full")
        save(model, step, keep)

    monkeypatch.setattr(directory.checkpoints, "save", refuse)
    if failures == 2:
        train(build(config), directory, config)
        assert directory.checkpoints.steps() == [7, 8, 9]
    else:
        with pytest.raises(OSError, match="step 6 .*full.* step 3 is kept"):
            train(build(config), directory, config)
        assert asked[-1] == 6
        assert directory.checkpoints.steps() == [1, 2, 3]


def test_files_damaged_during_training_are_named_and_skipped(
    tmp_path: pathlib.Path,
) -> None:
    folder = wavs.write_all_but_one(tmp_path / "audio")
    directory = train_dir.TrainDir(tmp_path / "t")
    config = config_of(folder, max_steps=40, max_bad=0.05)
    model = build(config)
    train(model, directory, config)
    assert int(model.step) == 40
    lines = directory.skipped.read_text().splitlines()
    assert len(lines) == 1 and "7.wav" in lines[0] and "NaN" in lines[0]


def test_the_configured_learning_rate_is_used(audio: pathlib.Path) -> None:
    config = config_of(audio)
    for rate in (None, 3e-3):
        model = build(config, learning_rate=rate)  # type: ignore[arg-type]
        for optimizer in (
            model.generator_optimizer,
            model.discriminator_optimizer,
        ):
            assert float(optimizer.learning_rate) == pytest.approx(rate or 1e-4)


def test_the_share_of_time_that_a_step_waits_for_data_is_reported(
    audio: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        """A data set that takes its time over each element."""

        def __init__(self, dataset: tf.data.Dataset, seconds: float) -> None:
            self.dataset = dataset
            self.seconds = seconds

        def batch(self, number: int) -> Slow:
            return Slow(self.dataset.batch(number), self.seconds)

        def __iter__(self) -> Iterator[tf.Tensor]:
            for element in self.dataset:
                time.sleep(self.seconds)
                yield element

    make_dataset = loader.make_dataset
    shares = []
    for seconds in (0.0, 0.3):
        monkeypatch.setattr(
            loader,
            "make_dataset",
            lambda *args, s=seconds, **kw: Slow(make_dataset(*args, **kw), s),
        )
        directory = train_dir.TrainDir(tmp_path / str(seconds))
        config = config_of(audio, max_steps=10)
        train(build(config), directory, config)
        line = directory.metrics.read_text().splitlines()[-1]
        shares.append(json.loads(line)["data_wait"])
    assert 0 <= shares[0] < shares[1] <= 1
    assert shares[1] > 0.5


def test_reported_pace_excludes_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([100.0, *[110.0] * 9])  # the first step ends at 100
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    said: list[str] = []
    monkeypatch.setattr(logging, "info", lambda t, *a: said.append(t % a))
    pace = log_lib._Pace()
    for _ in range(log_lib.PACE_STEPS):
        pace.add_step(200_000)
    assert pace.step_seconds == 0 and not said
    pace.add_step(200_000)  # five steps in ten seconds
    assert pace.step_seconds == 2.0
    assert said[0].startswith("200,000 updates at this pace: 4.6 days; ")
    assert "--wavegan_dim=16" in said[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (119, "119 s"), (120, "2.0 min"), (7200, "2.0 hours")],
)
def test_durations_are_printed_in_readable_units(
    seconds: float, text: str
) -> None:
    assert log_lib._duration(seconds) == text


def test_a_signal_is_acknowledged_while_a_step_computes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    acknowledged = []

    def interrupt(caught: list[int]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while not caught:
            time.sleep(0.01)
        acknowledged.append(time.monotonic())

    with loop._catch_signals() as caught:
        thread = threading.Thread(target=interrupt, args=(caught,))
        thread.start()
        # One call, during which no handler in Python can run.
        hashlib.pbkdf2_hmac("sha256", b"", b"", 4_000_000)
        ended = time.monotonic()
        thread.join()
    assert caught == [signal.SIGTERM]
    assert acknowledged[0] < ended
    assert "stopping after this step" in capfd.readouterr().err
