"""How far a number would move if the clips had been others."""

from collections.abc import Callable

import numpy as np

NUM_DRAWS = 200


def interval(
    value: float,
    statistic: Callable[[np.ndarray], float],
    num_clips: int,
    seed: int = 0,
) -> tuple[float, float]:
    """A 95% interval by drawing the clips anew, with replacement.

    Clips drawn twice bias what is not a mean (distances between distributions,
    products over splits). So the spread is taken around the draws' own mean and
    moved to the value that the clips themselves gave.

    Args:
      value: Of all clips.
      statistic: Maps indices of clips, `[num_clips]`, to a value.
      num_clips: How many there are.
      seed: Of the draws.

    Returns:
      Lower and upper end.

    Source: Efron and Tibshirani 1993, chapters 10 and 13.
    """
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            statistic(rng.integers(num_clips, size=num_clips))
            for _ in range(NUM_DRAWS)
        ]
    )
    low, high = np.percentile(draws, [2.5, 97.5]) - draws.mean() + value
    return float(low), float(high)
