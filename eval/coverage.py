"""Computes the overlap of two sets of features: PRDC and NDB."""

import dataclasses

import numpy as np
import scipy.spatial
import scipy.stats
import sklearn.cluster

from eval import frechet

NEAREST_K = 5
NUM_BINS = 50
CHUNK_LEN = 512  # rows of the distance matrix computed at a time


@dataclasses.dataclass(frozen=True)
class Prdc:
    """Values per clip, whose means are precision, recall, density and coverage.

    A clip's ball reaches to its k-th nearest neighbour in its own set.

    Attributes:
      precision: Whether each generated clip lies in the ball of some real clip,
        0 or 1, `[num_generated]`.
      density: Number of real clips' balls that each generated clip lies in,
        divided by k, `[num_generated]`.
      recall: Whether each real clip lies in the ball of some generated clip,
        0 or 1, `[num_real]`.
      coverage: Whether some generated clip lies in each real clip's ball,
        0 or 1, `[num_real]`.
    """

    precision: np.ndarray
    density: np.ndarray
    recall: np.ndarray
    coverage: np.ndarray


def precision_recall_density_coverage(
    generated: np.ndarray, real: np.ndarray, nearest_k: int = NEAREST_K
) -> Prdc:
    """Compares two sets by balls that reach to the k-th nearest neighbour.

    Args:
      generated: Features, `[num_generated, dim]`.
      real: Features, `[num_real, dim]`; ideally as many rows as `generated`.
      nearest_k: Rank k of the neighbour, in a clip's own set, that the clip's
        ball reaches to.

    Returns:
      Values for each clip, `[num_generated]` or `[num_real]`.

    Raises:
      ValueError: The shapes do not match, or a set has k rows or fewer.

    Source: Kynkaanniemi et al. 2019; Naeem et al. 2020.
    """
    generated, real = frechet.check(generated, real)
    if min(len(generated), len(real)) <= nearest_k:
        raise ValueError(
            f"{min(len(generated), len(real))} clips: expected more than "
            f"nearest_k, {nearest_k}"
        )
    real_radii = _radii(real, nearest_k)
    generated_radii = _radii(generated, nearest_k)
    in_balls = np.zeros(len(generated))
    nearest = np.full(len(real), np.inf)
    recalled = np.zeros(len(real), bool)
    for i in range(0, len(generated), CHUNK_LEN):
        part = slice(i, i + CHUNK_LEN)
        distances = scipy.spatial.distance.cdist(generated[part], real)
        in_balls[part] = (distances <= real_radii).sum(1)
        nearest = np.minimum(nearest, distances.min(0))
        recalled |= (distances <= generated_radii[part, None]).any(0)
    return Prdc(
        precision=(in_balls > 0).astype(float),
        density=in_balls / nearest_k,
        recall=recalled.astype(float),
        coverage=(nearest <= real_radii).astype(float),
    )


def _radii(points: np.ndarray, nearest_k: int) -> np.ndarray:
    """Returns the distance of each point to its k-th neighbour, `[num]`."""
    # By differences, not by a matrix product: the k-th neighbour must lie on
    # the ball, not a rounding error outside.
    return np.concatenate(
        [
            np.partition(
                scipy.spatial.distance.cdist(points[i : i + CHUNK_LEN], points),
                nearest_k,  # the 0-th is the point itself
            )[:, nearest_k]
            for i in range(0, len(points), CHUNK_LEN)
        ]
    )


def bin_features(
    generated: np.ndarray,
    real: np.ndarray,
    num_bins: int = NUM_BINS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Assigns clips to the bins that k-means finds among the real ones.

    Args:
      generated: Features, `[num_generated, dim]`.
      real: Features, `[num_real, dim]`.
      num_bins: Number of bins.
      seed: Seed of k-means.

    Returns:
      Bin of each generated clip, `[num_generated]`, and bin of each real clip,
      `[num_real]`.
    """
    generated, real = frechet.check(generated, real)
    means = sklearn.cluster.KMeans(num_bins, n_init=1, random_state=seed)
    real_bins = means.fit_predict(real)
    return means.predict(generated), real_bins


def different_bins(
    generated: np.ndarray,
    real: np.ndarray,
    num_bins: int = NUM_BINS,
    level: float = 0.05,
) -> float:
    """Computes the share of bins whose proportions differ between the sets.

    Args:
      generated: Bin of each generated clip, `[num_generated]`.
      real: Bin of each real clip, `[num_real]`.
      num_bins: Number of bins.
      level: Significance level of the two-proportion z-test.

    Returns:
      NDB / K, from 0 to 1; about `level` for two sets of one distribution.

    Source: Richardson and Weiss 2018.
    """
    n, m = len(generated), len(real)
    p = np.bincount(generated, minlength=num_bins) / n
    q = np.bincount(real, minlength=num_bins) / m
    pooled = (n * p + m * q) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = np.abs(p - q) / np.maximum(error, 1e-12)
    return float(np.mean(z > scipy.stats.norm.isf(level / 2)))
