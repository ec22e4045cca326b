"""What tells that a generator has collapsed, or a critic run away from it."""

import dataclasses
from collections.abc import Callable

import numpy as np

SILENCE = 1e-3  # RMS: 60 dB below full scale
SAME = 1e-3  # RMS of the difference of two clips, by their own
SATURATED = 0.99  # where tanh has hardly a slope left
RIGHT = 0.01  # a bounded loss of a critic that is hardly ever wrong
REMEDY = (
    "if that lasts, start anew with a smaller --train_learning_rate or another "
    "loss"
)


@dataclasses.dataclass(frozen=True)
class Signs:
    """What alarms look at.

    Attributes:
      fake: Generated clips, `[batch, slice_len, channels]`.
      d_loss: The discriminator's last loss.
      bounded: `losses.Objective.bounded`.
    """

    fake: np.ndarray
    d_loss: float
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
    if signs.bounded:
        return signs.d_loss < RIGHT
    # More than the farthest two clips in [-1, 1] can differ for a critic whose
    # slope is 1.
    return abs(signs.d_loss) > 2 * np.sqrt(signs.fake[0].size)


# Name in TensorBoard -> test, what to tell.
ALARMS: dict[str, tuple[Callable[[Signs], bool], str]] = {
    "silent": (_silent, "the generator is silent"),
    "identical": (_identical, "the generator makes the same clip of every z"),
    "saturated": (_saturated, "most of what the generator makes is clipped"),
    "critic_ahead": (_critic_ahead, "the critic is far ahead"),
}


def raised(signs: Signs) -> dict[str, bool]:
    """Which alarms go off, by name."""
    return {name: goes_off(signs) for name, (goes_off, _) in ALARMS.items()}
