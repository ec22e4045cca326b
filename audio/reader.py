"""The reader: slices by number, from the store, the graph or soundfile."""

import atexit
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from audio import decode as decode_lib
from audio import headers, slices

_FULL_SCALE = decode_lib.FULL_SCALE
_GRAPH_SLICES = 4  # the graph decodes whole files, of up to so many slices
RETRY_SECS = 0.1  # a folder on a network may stutter


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


class BadFiles:
    """The files that could not be read, and how many of them may be."""

    def __init__(
        self,
        num_files: int,
        max_share: float = 0.0,
        on_skip: Callable[[str, str], None] | None = None,
    ) -> None:
        self._max_bad = max_share * num_files
        self._num_files, self._on_skip = num_files, on_skip or _warn_of_skip
        self._paths: set[str] = set()
        self._lock = threading.Lock()

    def __contains__(self, path: str) -> bool:
        """Tells if a file is known to be bad."""
        return path in self._paths

    def add(self, error: headers.BadAudioError) -> None:
        """Notes a bad file, tells of it once, raises if they are too many."""
        with self._lock:
            if error.path in self._paths:
                return
            if len(self._paths) + 1 > self._max_bad:
                text = f"{len(self._paths)} of {self._num_files} files were bad"
                more = f" ({text} already)" if self._max_bad else ""
                raise ValueError(f"{error}{more}") from error
            self._on_skip(error.path, error.reason)
            self._paths.add(error.path)


def _warn_of_skip(path: str, reason: str) -> None:
    logging.warning("skipped from now on: %r: %s", path, reason)


class SliceReader:
    """Gives the slices of an index: from the store, the graph or soundfile.

    Slices are 16-bit samples and a level to divide them by: 32768, or their
    file's peak where that is to become 1. Level 0: there are no samples.

    For a slice that cannot be read comes the first one of the next file: what
    comes depends on what the files hold, not on what was read before.
    """

    def __init__(
        self,
        index: slices.SliceIndex,
        normalize: bool,
        store: np.ndarray | None,
        bad_files: BadFiles,
    ) -> None:
        self._index, self._normalize, self._store = index, normalize, store
        self._bad_files = bad_files
        self._firsts = np.searchsorted(index.file, range(len(index.infos)))
        self._starts = np.cumsum(index.span) - index.span
        self._levels = np.zeros(index.num_slices, np.float32)  # of the stored
        target = index.sample_rate, index.channels
        longest = _GRAPH_SLICES * index.slice_len
        routes = [decode_lib.route(i, *target, longest) for i in index.infos]
        self._routes = np.array(routes)
        in_graph = self._routes[index.file] > 0
        self._len = int(index.span.max(initial=0, where=in_graph))
        self._decoders = decode_lib.graph_decoders(max(routes) > 1)

    def read(self, keys: tf.Tensor, moves: tf.Tensor) -> list[tf.Tensor]:
        """Reads a batch of slices, each moved forward.

        Returns:
          Samples, int16, `[batch, slice_len, channels]`; levels, `[batch]`;
          the slices that were read, which others may stand in for, `[batch]`.
        """
        types = [tf.int64, tf.int64, tf.string]
        todo, places, contents = _call_python(self._open, [keys], types)
        work = (
            tf.ensure_shape(places, [None, 3]),
            tf.ensure_shape(contents, [None]),
        )
        span = tf.TensorSpec([self._len, self._index.channels], tf.int16)
        outputs = span, tf.TensorSpec([], tf.float32)
        spans, levels = tf.map_fn(
            self._decode_in_graph, work, fn_output_signature=outputs
        )
        arrays = [keys, moves, todo, spans, levels]
        return _call_python(
            self._fetch, arrays, [tf.int16, tf.float32, tf.int64]
        )

    def _open(self, keys: np.ndarray) -> tuple[np.ndarray, ...]:
        """Reads the files that the graph is to decode, if they are as before.

        Returns:
          Slices; how and where each lies in its file; contents of the files.
        """
        index, keys = self._index, np.unique(keys)
        files = index.file[keys]
        todo = (self._routes[files] > 0) & (self._levels[keys] == 0)
        keys, files = keys[todo], files[todo]
        read = [decode_lib.read_intact(index.infos[file]) for file in files]
        same = np.array([contents is not None for contents in read], bool)
        keys, files = keys[same], files[same]
        columns = self._routes[files], index.offset[keys], index.span[keys]
        contents = np.array([c for c in read if c is not None], object)
        return keys, np.stack(columns, axis=1), contents

    def _fetch(
        self, keys: np.ndarray, moves: np.ndarray, *decoded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index = self._index
        fresh = {int(key): rest for key, *rest in zip(*decoded, strict=True)}
        shape = len(keys), index.slice_len, index.channels
        samples = np.zeros(shape, np.int16)
        levels = np.zeros(len(keys), np.float32)
        used = np.zeros(len(keys), np.int64)
        for row, (key, move) in enumerate(zip(keys, moves, strict=True)):
            key, span, levels[row] = self._good_span(key, fresh)
            used[row] = key
            move = min(move, index.slack[key])
            clip = span[move : move + index.slice_len]
            samples[row, : len(clip)] = clip
        return samples, levels, used

    def _good_span(
        self, key: int, fresh: dict[int, list[Any]]
    ) -> tuple[int, np.ndarray, float]:
        """Gives a slice, or the one that comes in its place."""
        infos = self._index.infos
        for _ in infos:
            file = self._index.file[key]
            retry = infos[file].path not in self._bad_files
            try:
                return key, *self._span(key, retry, *fresh.get(key, (None, 0)))
            except headers.BadAudioError as error:
                self._bad_files.add(error)
                bad = error
            key = self._firsts[(file + 1) % len(infos)]
        raise bad

    def _span(
        self, key: int, retry: bool, samples: np.ndarray, level: float
    ) -> tuple[np.ndarray, float]:
        start, length = self._starts[key], self._index.span[key]
        if self._store is not None and self._levels[key]:
            return self._store[start : start + length], self._levels[key]
        if not level:  # no work for the graph, or it gave up
            try:
                samples, level = self._decode(key)
            except headers.BadAudioError:
                if not retry:
                    raise
                time.sleep(RETRY_SECS)
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
        audio = decode_lib.read(info, start, stop, *target)
        peak = 1.0
        if self._normalize:
            peak = decode_lib.measure_peak(info, *target)
        level = max(1.0, np.rint(min(peak, 1.0) * _FULL_SCALE))
        return decode_lib.to_int16(audio / np.float32(max(peak, 1.0))), level

    def _decode_in_graph(
        self, work: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Does as `_decode`, from the whole file; level 0 where it gives up."""
        channels = self._index.channels
        route, offset, length = tf.unstack(work[0])
        audio = tf.switch_case(
            tf.cast(route, tf.int32),
            [functools.partial(decode, work[1]) for decode in self._decoders],
        )
        good = tf.reduce_all(tf.abs(audio) < decode_lib.LOUDEST)
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
