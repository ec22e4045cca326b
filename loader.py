"""Streams training batches, `[batch, slice_len, channels]`, from audio files.

The headers of all files are read first, so that the place of every slice of
every file is known. The order of slices is then a function of (seed, position);
it needs no shuffle buffer, and training can resume at any position.
"""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from audio import decode, headers, levels, reader, slices
from system import disk

CACHES = ("none", "memory", "disk", "auto")

# Names for users of the loader, who need no other module for reading audio.
AudioInfo = headers.AudioInfo
BadAudioError = headers.BadAudioError
audio_root = headers.audio_root
is_split = headers.is_split
find_audio = headers.find_audio
scan_audio = headers.scan_audio
decode_audio = decode.decode_audio
load_clips = decode.load_clips
describe_loud = levels.describe_loud
to_int16 = decode.to_int16
from_int16 = decode.from_int16
index_slices = slices.index_slices
shuffle_slices = slices.shuffle


def _make_store(
    cache: str, index: slices.SliceIndex, cache_dir: headers.Path | None
) -> np.ndarray | None:
    """Allocates the cache of decoded slices.

    Args:
      cache: Kind of cache, one of `CACHES`.
      index: The slices.
      cache_dir: Folder for a cache on disk; that for temporary files if None.

    Returns:
      Uninitialised int16 array, `[sum of index.span, channels]`; None for no
      cache.

    Raises:
      ValueError: The kind is unknown, or memory or disk are too small.
    """
    need, shape = index.cache_bytes, (int(index.span.sum()), index.channels)
    if cache not in CACHES:
        raise ValueError(
            f"unknown cache {cache!r}: choose one of {', '.join(CACHES)}"
        )
    if cache == "auto":
        cache = "memory" if need <= _free_ram() // 4 else "none"
    if cache == "none":
        return None
    folder = os.fspath(cache_dir or tempfile.gettempdir())
    free = shutil.disk_usage(folder).free if cache == "disk" else _free_ram()
    if need > free:
        raise ValueError(
            f"cache {cache!r} needs {need:,} bytes, {free:,} are free: choose "
            "another cache, or another folder for it"
        )
    if cache == "memory":
        return np.empty(shape, np.int16)
    # The file has no name, so that it disappears with this process.
    with tempfile.TemporaryFile(dir=folder) as file:
        # Reserves the space: writing to a full disk would kill the process.
        disk.reserve(file, need)
        return np.memmap(file, np.int16, shape=shape)


def _free_ram() -> int:
    """Returns the free memory in bytes, or half of all if it is unknown."""
    try:
        text = pathlib.Path("/proc/meminfo").read_text()
        return int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def make_dataset(
    paths: Sequence[headers.Path],
    *,
    slice_len: int,
    batch_size: int,
    sample_rate: int = 16000,
    channels: int = 1,
    first_slice: bool = False,
    pad_end: bool = False,
    overlap_ratio: float = 0.0,
    random_offset: bool = False,
    normalize: bool = False,
    shuffle: bool = True,
    repeat: bool = True,
    seed: int = 0,
    cache: str = "none",
    drop_remainder: bool = True,
    start: int = 0,
    cache_dir: headers.Path | None = None,
    max_bad: float = 0.0,
    on_skip: Callable[[str, str], None] | None = None,
    choose: Callable[[tf.Tensor], tf.Tensor] | None = None,
    labels: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """Makes the stream of training batches, a function of (seed, position).

    Args:
      paths: Audio files; unusable ones are skipped with one warning.
      slice_len: Number of samples in a slice. `index_slices` documents how
        files are cut into slices.
      batch_size: Number of slices in a batch.
      sample_rate: Target sampling rate in Hz.
      channels: Target number of channels; files that do not convert to it are
        skipped.
      first_slice: Whether to use only the first slice of each file.
      pad_end: Whether slices may reach past the end of a file.
      overlap_ratio: Share of a slice that overlaps the next slice, in [0, 1).
      random_offset: Whether slices move forward by a random number of samples,
        drawn anew every time.
      normalize: Whether to divide by the peak of the whole file.
      shuffle: Whether to shuffle all slices, in another order every epoch.
      repeat: Whether the stream never ends; if not, it ends with the epoch that
        `start` is in.
      seed: Seed of the orders and the random offsets.
      cache: Cache of decoded slices, as int16, one of `CACHES`; "auto" is
        "memory" if a quarter of the free RAM is enough, and "none" otherwise.
      drop_remainder: Whether to drop a last batch that is not full.
      start: Number of slices to leave out at the start of the stream.
      cache_dir: Folder for the nameless file of cache="disk".
      max_bad: Share of the files that may turn out bad while they are read:
        missing, changed, damaged, or not finite. Each of their slices is
        replaced by the first slice of the next file.
      on_skip: Function that is called once for each bad file with its path and
        the reason, from a thread of the stream; None logs a warning.
      choose: Function that selects the batches to load: from 0, 1, 2, ... to
        the number of a batch of the stream, counted from `start`; None loads
        all.
      labels: Label of each file; if given, the stream holds the label of each
        slice as well.

    Returns:
      Stream of audio, float32 in [-1, 1], which is 16-bit samples divided by
      32768 or by the peak, `[batch, slice_len, channels]`; with `labels`, of
      audio and labels, int32, `[batch]`.

    Raises:
      ValueError: A setting is out of range, no file is usable, or the cache
        does not fit. (While iterating, more bad files than `max_bad` allows
        raise tf.errors.InvalidArgumentError.)

    Source: the authors' loader.py, decode_extract_and_batch.
    """
    infos, skipped = headers.scan_audio(paths, channels=max(1, channels))
    some = "; ".join(f"{p!r}: {why}" for p, why in list(skipped.items())[:5])
    if skipped:
        text = "skipped %d of %d files: %s"
        logging.warning(text, len(skipped), len(paths), some)
    if not infos:
        raise ValueError(
            f"none of {len(paths)} files is usable audio: {some or 'give some'}"
        )
    index = slices.index_slices(
        infos,
        slice_len,
        sample_rate=sample_rate,
        channels=channels,
        first_slice=first_slice,
        pad_end=pad_end,
        overlap_ratio=overlap_ratio,
        random_offset=random_offset,
    )
    size = index.num_slices
    if batch_size < 1 or start < 0:
        raise ValueError(
            f"batch size {batch_size}, start {start}: choose a size of 1 or "
            "more and a start of 0 or more"
        )
    if size < batch_size and drop_remainder and not repeat:
        raise ValueError(
            f"{size} slices do not fill a batch of {batch_size}: choose a "
            "smaller batch, or keep the remainder"
        )
    source = reader.SliceReader(
        index,
        normalize,
        _make_store(cache, index, cache_dir),
        reader.BadFiles(len(infos), max_bad, on_skip),
    )
    slack = tf.constant(index.slack)
    if labels is not None:
        names = [os.fspath(path) for path in paths]
        label_of = dict(zip(names, labels, strict=True))
        file_labels = np.array([label_of[info.path] for info in infos])
        slice_labels = tf.constant(file_labels[index.file], tf.int32)
    stop = 2**62 if repeat else (start // size + 1) * size

    def draw(position: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.constant(seed, tf.int64), position])
        return tf.random.stateless_uniform([], key, dtype=tf.float64)

    @tf.autograph.experimental.do_not_convert  # conversion takes a second
    def load_batch(first: tf.Tensor) -> Any:
        positions = tf.range(first, tf.minimum(first + batch_size, stop))
        keys, moves = positions % size, tf.zeros_like(positions)
        if shuffle:
            keys = slices.shuffle(positions, size, seed)
        if random_offset:
            draws = tf.map_fn(draw, positions, fn_output_signature=tf.float64)
            ways = tf.cast(tf.gather(slack, keys) + 1, tf.float64)
            moves = tf.cast(draws * ways, tf.int64)
        samples, levels, keys = source.read(keys, moves)
        audio = tf.cast(samples, tf.float32) / levels[:, None, None]
        batch = batch_size if drop_remainder else None
        audio = tf.ensure_shape(audio, [batch, slice_len, channels])
        if labels is None:
            return audio
        return audio, tf.ensure_shape(tf.gather(slice_labels, keys), [batch])

    # tf.data maps batches: for single clips it costs more than decoding does.
    stop -= (stop - start) % batch_size if drop_remainder else 0
    firsts = tf.data.Dataset.range(start, stop, batch_size)
    if choose is not None:
        firsts = firsts.map(
            lambda first: (
                start + batch_size * choose((first - start) // batch_size)
            )
        )
    calls = min(8, (os.cpu_count() or 1) + 1)
    batches = firsts.map(load_batch, calls, deterministic=True)
    return batches.prefetch(2)
