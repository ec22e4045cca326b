"""Computes bootstrap confidence intervals of scores."""

from collections.abc import Callable

import numpy as np

NUM_DRAWS = 200


def interval(
    value: float,
    statistic: Callable[[np.ndarray], float],
    num_clips: int,
    seed: int = 0,
) -> tuple[float, float]:
    """Computes a 95% confidence interval by resampling clips with replacement.

    Clips drawn twice bias a statistic that is not a mean (distances between
    distributions, products over splits). So the spread is taken around the mean
    of the resampled values and then centred on the value of the clips
    themselves.

    Args:
      value: Statistic of all clips.
      statistic: Function from indices of clips, `[num_clips]`, to a value.
      num_clips: Number of clips.
      seed: Seed of the resampling.

    Returns:
      Lower and upper end of the interval.

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
