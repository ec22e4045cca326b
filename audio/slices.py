"""The index: every slice of every file, known before training."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from audio import headers


@dataclasses.dataclass(frozen=True)
class SliceIndex:
    """Every slice of a set of files: four arrays, one entry per slice.

    `file`: its place in `infos`; `offset`: where it starts; `slack`: how far
    it may move forward; `span`: the real samples it needs, its slack included
    (all in samples at `sample_rate`).
    """

    infos: Sequence[headers.AudioInfo]
    slice_len: int
    sample_rate: int
    channels: int
    file: np.ndarray
    offset: np.ndarray
    slack: np.ndarray
    span: np.ndarray

    @property
    def num_slices(self) -> int:
        """Slices in an epoch."""
        return len(self.file)

    @property
    def seconds(self) -> float:
        """Duration of all files together, in seconds."""
        return sum(info.num_samples / info.sample_rate for info in self.infos)

    @property
    def cache_bytes(self) -> int:
        """What a cache in memory or on disk takes, in bytes."""
        return int(self.span.sum()) * self.channels * 2


def index_slices(
    infos: Sequence[headers.AudioInfo],
    slice_len: int,
    *,
    sample_rate: int = 16000,
    channels: int = 1,
    first_slice: bool = False,
    pad_end: bool = False,
    overlap_ratio: float = 0.0,
    random_offset: bool = False,
) -> SliceIndex:
    """Lists every slice of every file, in the order of the files.

    Args:
      infos: Usable files, from `headers.scan_audio`.
      slice_len: Samples in a slice.
      sample_rate: Target rate, Hz.
      channels: Target channels: 1 is the mean, n takes n, or n times 1.
      first_slice: Only the slice at offset 0.
      pad_end: Also slices that reach past the end, padded with zeros.
      overlap_ratio: Share of a slice that the next one repeats, in [0, 1).
      random_offset: A slice may move forward, short of the next one's start.

    Raises:
      ValueError: A setting is out of range, or channels do not convert.

    Source: the authors' loader.py, decode_extract_and_batch.
    """
    hop = int(round(slice_len * (1.0 - overlap_ratio)) + 1e-4)
    if not 0.0 <= overlap_ratio < 1.0 or hop < 1:
        raise ValueError(
            f"slice length {slice_len} at overlap ratio {overlap_ratio} makes "
            f"a hop of {hop} samples: choose a length of 1 or more, a ratio "
            "from 0 up to, but not including, 1"
        )
    for info in infos:
        headers.check_target(info, sample_rate, channels)
    lens = np.array([i.num_samples_at(sample_rate) for i in infos], np.int64)
    counts = -(-lens // hop) if pad_end else (lens - slice_len) // hop + 1
    # Differs from the original: a clip shorter than a slice gives one slice;
    # there it gives none, or with pad_end one per hop.
    counts = np.where((lens < slice_len) | first_slice, 1, counts)
    file = np.repeat(np.arange(len(infos)), counts)
    nth = np.arange(len(file)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset, end = nth * hop, lens[file]
    # Differs from the original: it cuts one random piece off the file's start.
    slack = np.clip(end - offset - slice_len, 0, hop - 1) * random_offset
    span = np.minimum(end - offset, slice_len + slack)
    rule = infos, slice_len, sample_rate, channels
    return SliceIndex(*rule, file, offset, slack, span)


def shuffle(positions: tf.Tensor, size: int, seed: int) -> tf.Tensor:
    """Numbers of the slices that stand at positions of the shuffled stream.

    Args:
      positions: Counted from the start of the first epoch, int64, `[n]`.
      size: Slices in an epoch, each of which comes once.
      seed: Of the orders.

    Returns:
      Numbers from 0 to size - 1, int64, `[n]`.
    """
    # Differs from the original: a permutation, no shuffle buffer. It is
    # tf.random.experimental.index_shuffle with its constant: that wrapper does
    # not take a batch of seeds (TensorFlow 2.17).
    fixed = tf.ones_like(positions)
    epochs = positions // size
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % size,
        seed=tf.stack([498247692 * fixed, seed * fixed, epochs], axis=1),
        max_index=tf.constant(size - 1, tf.int64),
        rounds=4,
    )
