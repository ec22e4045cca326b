"""Computes distances to nearest neighbours: diversity and copying."""

from collections.abc import Iterable

import numpy as np

from eval import features

FRAME_LEN = 2048  # samples; twice as many as for the classifier
FULL_SCALE = 32768  # the authors' script leaves 16-bit samples as integers
NUM_CLIPS = 1000  # clips of a set whose nearest neighbours are searched for
AUDIBLE = np.log(1000)  # 60 dB in nats of magnitude
CANDIDATES = 4  # approximate nearest neighbours that are measured exactly
CHUNK_LEN = 1024  # rows of the distance matrix computed at a time


def embed(audio: np.ndarray) -> np.ndarray:
    """Computes log-mel spectrograms, flattened to one row for each clip.

    Args:
      audio: One second at 16 kHz, `[batch, 16384]`.

    Returns:
      Log-mel spectrograms, `[batch, 16384]` (128 frames of 128 bands).

    Source: the authors' eval/similarity/feats.py.
    """
    log_mel = features.log_mel(audio * np.float32(FULL_SCALE), FRAME_LEN)
    return log_mel.reshape(len(audio), np.prod(log_mel.shape[1:], dtype=int))


def audible(log_mels: np.ndarray) -> np.ndarray:
    """Limits log-mels to the audible 60 dB below each clip's peak.

    All clips get the same peak level, 0. Without this limit, a copy with a
    little noise in its silent parts would be far from its original, because the
    logarithm of digital silence is far from that of any other level.

    Args:
      log_mels: Result of `embed`, `[batch, 16384]`.

    Returns:
      Log-mels from -6.9 to 0, in nats, `[batch, 16384]`.
    """
    peaks = log_mels.max(axis=1, keepdims=True)
    return np.maximum(log_mels - peaks, np.float32(-AUDIBLE))


def nearest_neighbor_distance(
    queries: np.ndarray, references: np.ndarray, exclude_self: bool = False
) -> tuple[float, float]:
    """Averages the Euclidean distance of queries to their nearest reference.

    Args:
      queries: Features, `[num_queries, ...]`.
      references: Features to search in, `[num_references, ...]`.
      exclude_self: Whether both are the same set, in which no row counts as its
        own neighbour.

    Returns:
      Mean and standard deviation over the queries.

    Raises:
      ValueError: The shapes do not match, or a query has no neighbour.

    Source: the paper, section 6.2 (|D|self and |D|train).
    """
    distances, _ = nearest(queries, [references], exclude_self)
    return float(distances.mean()), float(distances.std())


def nearest(
    queries: np.ndarray,
    references: Iterable[np.ndarray],
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds each query's nearest reference by Euclidean distance.

    Args:
      queries: Features, `[num_queries, ...]`.
      references: Features to search in, in parts of `[num_part, ...]` each, so
        that a large set need not be in memory as a whole.
      exclude_self: Whether both are the same set, in which no row counts as its
        own neighbour.

    Returns:
      Distances and indices into the references, `[num_queries]` each.

    Raises:
      ValueError: The shapes do not match, or a query has no neighbour.
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
            f"{len(queries)} queries, {first} references: some query has no "
            "neighbour; give more clips"
        )
    return best, found


def _nearest_of(
    queries: np.ndarray, rows: np.ndarray, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns distance and index of each query's nearest row.

    Args:
      queries: Features, `[num_queries, dim]`.
      rows: Features to search in, `[num_rows, dim]`.
      own: Index in `rows` of each query itself, which may lie outside of it,
        `[num_queries]`; None if the queries are not among the rows.
    """
    # A matrix product gives approximate distances; subtracting a common centre
    # makes them more precise. It cannot tell 0 from a small distance, so the
    # distances of the best few are computed exactly.
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
