"""Detects a collapsed generator, and a critic that is far ahead of it."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

SILENCE = 1e-3  # RMS: 60 dB below full scale
SAME = 1e-3  # RMS of the difference of two clips, by their own
SATURATED = 0.99  # where tanh has hardly a slope left
RIGHT = 0.01  # a bounded loss of a critic that is hardly ever wrong
# Generators start almost silent; at the defaults, they are loud by then.
FIRST_STEP = 100  # before it, no alarm is raised
REMEDY = (
    "if that lasts, start anew with a smaller --train_learning_rate or another "
    "loss"
)


@dataclasses.dataclass(frozen=True)
class Signs:
    """What the alarms are computed from.

    Attributes:
      fake: Generated clips, `[batch, slice_len, channels]`.
      losses: Last losses, by name; `d_loss` is that of a discriminator.
      bounded: `losses.Objective.bounded`.
    """

    fake: np.ndarray
    losses: Mapping[str, float]
    bounded: bool


def _rms(audio: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(audio), axis=(1, 2)))


def _silent(signs: Signs) -> bool:
    return bool(np.all(_rms(signs.fake) < SILENCE))


def _identical(signs: Signs) -> bool:
    fake = signs.fake
    differences = _rms(fake - np.roll(fake, 1, axis=0))
    return len(fake) > 1 and bool(np.all(differences <= SAME * _rms(fake)))


def _saturated(signs: Signs) -> bool:
    return bool(np.mean(np.abs(signs.fake) > SATURATED) > 0.5)


def _critic_ahead(signs: Signs) -> bool:
    if "d_loss" not in signs.losses:
        return False
    d_loss = signs.losses["d_loss"]
    if signs.bounded:
        return d_loss < RIGHT
    # More than the farthest two clips in [-1, 1] can differ for a critic whose
    # slope is 1.
    return abs(d_loss) > 2 * np.sqrt(signs.fake[0].size)


# Name in TensorBoard -> test, warning.
ALARMS: dict[str, tuple[Callable[[Signs], bool], str]] = {
    "silent": (_silent, "the generator is silent"),
    "identical": (_identical, "the generator makes the same clip of every z"),
    "saturated": (_saturated, "most of what the generator makes is clipped"),
    "critic_ahead": (_critic_ahead, "the critic is far ahead"),
}


def raised(signs: Signs) -> dict[str, bool]:
    """Returns by name which alarms are raised."""
    return {name: test(signs) for name, (test, _) in ALARMS.items()}
