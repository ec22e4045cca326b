"""The loader: audio files -> [batch, slice_len, channels].

Index first, then random access: headers tell where every slice of every file
lies, so the order is a function of (seed, position), needs no shuffle buffer
and resumes anywhere.
"""

import atexit
import functools
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

import audio_files
import slices

CACHES = ("none", "memory", "disk", "auto")
_FULL_SCALE = audio_files.FULL_SCALE
_GRAPH_SLICES = 4  # the graph decodes whole files, of up to so many slices

# The one door to audio: who imports the loader needs no other module.
AudioInfo = audio_files.AudioInfo
find_audio = audio_files.find_audio
scan_audio = audio_files.scan_audio
decode_audio = audio_files.decode_audio
load_clips = audio_files.load_clips
to_int16 = audio_files.to_int16
from_int16 = audio_files.from_int16
SliceIndex = slices.SliceIndex
index_slices = slices.index_slices


class _PythonCalls:
    """Calls from the stream into Python, brought to rest before Python exits.

    A thread that asks for the interpreter's lock while the interpreter ends is
    killed, and TensorFlow would wait for its call for ever.
    """

    def __init__(self) -> None:
        self._exiting = threading.Event()
        self._last_call = 0.0

    def __call__(
        self, function: Callable[..., Any], inputs: list[Any], outputs: Any
    ) -> Any:
        """Does as `tf.numpy_function`."""
        # Once, and only where there is a stream: others need not wait at exit.
        atexit.unregister(self._settle)
        atexit.register(self._settle)

        def call(*args: np.ndarray) -> Any:
            if self._exiting.is_set():
                self._last_call = time.monotonic()
                raise RuntimeError("the program is ending")
            return function(*args)

        return tf.numpy_function(call, inputs, outputs)

    def _settle(self) -> None:
        """Lets calls fail until the stream asks for no more."""
        self._exiting.set()
        self._last_call = time.monotonic()
        while time.monotonic() - self._last_call < 0.3:
            time.sleep(0.05)


_call_python = _PythonCalls()


class _SliceReader:
    """Gives the slices of an index: from the store, the graph or soundfile.

    Slices are 16-bit samples and a level to divide them by: 32768, or their
    file's peak where that is to become 1. Level 0: there are no samples.
    """

    def __init__(
        self,
        index: slices.SliceIndex,
        normalize: bool,
        store: np.ndarray | None,
    ) -> None:
        self._index, self._normalize, self._store = index, normalize, store
        self._starts = np.cumsum(index.span) - index.span
        self._levels = np.zeros(index.num_slices, np.float32)  # of the stored
        target = index.sample_rate, index.channels
        longest = _GRAPH_SLICES * index.slice_len
        routes = [audio_files.route(i, *target, longest) for i in index.infos]
        self._in_graph = np.array(routes)[index.file] > 0
        self._len = int(index.span.max(initial=0, where=self._in_graph))
        places = np.stack([index.file, index.offset, index.span], axis=1)
        self._places = tf.constant(places, tf.int64)
        self._paths = tf.constant([os.fsencode(i.path) for i in index.infos])
        sizes = [(i.num_bytes, i.num_samples) for i in index.infos]
        self._sizes = tf.constant(sizes, tf.int64)
        self._routes = tf.constant(routes)
        self._decoders = audio_files.graph_decoders(max(routes) > 1)

    def read(self, keys: tf.Tensor, moves: tf.Tensor) -> list[tf.Tensor]:
        """Reads a batch of slices, each moved forward.

        Returns:
          Samples, int16, `[batch, slice_len, channels]`; levels, `[batch]`.
        """
        todo = _call_python(self._choose, [keys], tf.int64)
        todo = tf.ensure_shape(todo, [None])
        span = tf.TensorSpec([self._len, self._index.channels], tf.int16)
        outputs = span, tf.TensorSpec([], tf.float32)
        spans, levels = tf.map_fn(
            self._decode_in_graph, todo, fn_output_signature=outputs
        )
        arrays = [keys, moves, todo, spans, levels]
        return _call_python(self._fetch, arrays, [tf.int16, tf.float32])

    def _choose(self, keys: np.ndarray) -> np.ndarray:
        """Chooses the slices that the graph is to decode."""
        keys = np.unique(keys)
        return keys[self._in_graph[keys] & (self._levels[keys] == 0)]

    def _fetch(
        self, keys: np.ndarray, moves: np.ndarray, *decoded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        index = self._index
        fresh = {int(key): rest for key, *rest in zip(*decoded, strict=True)}
        shape = len(keys), index.slice_len, index.channels
        samples = np.zeros(shape, np.int16)
        levels = np.zeros(len(keys), np.float32)
        for row, (key, move) in enumerate(zip(keys, moves, strict=True)):
            span, levels[row] = self._span(key, *fresh.get(key, (None, 0)))
            clip = span[move : move + index.slice_len]
            samples[row, : len(clip)] = clip
        return samples, levels

    def _span(
        self, key: int, samples: np.ndarray, level: float
    ) -> tuple[np.ndarray, float]:
        start, length = self._starts[key], self._index.span[key]
        if self._store is not None and self._levels[key]:
            return self._store[start : start + length], self._levels[key]
        if not level:  # no work for the graph, or it gave up
            samples, level = self._decode(key)
        if self._store is not None:
            self._store[start : start + length] = samples[:length]
            self._levels[key] = level  # last: now other threads may read
        return samples[:length], level

    def _decode(self, key: int) -> tuple[np.ndarray, float]:
        index = self._index
        info, start = index.infos[index.file[key]], int(index.offset[key])
        target = index.sample_rate, index.channels
        stop = start + int(index.span[key])
        audio = audio_files.read(info, start, stop, *target)
        peak = 1.0
        if self._normalize:
            peak = audio_files.measure_peak(info, *target)
        level = max(1.0, np.rint(min(peak, 1.0) * _FULL_SCALE))
        return audio_files.to_int16(audio / np.float32(max(peak, 1.0))), level

    def _decode_in_graph(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Does as `_decode`, from the whole file; level 0 where it gives up."""
        channels = self._index.channels
        file, offset, length = tf.unstack(self._places[key])
        contents = tf.io.read_file(self._paths[file])
        num_bytes, num_samples = tf.unstack(self._sizes[file])
        changed = tf.cast(tf.strings.length(contents), tf.int64) != num_bytes
        audio = tf.switch_case(
            tf.where(changed, 0, self._routes[file]),
            [functools.partial(decode, contents) for decode in self._decoders],
        )
        good = tf.reduce_all(tf.math.is_finite(audio))
        good &= tf.shape(audio, tf.int64)[0] == num_samples
        if channels == 1:
            audio = tf.reduce_mean(audio, axis=1, keepdims=True)
        audio = tf.broadcast_to(audio, [tf.shape(audio)[0], channels])
        peak = tf.reduce_max(tf.abs(audio)) if self._normalize else 1.0
        level = tf.maximum(1.0, tf.round(tf.minimum(peak, 1.0) * _FULL_SCALE))
        audio = tf.round(audio / tf.maximum(peak, 1.0) * _FULL_SCALE)
        audio = tf.clip_by_value(audio, -_FULL_SCALE, _FULL_SCALE - 1)
        samples = tf.cast(audio, tf.int16)[offset : offset + length]
        padding = [[0, self._len - tf.shape(samples)[0]], [0, 0]]
        return tf.pad(samples, padding), tf.where(good, level, 0.0)


def _make_store(
    cache: str, index: slices.SliceIndex, cache_dir: audio_files.Path | None
) -> np.ndarray | None:
    """Makes room for the real samples of all slices, if there is to be any."""
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
    with tempfile.TemporaryFile(dir=folder) as file:  # nameless: gone with us
        os.posix_fallocate(file.fileno(), 0, need)  # or a full disk kills later
        return np.memmap(file, np.int16, shape=shape)


def _free_ram() -> int:
    try:
        text = pathlib.Path("/proc/meminfo").read_text()
        return int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def make_dataset(
    paths: Sequence[audio_files.Path],
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
    cache_dir: audio_files.Path | None = None,
) -> tf.data.Dataset:
    """Makes the stream of training batches, a function of (seed, position).

    Args:
      paths: Audio files; unusable ones are skipped with one warning.
      slice_len: Samples in a slice. See `index_slices` for the cutting.
      batch_size: Slices in a batch.
      sample_rate: Target rate, Hz.
      channels: Target channels.
      first_slice: One slice a file.
      pad_end: Slices may reach past the end.
      overlap_ratio: Of neighbouring slices.
      random_offset: Slices move, by another draw every time.
      normalize: Divide by the peak of the whole file.
      shuffle: Another order of all slices every epoch.
      repeat: Never end; else end with the epoch that `start` is in.
      seed: Of the orders and the moves.
      cache: Where decoded slices stay, as int16: one of `CACHES`; "auto" is
          "memory" if a quarter of the free RAM is enough, else "none".
      drop_remainder: Drop a last batch that is not full.
      start: How many slices of the stream to leave out.
      cache_dir: Folder for the nameless file of cache="disk".

    Returns:
      Audio, float32 in [-1, 1], 16-bit samples divided by 32768 or by the
      peak, `[batch, slice_len, channels]`.

    Raises:
      ValueError: A setting is out of range, no file is usable, the cache
          does not fit. (While iterating: tf.errors.InvalidArgumentError.)

    Source: the authors' loader.py, decode_extract_and_batch.
    """
    infos, skipped = audio_files.scan_audio(paths)
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
    reader = _SliceReader(
        index, normalize, _make_store(cache, index, cache_dir)
    )
    slack = tf.constant(index.slack)
    stop = 2**62 if repeat else (start // size + 1) * size

    def draw(position: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.constant(seed, tf.int64), position])
        return tf.random.stateless_uniform([], key, dtype=tf.float64)

    def load_batch(first: tf.Tensor) -> tf.Tensor:
        positions = tf.range(first, tf.minimum(first + batch_size, stop))
        keys, moves = positions % size, tf.zeros_like(positions)
        if shuffle:
            # Differs from the original: a permutation, no shuffle buffer. It
            # is tf.random.experimental.index_shuffle with its constant: that
            # wrapper does not take a batch of seeds (TensorFlow 2.17).
            fixed = tf.ones_like(keys)
            epochs = positions // size
            seeds = tf.stack([498247692 * fixed, seed * fixed, epochs], axis=1)
            last = tf.constant(size - 1, tf.int64)
            keys = tf.raw_ops.RandomIndexShuffle(
                index=keys, seed=seeds, max_index=last, rounds=4
            )
        if random_offset:
            draws = tf.map_fn(draw, positions, fn_output_signature=tf.float64)
            ways = tf.cast(tf.gather(slack, keys) + 1, tf.float64)
            moves = tf.cast(draws * ways, tf.int64)
        samples, levels = reader.read(keys, moves)
        audio = tf.cast(samples, tf.float32) / levels[:, None, None]
        return tf.ensure_shape(
            audio, [batch_size if drop_remainder else None, slice_len, channels]
        )

    # A batch is the unit of work: per clip, tf.data costs more than decoding.
    stop -= (stop - start) % batch_size if drop_remainder else 0
    firsts = tf.data.Dataset.range(start, stop, batch_size)
    calls = min(8, (os.cpu_count() or 1) + 1)
    batches = firsts.map(load_batch, calls, deterministic=True)
    return batches.prefetch(2)
