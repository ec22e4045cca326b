"""Distances between two sets of features: Frechet and kernel."""

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
    a, b = check(a, b)
    sums = kernel_blocks(a, b)
    n, m = len(a), len(b)
    within_a = (sums[0].sum() - np.trace(sums[0])) / (n * (n - 1))
    within_b = (sums[1].sum() - np.trace(sums[1])) / (m * (m - 1))
    return float(within_a + within_b - 2 * sums[2].mean())


def kernel_blocks(
    a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel values among a, among b, and between the two."""
    dim = a.shape[1]
    return tuple((x @ y.T / dim + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))


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
