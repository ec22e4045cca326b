"""Decodes audio files by libsndfile and ffmpeg, in a process of its own.

A damaged file can crash these libraries, so `audio.decoders` runs this program
in child processes. A request is one line of JSON on stdin. The answer on stdout
is a number of messages: a letter, the length as four bytes, and the content.
"""

import contextlib
import json
import mmap
import os
import pathlib
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import soundfile

from audio import containers

# Kinds of messages: samples (float32), progress without content, the result
# (JSON) and the reason of an error (UTF-8). The last two end an answer.
SAMPLES, PROGRESS, RESULT, ERROR = b"S", b"P", b"R", b"E"
ENDS = RESULT, ERROR
MESSAGE = struct.Struct("<cI")
# Exceptions of soundfile; ValueError comes of invalid numbers from libsndfile.
DECODER_ERRORS = OSError, soundfile.SoundFileError, ValueError
MAX_SECS = 24 * 3600
LIMIT_SECS = 60  # longest time in which a decoder may do nothing
# Codecs whose parts are read by seeking: that gives the samples of the whole.
_SEEKING_CODECS = re.compile("PCM_|FLOAT|DOUBLE|[UA]LAW|(IMA|MS)_ADPCM|ALAC_")
_BLOCK_LEN = 1 << 16  # samples in a message
_BUFFER_LEN = 1 << 20  # bytes of messages that are sent together
_SMALL_BLOCK_LEN = 1 << 9  # samples in a block of which only the length counts
_MAX_BYTES = 8 << 30  # of address space, for headers that ask for more
_UNKNOWN = 1 << 60  # libsndfile's lengths from here on mean "unknown"

Message = tuple[bytes, bytes]


def explain(error: Exception) -> str:
    """Returns the message of a system or libsndfile error, in one line."""
    for name in ("strerror", "error_string"):
        if words := getattr(error, name, None):
            return " ".join(words.split())
    return " ".join(str(error).split())


class _Stream(soundfile.SoundFile):
    """A file that is read from start to end.

    `soundfile` seeks after each read of a file that can seek, which changes
    what MP3 and Vorbis decoders return next.
    """

    def seekable(self) -> bool:
        """Returns that the file cannot seek."""
        return False

    def blocks_of(self, most: int, block_len: int) -> Iterator[memoryview]:
        """Yields the next samples, float32, interleaved, `most` at most."""
        align = 4 * self.channels
        buffer = bytearray(min(block_len, most) * align)
        while most > 0:
            view = memoryview(buffer)[: most * align]
            count = self.buffer_read_into(view, "float32")
            if not count:
                return
            most -= count
            yield view[: count * align]


def _feed(path: str, start: int, stop: int, sink: int) -> None:
    """Writes a part of a file into a pipe, and closes the pipe."""
    with (
        contextlib.suppress(BrokenPipeError),
        pathlib.Path(path).open("rb") as file,
        os.fdopen(sink, "wb") as pipe,
    ):
        file.seek(start)
        while block := file.read(min(_BLOCK_LEN, stop - file.tell())):
            pipe.write(block)


@contextlib.contextmanager
def _open_part(path: str, start: int, stop: int) -> Iterator[_Stream]:
    """Opens a part of an MPEG or Ogg file.

    From a pipe, libsndfile decodes all that comes; from a file, it stops at the
    length that a header states or that it guesses.
    """
    source, sink = os.pipe()
    feeder = threading.Thread(target=_feed, args=(path, start, stop, sink))
    feeder.start()
    try:
        with _Stream(source, closefd=False) as stream:
            yield stream
    finally:
        os.close(source)  # ends the feeder
        feeder.join()


@contextlib.contextmanager
def _open_by_ffmpeg(path: str) -> Iterator[_Stream]:
    """Opens a file that ffmpeg decodes.

    Raises:
      OSError: ffmpeg cannot decode the file.
    """
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1"]
    command += ["-i", "file:" + path, "-map", "0:a:0"]
    command += ["-c:a", "pcm_f32be", "-f", "au", "-"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as ffmpeg,
    ):
        assert ffmpeg.stdout
        try:
            with _Stream(ffmpeg.stdout.fileno(), closefd=False) as stream:
                yield stream
        except soundfile.SoundFileError as error:
            ffmpeg.wait()
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()
            reason = lines[-1] if lines else explain(error)
            raise OSError(f"ffmpeg cannot decode it: {reason}") from error
        finally:
            ffmpeg.kill()


class _File:
    """An audio file that is read from its start, through all its streams.

    Attributes:
      foreign: Name of the format if only ffmpeg decodes it; "" otherwise.
      is_longer: Whether a FLAC file has more frames than its header says.
      num_empty_parts: Number of streams that held no samples when decoded.
      layout: The parts of an MPEG or Ogg file; None for another format.

    Raises:
      OSError: The file cannot be read.
      ValueError: It cannot be decoded, or by ffmpeg alone, which is missing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.num_empty_parts = 0
        self._file = pathlib.Path(path).open("rb")  # noqa: SIM115
        number = self._file.fileno()
        with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as data:
            at = containers.skip_id3(data)
            self.foreign = containers.foreign_name(data[at : at + 4096])
            self.is_longer = containers.flac_is_longer(data)
            self.layout = None
            if not self.foreign:
                self.layout = containers.find_layout(data)
        if self.foreign and not shutil.which("ffmpeg"):
            raise ValueError(
                f"{self.foreign} is decoded by ffmpeg alone: install ffmpeg, "
                "or convert the file"
            )

    def open(self) -> contextlib.AbstractContextManager[_Stream]:
        """Opens the file for its header."""
        if self.foreign:
            return _open_by_ffmpeg(self._path)
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        return _Stream(self._file.fileno(), closefd=False)

    def num_bytes_left(self) -> int:
        """Returns the size of what libsndfile has not read."""
        number = self._file.fileno()
        return os.fstat(number).st_size - os.lseek(number, 0, os.SEEK_CUR)

    def _open_parts(
        self,
    ) -> Iterator[contextlib.AbstractContextManager[_Stream]]:
        """Yields what opens each stream of the file."""
        if self.layout and not self.layout.trusted:
            for start, stop in self.layout.parts:
                yield _open_part(self._path, start, stop)
        else:
            yield self.open()

    def decode(
        self, num_samples: int, block_len: int = _BLOCK_LEN
    ) -> Iterator[memoryview]:
        """Yields the first samples in blocks, float32, interleaved.

        Raises:
          ValueError: The streams differ in rate or channels.
        """
        first: tuple[int, int] | None = None
        for opener in self._open_parts():
            with opener as stream:
                kind = stream.samplerate, stream.channels
                first = first or kind
                if kind != first:
                    raise ValueError("its rate or its channels change midway")
                before = num_samples
                for block in stream.blocks_of(num_samples, block_len):
                    num_samples -= len(block) // (4 * stream.channels)
                    yield block
            self.num_empty_parts += before == num_samples
            if num_samples <= 0:
                return


def _read_length(stream: _Stream) -> tuple[int | None, int | None]:
    """Reads the length that the header of a file states.

    Returns:
      Length in samples by the header, None if it states none; length that
      libsndfile reads, None if that is unknown.
    """
    frames = stream.frames
    if not 0 < frames < _UNKNOWN:
        return None, None if frames else 0
    # libsndfile reports truncated data only in its log.
    cut = re.search(
        r"(data|SSND) : (\d+) \(should be (\d+)\)", stream.extra_info
    )
    expected, readable = frames, False
    if cut:
        # The chunk of AIFF holds two more fields, of 8 bytes together.
        expected = int(cut[2]) - 8 * (cut[1] == "SSND")
        expected //= max(1, int(cut[3]) // frames)
    with contextlib.suppress(*DECODER_ERRORS):
        stream.seek(frames - 1)
        last = bytearray(4 * stream.channels)
        readable = stream.buffer_read_into(last, "float32") > 0
    return expected, frames if readable else None


def describe(path: str) -> Iterator[Message]:
    """Finds rate, channels, codec and length of a file.

    The length is what the header states if the structure of the file agrees;
    otherwise the file is decoded to measure it.

    Yields:
      Messages of progress, and last the result: an object with these fields;
      `expected`, the length by the header, or null if it states none; and
      `damage`, what else is wrong with the file, or "".

    Raises:
      OSError, soundfile.SoundFileError, ValueError: It cannot be decoded.
    """
    file = _File(path)
    layout = file.layout
    with file.open() as stream:
        rate, channels = stream.samplerate, stream.channels
        codec = stream.format, stream.subtype
        expected: int | None = stream.frames
        num_samples: int | None = None
        damage = layout.damage if layout else ""
        if file.foreign:
            codec, expected = ("FFMPEG", file.foreign), None
        elif not layout:
            expected, num_samples = _read_length(stream)
            num_samples = None if file.is_longer else num_samples
        elif layout.trusted:
            num_samples = expected
        elif not layout.stated:
            # libsndfile guesses a length.
            expected = layout.counted
            num_samples = layout.counted if layout.whole else None
    if num_samples is None:
        num_samples = 0
        try:
            # Of a block in which the decoder fails, nothing is returned.
            for block in file.decode(MAX_SECS * rate + 1, _SMALL_BLOCK_LEN):
                num_samples += len(block) // (4 * channels)
                if num_samples % _BLOCK_LEN < _SMALL_BLOCK_LEN:
                    yield PROGRESS, b""
        except DECODER_ERRORS as error:
            damage = explain(error)
    if file.num_empty_parts:
        damage = f"{file.num_empty_parts} of its streams hold no samples"
    if file.is_longer:
        damage = f"{file.num_bytes_left()} bytes of it cannot be decoded"
    fields = {
        "num_samples": num_samples,
        "sample_rate": rate,
        "channels": channels,
        "format": codec[0],
        "subtype": codec[1],
        "seeks": bool(_SEEKING_CODECS.match(codec[1])) and not file.is_longer,
        "expected": expected if (expected or 0) < _UNKNOWN else None,
        "damage": damage,
    }
    yield RESULT, json.dumps(fields).encode()


def decode(path: str, start: int, stop: int) -> Iterator[Message]:
    """Decodes a part of a file.

    Args:
      path: Path of the file.
      start: First sample; not 0 only for codecs that seek exactly.
      stop: End of the part, exclusive.

    Yields:
      Messages of samples, fewer than asked for if the file ends before; last an
      empty result.

    Raises:
      OSError, soundfile.SoundFileError, ValueError: It cannot be decoded.
    """
    if start:
        with _Stream(os.fsencode(path)) as stream:
            stream.seek(start)
            for block in stream.blocks_of(stop - start, _BLOCK_LEN):
                yield SAMPLES, bytes(block)
    else:
        for block in _File(path).decode(stop):
            yield SAMPLES, bytes(block)
    yield RESULT, b"{}"


def _answer(request: dict[str, Any]) -> Iterator[Message]:
    """Yields the messages that answer a request."""
    path = request["path"]
    signal.alarm(2 * LIMIT_SECS)
    try:
        if "stop" in request:
            yield from decode(path, request["start"], request["stop"])
        else:
            yield from describe(path)
    except (*DECODER_ERRORS, MemoryError) as error:
        yield ERROR, (explain(error) or type(error).__name__).encode()


def main() -> None:
    """Answers requests until stdin ends."""
    # Nothing but messages may come on the pipe that is stdout.
    answers = os.fdopen(os.dup(1), "wb", _BUFFER_LEN)
    os.dup2(2, 1)
    with contextlib.suppress(OSError, ValueError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    answers.write(MESSAGE.pack(PROGRESS, 0))  # the libraries are loaded
    answers.flush()
    for line in sys.stdin.buffer:
        for kind, content in _answer(json.loads(line)):
            # Ends a decoder that hangs, should the parent be no longer there.
            signal.alarm(0 if kind in ENDS else 2 * LIMIT_SECS)
            answers.write(MESSAGE.pack(kind, len(content)) + content)
            if kind != SAMPLES:
                answers.flush()


if __name__ == "__main__":
    main()
