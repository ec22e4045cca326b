"""Runs decoders in child processes, which damaged files may crash or hang.

The children are started when they are needed, live as long as this process, and
are replaced when they die. They print nothing.
"""

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from audio import worker

# A short answer fits in the pipe: it comes in one read, which matters where
# threads contend for the interpreter's lock.
_PIPE_LEN = 1 << 20
LIMIT_SECS = float(worker.LIMIT_SECS)
_START_SECS = 300.0  # longest start of a child, on a network disk perhaps
_ROOT = pathlib.Path(__file__).resolve().parent.parent


class DecoderError(OSError):
    """A file cannot be decoded."""


class _DiedError(Exception):
    """A child process ended, or was ended, before it answered."""


class _Child:
    """A child process that runs `audio.worker`.

    Raises:
      RuntimeError: It does not start.
    """

    def __init__(self) -> None:
        # A session of its own: Ctrl-C in the terminal is not for the child.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "audio.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_LEN,
            cwd=_ROOT,
            start_new_session=True,
        )
        self._unread = bytearray()
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)
        try:
            self._read(worker.MESSAGE.size, _START_SECS)
        except _DiedError as error:
            self.kill()
            raise RuntimeError(
                f"decoders do not start: `{sys.executable} -m audio.worker` in "
                f"{str(_ROOT)!r} shows why"
            ) from error

    @property
    def _stdout(self) -> int:
        assert self._process.stdout
        return self._process.stdout.fileno()

    def _read(self, num_bytes: int, limit_secs: float) -> bytes:
        """Reads from the child.

        Raises:
          _DiedError: It ended, or wrote nothing for too long.
        """
        while len(self._unread) < num_bytes:
            if not self._poll.poll(limit_secs * 1000):
                raise _DiedError(f"does nothing for {limit_secs:g} s")
            block = os.read(self._stdout, _PIPE_LEN)
            if not block:
                raise _DiedError("crashes")
            self._unread += block
        content = bytes(self._unread[:num_bytes])
        del self._unread[:num_bytes]
        return content

    def ask(self, request: dict[str, Any]) -> Iterator[worker.Message]:
        """Yields the messages that answer a request.

        Raises:
          _DiedError: The child died.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _DiedError("crashes") from error
        kind = b""
        while kind not in worker.ENDS:
            head = self._read(worker.MESSAGE.size, LIMIT_SECS)
            kind, length = worker.MESSAGE.unpack(head)
            yield kind, self._read(length, LIMIT_SECS)

    def kill(self) -> None:
        """Ends the child and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError), self._process:
            pass  # closes the pipes, and waits


class Decoders:
    """A pool of child processes that decode files.

    Args:
      most: Largest number of children.
    """

    def __init__(self, most: int) -> None:
        self._places = threading.Semaphore(most)
        self._idle: list[_Child] = []

    def _ask(self, path: str, **part: int) -> Iterator[worker.Message]:
        """Yields the messages that answer a request about a file.

        A child that dies before its first message is replaced once, in case
        that something else than the file ended it.

        Raises:
          DecoderError: The child died.
        """
        request = {"path": str(pathlib.Path(path).absolute()), **part}
        with self._places:
            for attempt in range(2):
                child = self._idle.pop() if self._idle else _Child()
                started = finished = False
                try:
                    for message in child.ask(request):
                        started, finished = True, message[0] in worker.ENDS
                        yield message
                    return
                except _DiedError as error:
                    if started or attempt:
                        raise DecoderError(f"the decoder {error}") from error
                finally:
                    if finished:
                        self._idle.append(child)
                    else:
                        child.kill()

    def describe(self, path: str) -> dict[str, Any]:
        """Finds rate, channels, codec and length of a file.

        Returns:
          Fields of `headers.AudioInfo`, and `expected`: the length in samples
          by the file's header, or None.

        Raises:
          DecoderError: The file cannot be decoded.
        """
        for kind, content in self._ask(path):
            if kind == worker.ERROR:
                raise DecoderError(content.decode())
        return json.loads(content)

    def decode(self, path: str, start: int, stop: int) -> Iterator[bytes]:
        """Decodes a part of a file.

        Args:
          path: Path of the file.
          start: First sample; not 0 only for codecs that seek exactly.
          stop: End of the part, exclusive.

        Yields:
          Samples, float32, interleaved; fewer than asked for if the file ends.

        Raises:
          DecoderError: The file cannot be decoded.
        """
        for kind, content in self._ask(path, start=start, stop=stop):
            if kind == worker.ERROR:
                raise DecoderError(content.decode())
            if kind == worker.SAMPLES:
                yield content


POOL = Decoders(min(8, (os.cpu_count() or 1) + 1))
