"""Keeps decoded audio in a temporary file.

MP3, Vorbis and other codecs have a memory: what a decoder returns after a jump
is not what it returns when it arrives there from the start. Such files are
decoded whole, once, and their parts are read from here.
"""

import collections
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterable

import numpy as np

_SHARE = 0.5  # of the free disk that a spool may fill
_TRIES = 2  # a file that failed so often is not decoded again


class Spool:
    """Decoded audio of many files, in one temporary file without a name.

    When its share of the disk is used up, it forgets all and begins anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._errors: dict[Hashable, list[Exception]]
        self._errors = collections.defaultdict(list)
        self._forget()

    def _forget(self) -> None:
        """Begins an empty file; reads of the old one may still go on."""
        folder = tempfile.gettempdir()
        self._limit = int(_SHARE * shutil.disk_usage(folder).free)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = 0
        self._places: dict[Hashable, int] = {}

    def _reserve(self, num_bytes: int) -> int:
        """Returns the place of new audio in the file.

        Raises:
          OSError: There is too little space on the disk.
        """
        if self._end + num_bytes > self._limit:
            self._forget()
        if num_bytes > self._limit:
            raise OSError(
                f"{num_bytes:,} bytes of decoded audio are too much for "
                f"{tempfile.gettempdir()!r}: name a larger folder by TMPDIR"
            )
        place, self._end = self._end, self._end + num_bytes
        os.ftruncate(self._file.fileno(), self._end)
        return place

    def read(
        self,
        key: Hashable,
        shape: tuple[int, int],
        start: int,
        stop: int,
        decode: Callable[[], Iterable[np.ndarray]],
    ) -> np.ndarray:
        """Reads a part of a file's audio, which is decoded if it is not there.

        Args:
          key: What the audio is a function of.
          shape: Shape of all audio of this key, `[num_samples, channels]`.
          start: First sample of the part.
          stop: End of the part, exclusive.
          decode: Function that decodes all audio, in blocks, float32; where it
            ends early, zeros follow.

        Returns:
          Audio, float32, `[stop - start, channels]`.

        Raises:
          OSError: There is too little space on the disk.
          Exception: What `decode` raised, maybe in an earlier call.
        """
        align = 4 * shape[1]
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # threads that need the same file wait for one decoder
            with self._lock:
                file, place = self._file, self._places.get(key)
                if place is None:
                    if len(self._errors[key]) >= _TRIES:
                        raise self._errors[key][-1]
                    at = self._reserve(shape[0] * align)
                    file = self._file
            if place is None:
                place = at
                try:
                    for block in decode():
                        os.pwrite(file.fileno(), block.tobytes(), at)
                        at += len(block) * align
                except Exception as error:
                    self._errors[key].append(error)
                    raise
                with self._lock:
                    if file is self._file:
                        self._places[key] = place
        content = os.pread(
            file.fileno(), (stop - start) * align, place + start * align
        )
        return np.frombuffer(content, np.float32).reshape(-1, shape[1])
