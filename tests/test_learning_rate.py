"""Tests the decay of the learning rates at the end of a run."""

import dataclasses
import pathlib

import command_runner
import numpy as np
import pytest
import small_gan

from system import settings
from training import config as config_lib
from training import learning_rate

DECAYING = config_lib.TrainConfig(max_steps=100, decay_steps=50)


def test_learning_rates_are_constant_by_default() -> None:
    shares = {
        learning_rate.share_at(step, config_lib.TrainConfig(max_steps=9))
        for step in range(9)
    }
    assert shares == {1.0}


def test_learning_rates_fall_linearly_over_the_last_updates() -> None:
    shares = [learning_rate.share_at(step, DECAYING) for step in range(101)]
    assert shares[:51] == [1.0] * 51
    np.testing.assert_allclose(np.diff(shares[50:]), -0.98 / 50, rtol=1e-6)
    assert shares[100] == pytest.approx(learning_rate.END_SHARE)


def test_a_decay_longer_than_the_run_is_refused() -> None:
    with pytest.raises(settings.SettingError, match="at most max_steps"):
        dataclasses.replace(DECAYING, max_steps=49)


def test_both_optimizers_get_their_share_of_their_own_rate() -> None:
    gan = small_gan.build()
    gan.compile("wgan-gp", learning_rate=1e-3, disc_learning_rate=4e-3)
    rates = learning_rate.LearningRates(gan, DECAYING)
    rates.set(75)
    assert float(gan.generator_optimizer.learning_rate) == pytest.approx(
        0.51e-3
    )
    assert float(gan.discriminator_optimizer.learning_rate) == pytest.approx(
        2.04e-3
    )
    rates.set(0)
    assert float(gan.generator_optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.slow
def test_a_resumed_decay_ends_with_the_same_weights(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ("--train_max_steps=4", "--train_decay_steps=3")
    command_runner.train(tmp_path / "whole", audio, *flags)
    command_runner.train(tmp_path / "parts", audio, "--train_max_steps=2")
    command_runner.train(tmp_path / "parts", audio, *flags)
    command_runner.assert_same_run(tmp_path / "whole", tmp_path / "parts")
