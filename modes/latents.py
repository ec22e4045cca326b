"""Draws latent vectors: one for each seed, and paths between two."""

import math
from collections.abc import Callable

import numpy as np

Point = np.ndarray  # a latent vector, [latent_dim]


def sample_z(num_clips: int, latent_dim: int, seed: int) -> np.ndarray:
    """Draws latent vectors, `[num_clips, latent_dim]`, uniform in [-1, 1).

    Each is drawn from a seed of its own: the first from `seed`, the others from
    the numbers that follow. So a clip can be made again by its seed alone.

    Raises:
      ValueError: `num_clips` is below 1.
    """
    if num_clips < 1:
        raise ValueError(f"number of clips is {num_clips}: expected at least 1")
    draws = [
        np.random.default_rng(seed + i).uniform(-1, 1, latent_dim)
        for i in range(num_clips)
    ]
    return np.array(draws, np.float32)


def rows_of_words(z: np.ndarray, num_labels: int) -> tuple[np.ndarray, ...]:
    """Gives each label, in turn, all of some latent vectors.

    Args:
      z: `[num_columns, latent_dim]`.
      num_labels: At least 1.

    Returns:
      Latent vectors, `[num_labels * num_columns, latent_dim]`, and labels,
      int32, of that length: row after row of a grid.
    """
    labels = np.repeat(np.arange(num_labels, dtype=np.int32), len(z))
    return np.tile(z, (num_labels, 1)), labels


def straight(a: Point, b: Point, share: float) -> Point:
    """Returns the point at a share of the straight line from a to b."""
    return (1 - share) * a + share * b


def slerp(a: Point, b: Point, share: float) -> Point:
    """Returns the point at a share of the arc from a to b.

    The straight way passes nearer by the origin, where clips are tamer.

    Source: Shoemake (1985); White (2016), "Sampling Generative Networks".
    """
    cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    angle = math.acos(np.clip(cosine, -1, 1))
    if math.sin(angle) < 1e-6:  # no way, or no plane to turn in
        return straight(a, b, share)
    weights = math.sin((1 - share) * angle), math.sin(share * angle)
    return (weights[0] * a + weights[1] * b) / math.sin(angle)


INTERPOLATIONS: dict[str, Callable[[Point, Point, float], Point]] = {
    "slerp": slerp,
    "straight": straight,
}
