"""Reads slices by their numbers: from the cache, the graph or `decode.read`."""

import atexit
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from audio import decode, headers, slices

_FULL_SCALE = decode.FULL_SCALE
_GRAPH_SLICES = 4  # largest length, in slices, of a file decoded in the graph
# At exit, checks in a row that find no call, and the wait before each.
_QUIET_CHECKS, _CHECK_SECS = 6, 0.05
RETRY_SECS = 0.1  # wait before a second try: network folders fail at times


class _PythonCalls:
    """Calls Python functions from the graph, and none once Python exits.

    A thread that waits for the interpreter's lock while the interpreter exits
    is killed, and TensorFlow would wait for the thread's call for ever.
    """

    def __init__(self) -> None:
        self._exiting = threading.Event()
        self._lock = threading.Lock()
        self._num_started = 0
        self._num_running = 0

    def call(
        self, function: Callable[..., Any], inputs: list[Any], outputs: Any
    ) -> Any:
        """Calls `function` from the graph, as `tf.numpy_function` does."""
        run = functools.partial(self._run, function)
        return tf.numpy_function(run, inputs, outputs)

    def _run(self, function: Callable[..., Any], *args: np.ndarray) -> Any:
        """Calls `function`, unless Python exits."""
        with self._lock:
            self._num_started += 1
            self._num_running += 1
        try:
            if self._exiting.is_set():
                raise RuntimeError("the program is ending")
            return function(*args)
        finally:
            with self._lock:
                self._num_running -= 1

    def settle(self) -> None:
        """Makes new calls fail; waits until none runs and no more are made."""
        self._exiting.set()
        num_seen, num_quiet = self._num_started, 0
        while num_quiet < _QUIET_CHECKS:
            time.sleep(_CHECK_SECS)
            quiet = not self._num_running and self._num_started == num_seen
            num_quiet = num_quiet + 1 if quiet else 0
            num_seen = self._num_started


@functools.cache
def _python_calls() -> _PythonCalls:
    """Returns the calls of this process; the first one settles them at exit.

    Programs that never stream do not wait at exit.
    """
    calls = _PythonCalls()
    atexit.register(calls.settle)
    return calls


class BadFiles:
    """The files that could not be read, and the limit of their number.

    Args:
      num_files: Number of all files.
      max_share: Share of the files that may be bad.
      on_skip: Function that is called once for each bad file, with its path and
        the reason; a warning is logged if left out.
    """

    def __init__(
        self,
        num_files: int,
        max_share: float = 0.0,
        on_skip: Callable[[str, str], None] | None = None,
    ) -> None:
        self._max_bad = max_share * num_files
        self._num_files = num_files
        self._on_skip = on_skip or _warn_of_skip
        self._paths: set[str] = set()
        self._lock = threading.Lock()

    def __contains__(self, path: str) -> bool:
        """Returns whether a file is known to be bad."""
        return path in self._paths

    def add(self, error: headers.BadAudioError) -> None:
        """Records a bad file and reports it once.

        Raises:
          ValueError: There are more bad files than allowed.
        """
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
    """Logs a warning about a bad file."""
    logging.warning("skipped from now on: %r: %s", path, reason)


class SliceReader:
    """Reads the slices of an index.

    A slice is 16-bit samples and a level to divide them by: 32768, or the peak
    of the slice's file if audio is normalised. Level 0 means that there are no
    samples.

    A slice that cannot be read is replaced by the first slice of the next file,
    so that the result depends on the contents of the files, and not on what was
    read before.

    Args:
      index: The slices of all files.
      normalize: Whether to divide samples by the peak of their whole file.
      store: Cache for the samples of all slices, int16, `[sum of index.span,
        channels]`; None: no cache.
      bad_files: Record of the files that could not be read.
    """

    def __init__(
        self,
        index: slices.SliceIndex,
        normalize: bool,
        store: np.ndarray | None,
        bad_files: BadFiles,
    ) -> None:
        self._index = index
        self._normalize = normalize
        self._store = store
        self._bad_files = bad_files
        # Number of each file's first slice, `[num_files]`.
        self._firsts = np.searchsorted(index.file, range(len(index.infos)))
        # Position of each slice in the store, `[num_slices]`.
        self._starts = np.cumsum(index.span) - index.span
        # Level of each slice in the store, 0 while it is not there.
        self._levels = np.zeros(index.num_slices, np.float32)
        longest = _GRAPH_SLICES * index.slice_len
        self._routes = np.array(  # decoder of each file, `[num_files]`
            [
                decode.route(info, index.sample_rate, index.channels, longest)
                for info in index.infos
            ]
        )
        in_graph = self._routes[index.file] != decode.PYTHON
        # Number of samples to which the graph pads what it decodes.
        self._len = int(index.span.max(initial=0, where=in_graph))
        needs_io = self._routes.max() > decode.TENSORFLOW
        self._decoders = decode.graph_decoders(bool(needs_io))

    def read(self, keys: tf.Tensor, moves: tf.Tensor) -> list[tf.Tensor]:
        """Reads a batch of slices.

        Args:
          keys: Numbers of the slices, int64, `[batch]`.
          moves: Number of samples by which each slice moves forward, int64,
            `[batch]`.

        Returns:
          Samples, int16, `[batch, slice_len, channels]`; levels, float32,
          `[batch]`; numbers of the slices that were read, which may replace
          those asked for, int64, `[batch]`.
        """
        todo, places, contents = _python_calls().call(
            self._open, [keys], [tf.int64, tf.int64, tf.string]
        )
        spans, levels = tf.map_fn(
            self._decode_in_graph,
            (
                tf.ensure_shape(places, [None, 3]),
                tf.ensure_shape(contents, [None]),
            ),
            fn_output_signature=(
                tf.TensorSpec([self._len, self._index.channels], tf.int16),
                tf.TensorSpec([], tf.float32),
            ),
        )
        return _python_calls().call(
            self._fetch,
            [keys, moves, todo, spans, levels],
            [tf.int16, tf.float32, tf.int64],
        )

    def _open(
        self, keys: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads the files that the graph is to decode, if they are unchanged.

        Returns:
          Numbers of the slices to decode, `[num]`; decoder, offset and length
          in samples of each slice, `[num, 3]`; contents of its file, `[num]`.
        """
        index = self._index
        todo, places, contents = [], [], []
        for key in np.unique(keys):
            file = index.file[key]
            route = self._routes[file]
            if route == decode.PYTHON or self._levels[key] > 0:
                continue
            content = decode.read_intact(index.infos[file])
            if content is None:
                continue
            todo.append(key)
            places.append((route, index.offset[key], index.span[key]))
            contents.append(content)
        return (
            np.array(todo, np.int64),
            np.array(places, np.int64).reshape(-1, 3),
            np.array(contents, object),
        )

    def _fetch(
        self,
        keys: np.ndarray,
        moves: np.ndarray,
        decoded_keys: np.ndarray,
        decoded_samples: np.ndarray,
        decoded_levels: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what `read` returns, given the slices from the graph."""
        index = self._index
        decoded = {
            int(key): (samples, level)
            for key, samples, level in zip(
                decoded_keys, decoded_samples, decoded_levels, strict=True
            )
        }
        batch_samples = np.zeros(
            [len(keys), index.slice_len, index.channels], np.int16
        )
        batch_levels = np.zeros(len(keys), np.float32)
        used_keys = np.zeros(len(keys), np.int64)
        for row, (key, move) in enumerate(zip(keys, moves, strict=True)):
            used_key, samples, level = self._readable_slice(key, decoded)
            move = min(move, index.slack[used_key])
            clip = samples[move : move + index.slice_len]
            batch_samples[row, : len(clip)] = clip
            batch_levels[row] = level
            used_keys[row] = used_key
        return batch_samples, batch_levels, used_keys

    def _readable_slice(
        self, key: int, decoded: dict[int, tuple[np.ndarray, float]]
    ) -> tuple[int, np.ndarray, float]:
        """Returns a slice, or the one that replaces it if it is unreadable.

        Args:
          key: Number of the slice.
          decoded: Samples and levels of the slices from the graph, by number.

        Returns:
          Number, samples and level of the slice that was read.

        Raises:
          headers.BadAudioError: None of the files can be read.
          ValueError: There are more bad files than allowed.
        """
        infos = self._index.infos
        for _ in range(len(infos)):
            file = self._index.file[key]
            known_bad = infos[file].path in self._bad_files
            try:
                return key, *self._read_slice(
                    key, decoded.get(int(key)), retry=not known_bad
                )
            except headers.BadAudioError as error:
                self._bad_files.add(error)
                last_error = error
            key = self._firsts[(file + 1) % len(infos)]
        raise last_error

    def _read_slice(
        self, key: int, decoded: tuple[np.ndarray, float] | None, retry: bool
    ) -> tuple[np.ndarray, float]:
        """Returns samples and level of a slice, and puts them in the cache.

        Args:
          key: Number of the slice.
          decoded: Samples and level from the graph, if it decoded the slice.
          retry: Whether to try a second time if the file cannot be read.

        Raises:
          headers.BadAudioError: The file cannot be read.
        """
        start = self._starts[key]
        stop = start + self._index.span[key]
        if self._store is not None and self._levels[key] > 0:
            return self._store[start:stop], self._levels[key]
        if decoded is not None and decoded[1] > 0:
            samples, level = decoded
            samples = samples[: stop - start]
        else:  # not for the graph, or the graph could not decode it
            try:
                samples, level = self._decode(key)
            except headers.BadAudioError:
                if not retry:
                    raise
                time.sleep(RETRY_SECS)
                samples, level = self._decode(key)
        if self._store is not None:
            self._store[start:stop] = samples
            # Set after the samples: from now on other threads may read them.
            self._levels[key] = level
        return samples, level

    def _decode(self, key: int) -> tuple[np.ndarray, float]:
        """Decodes a slice outside of the graph, to samples and a level."""
        index = self._index
        info, start = index.infos[index.file[key]], int(index.offset[key])
        stop = start + int(index.span[key])
        audio = decode.read(
            info, start, stop, index.sample_rate, index.channels
        )
        peak = 1.0
        if self._normalize:
            peak = decode.measure_peak(info, index.sample_rate, index.channels)
        level = max(1.0, np.rint(min(peak, 1.0) * _FULL_SCALE))
        return decode.to_int16(audio / np.float32(max(peak, 1.0))), level

    def _decode_in_graph(
        self, work: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes what `_decode` computes, from the contents of the file.

        Args:
          work: Decoder, offset and length of the slice, `[3]`; contents, `[]`.

        Returns:
          Samples, padded with zeros, int16, `[self._len, channels]`; level, 0
          if the file has samples that are NaN, infinite or too large.
        """
        place, contents = work
        channels = self._index.channels
        route, offset, length = tf.unstack(place)
        audio = tf.switch_case(
            tf.cast(route, tf.int32),
            [
                functools.partial(decoder, contents)
                for decoder in self._decoders
            ],
        )
        good = tf.reduce_all(tf.abs(audio) < decode.LOUDEST)
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
