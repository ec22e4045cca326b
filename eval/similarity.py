"""Distances to the nearest neighbour: diversity, and copying."""

from collections.abc import Iterable

import numpy as np

from eval import features

FRAME_LEN = 2048  # samples; the classifier's have half as many
FULL_SCALE = 32768  # the authors' script reads 16-bit samples as they are
NUM_CLIPS = 1000  # that look for neighbours
AUDIBLE = np.log(1000)  # 60 dB in nats of magnitude
CANDIDATES = 4
CHUNK_LEN = 1024  # rows at once


def embed(audio: np.ndarray) -> np.ndarray:
    """Log-mel spectrograms in one row a clip, `[batch, 16384]`.

    Args:
      audio: One second at 16 kHz, `[batch, 16384]`.

    Source: the authors' eval/similarity/feats.py.
    """
    log_mel = features.log_mel(audio * np.float32(FULL_SCALE), FRAME_LEN)
    return log_mel.reshape(len(audio), np.prod(log_mel.shape[1:], dtype=int))


def audible(log_mels: np.ndarray) -> np.ndarray:
    """What of `embed` one hears: 60 dB below a clip's peak, at one loudness.

    Without it, a copy with a little noise in its silences is far from what it
    was copied from, for the logarithm of digital silence is far from any other.

    Args:
      log_mels: `[batch, 16384]`.

    Returns:
      From -6.9 to 0, in nats, the same shape.
    """
    peaks = log_mels.max(axis=1, keepdims=True)
    return np.maximum(log_mels - peaks, np.float32(-AUDIBLE))


def nearest_neighbor_distance(
    queries: np.ndarray, references: np.ndarray, exclude_self: bool = False
) -> tuple[float, float]:
    """Mean Euclidean distance from each query to its nearest reference.

    Args:
      queries: Features, `[num_queries, ...]`.
      references: Likewise, `[num_references, ...]`.
      exclude_self: The two are one set, and nobody is its own neighbour.

    Returns:
      Mean, and standard deviation over the queries.

    Raises:
      ValueError: Shapes do not fit, or nobody is left to be a neighbour.

    Source: the paper, section 6.2 (|D|self and |D|train).
    """
    distances, _ = nearest(queries, [references], exclude_self)
    return float(distances.mean()), float(distances.std())


def nearest(
    queries: np.ndarray,
    references: Iterable[np.ndarray],
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds each query's nearest reference.

    Args:
      queries: `[num_queries, ...]`.
      references: In parts, `[num_part, ...]` each, so that a large set need
        not be in memory as a whole.
      exclude_self: The two are one set, and nobody is its own neighbour.

    Returns:
      Distances and indices into the references, `[num_queries]` each.

    Raises:
      ValueError: Shapes do not fit, or nobody is left to be a neighbour.
    """
    queries = np.reshape(queries, [len(queries), -1]).astype(np.float32)
    best = np.full(len(queries), np.inf)
    found = np.full(len(queries), -1)
    first = 0
    for part in references:
        for i in range(0, len(part), CHUNK_LEN):
            rows = np.reshape(part[i : i + CHUNK_LEN], [-1, queries.shape[1]])
            rows = rows.astype(np.float32)
            for j in range(0, len(queries), CHUNK_LEN):
                some = np.arange(j, min(j + CHUNK_LEN, len(queries)))
                distances, indices = _nearest_of(
                    queries[some], rows, some - first if exclude_self else None
                )
                closer = distances < best[some]
                best[some[closer]] = distances[closer]
                found[some[closer]] = first + indices[closer]
            first += len(rows)
    if np.any(found < 0):
        raise ValueError(
            f"{len(queries)} queries, {first} references: nobody has a "
            "neighbour; give more clips"
        )
    return best, found


def _nearest_of(
    queries: np.ndarray, rows: np.ndarray, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index of each query's nearest among a few rows."""
    # By a matrix product, around a common centre for precision; that cannot
    # tell 0 from small, so the best few are measured again without it.
    centre = rows.mean(0)
    x, y = queries - centre, rows - centre
    rough = (y * y).sum(1) - 2 * x @ y.T
    if own is not None:
        mine = (own >= 0) & (own < len(rows))
        rough[np.flatnonzero(mine), own[mine]] = np.inf
    count = min(CANDIDATES, len(rows))
    chosen = np.argpartition(rough, count - 1, axis=1)[:, :count]
    exact = np.stack(
        [
            np.linalg.norm(queries - rows[chosen[:, j]], axis=1)
            for j in range(count)
        ],
        axis=1,
    ).astype(np.float64)
    exact[np.isinf(np.take_along_axis(rough, chosen, 1))] = np.inf
    best = exact.argmin(1)
    every = np.arange(len(queries))
    return exact[every, best], chosen[every, best]
