"""Tests the warnings of a collapsed generator and of a critic far ahead."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import small_gan
import tensorflow as tf

import losses
import wavegan
from training import collapse, train_dir
from training import config as config_lib
from training import log as log_lib

SHAPE = (4, 4096, 1)


def noise(level: float = 0.1) -> np.ndarray:
    """Four clips, each another."""
    return np.random.default_rng(0).normal(0, level, SHAPE).astype(np.float32)


def heard(fake: np.ndarray, d_loss: float = 0.5, bounded: bool = True) -> set:
    """Names of the alarms that go off."""
    signs = collapse.Signs(fake, {"d_loss": d_loss}, bounded)
    return {name for name, wrong in collapse.raised(signs).items() if wrong}


def test_a_good_generator_raises_none() -> None:
    assert heard(noise()) == set()
    assert heard(noise(), -20.0, bounded=False) == set()
    assert heard(noise()[:1]) == set()  # one clip is like no other


@pytest.mark.parametrize(
    ("fake", "names"),
    [
        (np.zeros(SHAPE, np.float32), {"silent", "identical"}),
        (noise(1e-4), {"silent"}),
        (np.broadcast_to(noise()[:1], SHAPE), {"identical"}),
        (noise()[:1] + noise(1e-5), {"identical"}),
        (np.sign(noise()), {"saturated"}),
    ],
)
def test_each_collapse_is_named(fake: np.ndarray, names: set) -> None:
    assert heard(fake) == names


def test_one_clip_that_sounds_is_no_silence() -> None:
    fake = np.zeros(SHAPE, np.float32)
    fake[2] = noise()[2]
    assert heard(fake) == set()


@pytest.mark.parametrize(
    ("d_loss", "bounded", "ahead"),
    [
        (0.005, True, True),
        (0.005, False, False),
        (-129.0, False, True),  # 2 * sqrt(4096) = 128
        (-127.0, False, False),
        (1e4, False, True),
    ],
)
def test_a_critic_far_ahead_is_recognised_by_its_loss(
    d_loss: float, bounded: bool, ahead: bool
) -> None:
    assert heard(noise(), d_loss, bounded) == (
        {"critic_ahead"} if ahead else set()
    )


def test_losses_are_bounded_unless_they_are_distances() -> None:
    bounded = {name for name, row in losses.OBJECTIVES.items() if row.bounded}
    assert bounded == {"dcgan", "lsgan", "r1", "r3gan"}
    right = tf.constant([9.0]), tf.constant([-9.0])
    for name in bounded - {"lsgan"}:
        assert float(losses.OBJECTIVES[name].discriminator(*right)) < 0.01
    right = tf.constant([1.0]), tf.constant([0.0])
    assert float(losses.OBJECTIVES["lsgan"].discriminator(*right)) == 0


def test_an_alarm_warns_once_until_it_was_absent(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    model = small_gan.build()
    directory = train_dir.TrainDir(tmp_path)
    config = config_lib.RunConfig(
        wavegan.WaveGANConfig(),
        train=config_lib.TrainConfig(
            critic_steps=2, batch_size=4, summary_secs=0
        ),
    )
    log = log_lib.Log(model, directory, config, 0)
    weights = model.generator.get_weights()
    batches = tf.constant(small_gan.batches_of(model))
    numbers = {"d_loss": tf.constant(0.5), "g_loss": tf.constant(0.5)}
    counts = []
    for step, silent in enumerate([True, True, True, False, True], start=99):
        model.generator.set_weights([w * (not silent) for w in weights])
        log.record(step, numbers, batches)
        counts.append(sum("silent" in text for text in warnings))
    log.close()
    assert counts == [0, 1, 1, 1, 2]
    assert "step 100:" in warnings[0] and "--train_learning_rate" in warnings[0]
    events = [
        value
        for path in (tmp_path / "logs").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "alarm/silent"
    ]
    raised = [float(tf.make_ndarray(value.tensor)) for value in events]
    assert raised == [0, 1, 1, 0, 1]
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["step"] == 100
