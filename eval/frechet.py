"""Distances between two sets of features: Frechet and kernel."""

from collections.abc import Callable

import numpy as np
import scipy.linalg


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to two sets of features.

    |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), with unbiased
    covariances.

    Args:
      a: `[num_a, dim]`.
      b: `[num_b, dim]`.

    Returns:
      0 for equal means and covariances.

    Raises:
      ValueError: Shapes do not fit, or a set has fewer than two rows.

    Source: Heusel et al. 2017.
    """
    a, b = check(a, b)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr((C_a C_b)^1/2) is that of R C_b R, with R the root of C_a: symmetric,
    # so that its eigenvalues are real and a singular covariance does no harm.
    values, vectors = scipy.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    crossed = scipy.linalg.eigvalsh(root @ cov_b @ root)
    overlap = np.sqrt(np.maximum(crossed, 0)).sum()
    distance = (
        np.sum((a.mean(0) - b.mean(0)) ** 2)
        + np.trace(cov_a)
        + np.trace(cov_b)
        - 2 * overlap
    )
    return float(max(distance, 0))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared maximum mean discrepancy under (x.y / dim + 1)^3, unbiased.

    Args:
      a: `[num_a, dim]`.
      b: `[num_b, dim]`.

    Returns:
      Around 0, also below, for two sets of one kind.

    Raises:
      ValueError: Shapes do not fit, or a set has fewer than two rows.

    Source: Binkowski et al. 2018 (KID).
    """
    return kernel_statistic(a, b)(np.ones(len(a)))


def kernel_statistic(
    a: np.ndarray, b: np.ndarray
) -> Callable[[np.ndarray], float]:
    """Does as `kernel_distance`, for clips of `a` that count more than once.

    Args:
      a: `[num_a, dim]`.
      b: `[num_b, dim]`.

    Returns:
      Maps how often each clip of `a` counts, `[num_a]`, to the distance. A clip
      that counts twice is no pair with itself.

    Raises:
      ValueError: Shapes do not fit, or a set has fewer than two rows.
    """
    a, b = check(a, b)
    dim, m = a.shape[1], len(b)
    among_a, among_b, between = (
        (x @ y.T / dim + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))
    )
    of_b = (among_b.sum() - np.trace(among_b)) / (m * (m - 1))
    to_b, own = between.mean(1), np.diag(among_a)

    def distance(count: np.ndarray) -> float:
        n = count.sum()
        pairs = n * n - count @ count
        of_a = (count @ among_a @ count - count**2 @ own) / pairs
        return float(of_a + of_b - 2 * count @ to_b / n)

    return distance


def check(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features in float64.

    Raises:
      ValueError: Shapes do not fit, or a set has fewer than two rows.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[1]
        or min(len(a), len(b)) < 2
    ):
        raise ValueError(
            f"features are of shapes {a.shape} and {b.shape}: expected "
            "[num_a, dim] and [num_b, dim], two rows or more each"
        )
    return a, b
