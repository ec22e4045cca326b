"""What the training loop reports."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import tensorflow as tf

import gan
import loader
import traindir
import trainer
import wavegan

MODEL = wavegan.WaveGANConfig(slice_len=64, dim=1, latent_dim=3)


def config_of(audio: pathlib.Path, **settings: float) -> dict[str, dict]:
    """A small run on a folder of audio."""
    return {
        "model": {"slice_len": 64, "channels": 1},
        "data": {"dir": str(audio)},
        "train": {"critic_steps": 1, "batch_size": 2, **settings},
    }


def build(config: dict[str, dict], **kwargs: float) -> gan.GAN:
    """The GAN of such a run, ready to train."""
    model = gan.GAN(
        wavegan.build_generator(MODEL),
        wavegan.build_discriminator(MODEL),
        latent_dim=3,
        critic_steps=1,
    )
    model.compile("wgan-gp", **kwargs)  # type: ignore[arg-type]
    return model


def steps_of(path: pathlib.Path) -> list[int]:
    """Steps in metrics.jsonl."""
    return [json.loads(a)["step"] for a in path.read_text().splitlines()]


def test_metrics_hold_each_step_once_after_a_kill(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = traindir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=20)
    paths = trainer.find_data(config)
    trainer.train(build(config), directory, config, paths)
    assert steps_of(directory.metrics) == [1, 10, 20]
    with directory.metrics.open("a") as file:
        file.write(json.dumps({"step": 30, "seconds": 1.0}) + "\n")
        file.write('{"step": 40, "d_lo')  # what a kill leaves
    config = config_of(audio, max_steps=30)
    trainer.train(build(config), directory, config, paths)
    assert steps_of(directory.metrics) == [1, 10, 20, 30]
    lines = directory.metrics.read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert seconds == sorted(seconds)


def test_a_reached_goal_needs_no_step(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = traindir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=1)
    paths = trainer.find_data(config)
    for _ in range(2):
        model = build(config)
        trainer.train(model, directory, config, paths)
        assert int(model.step) == 1
    assert directory.steps() == [1]


def test_losses_that_are_no_numbers_are_not_saved(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = traindir.TrainDir(tmp_path)
    config = config_of(audio, max_steps=12, save_secs=0)
    model = build(config)
    model.discriminator_optimizer.learning_rate = 1e38
    with pytest.raises(FloatingPointError, match="step"):
        trainer.train(model, directory, config, trainer.find_data(config))
    assert directory.latest_step() is None


def test_the_learning_rate_is_the_one_asked_for(audio: pathlib.Path) -> None:
    config = config_of(audio)
    for rate in (None, 3e-3):
        model = build(config, learning_rate=rate)  # type: ignore[arg-type]
        for optimizer in (
            model.generator_optimizer,
            model.discriminator_optimizer,
        ):
            assert float(optimizer.learning_rate) == pytest.approx(rate or 1e-4)


def test_real_clips_are_those_of_the_folder(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = config_of(audio)
    clips = trainer.real_clips(config, 11)
    assert clips is not None
    assert clips.shape == (11, 64, 1)
    found = {clip.tobytes() for clip in clips}
    for path in audio.iterdir():
        samples, _ = soundfile.read(path, dtype="float32")
        assert samples[:64, np.newaxis].tobytes() in found
    assert trainer.real_clips(config_of(tmp_path / "gone"), 3) is None


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
        directory = traindir.TrainDir(tmp_path / str(seconds))
        directory.path.mkdir()
        config = config_of(audio, max_steps=10)
        paths = trainer.find_data(config)
        trainer.train(build(config), directory, config, paths)
        line = directory.metrics.read_text().splitlines()[-1]
        shares.append(json.loads(line)["data_wait"])
    assert 0 <= shares[0] < shares[1] <= 1
    assert shares[1] > 0.5
