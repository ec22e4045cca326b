"""Lists the slices of all files before training, and shuffles them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from audio import headers


@dataclasses.dataclass(frozen=True)
class SliceIndex:
    """All slices of a set of files: four arrays with an entry for each slice.

    Attributes:
      infos: Headers of the files.
      slice_len: Number of samples in a slice.
      sample_rate: Sampling rate of the slices in Hz.
      channels: Number of channels of the slices.
      file: Index of each slice's file in `infos`, `[num_slices]`.
      offset: First sample of each slice in its file, `[num_slices]`.
      slack: Number of samples by which each slice may move forward,
        `[num_slices]`.
      span: Number of samples of the file that each slice needs, its slack
        included, `[num_slices]`. (All are counted at `sample_rate`.)
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
        """Number of slices in an epoch."""
        return len(self.file)

    @property
    def seconds(self) -> float:
        """Duration of all files together, in seconds."""
        return sum(info.num_samples / info.sample_rate for info in self.infos)

    @property
    def cache_bytes(self) -> int:
        """Size in bytes of a cache of all slices."""
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
      infos: Headers of usable files, from `headers.scan_audio`.
      slice_len: Number of samples in a slice.
      sample_rate: Target sampling rate in Hz.
      channels: Target number of channels: 1 averages the channels; n takes
        files with n channels, or copies a single channel n times.
      first_slice: Whether to list only the slice at offset 0 of each file.
      pad_end: Whether to include slices that reach past the end of the file and
        are padded with zeros.
      overlap_ratio: Share of a slice that overlaps the next slice, in [0, 1).
      random_offset: Whether a slice may move forward, by less than the distance
        to the start of the next slice.

    Raises:
      ValueError: A setting is out of range, or a file does not convert to this
        number of channels.

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
    # Differs from the original: a file shorter than a slice gives one slice; in
    # the original it gives none, or with pad_end one for each hop.
    counts = np.where((lens < slice_len) | first_slice, 1, counts)
    file = np.repeat(np.arange(len(infos)), counts)
    nth = np.arange(len(file)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset, end = nth * hop, lens[file]
    # Differs from the original: it cuts a piece of random length off the start
    # of the file. Ours moves each slice.
    slack = np.clip(end - offset - slice_len, 0, hop - 1) * random_offset
    span = np.minimum(end - offset, slice_len + slack)
    rule = infos, slice_len, sample_rate, channels
    return SliceIndex(*rule, file, offset, slack, span)


def shuffle(positions: tf.Tensor, size: int, seed: int) -> tf.Tensor:
    """Returns the numbers of the slices at positions of the shuffled stream.

    Args:
      positions: Positions counted from the start of the first epoch, int64,
        `[n]`.
      size: Number of slices in an epoch; each of them comes once.
      seed: Seed of the orders of all epochs.

    Returns:
      Numbers of slices, from 0 to size - 1, int64, `[n]`.
    """
    # Differs from the original: a permutation instead of a shuffle buffer. This
    # is tf.random.experimental.index_shuffle with its constant, called directly
    # because that function does not take a batch of seeds (TensorFlow 2.17).
    fixed = tf.ones_like(positions)
    epochs = positions // size
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % size,
        seed=tf.stack([498247692 * fixed, seed * fixed, epochs], axis=1),
        max_index=tf.constant(size - 1, tf.int64),
        rounds=4,
    )
