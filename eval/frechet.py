"""Computes distances between two sets of features: Frechet and kernel."""

from collections.abc import Callable

import numpy as np
import scipy.linalg


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Computes the Frechet distance of Gaussians fitted to two sets.

    The distance is |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)),
    with unbiased covariances.

    Args:
      a: Features of one set, `[num_a, dim]`.
      b: Features of the other set, `[num_b, dim]`.

    Returns:
      Distance; 0 for equal means and covariances.

    Raises:
      ValueError: The shapes do not match, or a set has fewer than two rows.

    Source: Heusel et al. 2017.
    """
    a, b = check(a, b)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr((C_a C_b)^1/2) equals tr((R C_b R)^1/2), with R the square root of C_a.
    # R C_b R is symmetric, so that its eigenvalues are real and a singular
    # covariance does no harm.
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
    """Estimates the squared maximum mean discrepancy of two sets, unbiased.

    The kernel is (x.y / dim + 1)^3.

    Args:
      a: Features of one set, `[num_a, dim]`.
      b: Features of the other set, `[num_b, dim]`.

    Returns:
      Distance; around 0, also below 0, for two sets of one distribution.

    Raises:
      ValueError: The shapes do not match, or a set has fewer than two rows.

    Source: Binkowski et al. 2018 (KID).
    """
    return kernel_statistic(a, b)(np.ones(len(a)))


def kernel_statistic(
    a: np.ndarray, b: np.ndarray
) -> Callable[[np.ndarray], float]:
    """Prepares `kernel_distance` for clips of `a` with multiplicities.

    Args:
      a: Features of one set, `[num_a, dim]`.
      b: Features of the other set, `[num_b, dim]`.

    Returns:
      Function from the number of times that each clip of `a` counts, `[num_a]`,
      to the distance. Two copies of one clip do not count as a pair.

    Raises:
      ValueError: The shapes do not match, or a set has fewer than two rows.
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
    """Checks two sets of features and returns them as float64.

    Raises:
      ValueError: The shapes do not match, or a set has fewer than two rows.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[1]
        or min(len(a), len(b)) < 2
    ):
        raise ValueError(
            f"features have shapes {a.shape} and {b.shape}: expected "
            "[num_a, dim] and [num_b, dim], two rows or more each"
        )
    return a, b
