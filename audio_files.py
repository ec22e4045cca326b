"""Audio files: headers, samples, and the decoders of the graph.

Plain WAV files are decoded in the TensorFlow graph, everything else by
soundfile, to the same samples.
"""

import contextlib
import dataclasses
import functools
import importlib
import io
import math
import os
import pathlib
import re
import stat
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import soundfile
import soxr
import tensorflow as tf
from absl import logging

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
Path = str | os.PathLike[str]

FULL_SCALE = 32768  # of 16-bit audio
_MARGIN = 256  # soxr HQ hears this far, in samples of the slower rate
_BLOCK_LEN = 1 << 20  # how much of a long file is in memory at once
# WAV codec -> format tag, bits, tensorflow-io's type, its zero and full scale
CODECS = {
    "PCM_U8": (1, 8, tf.uint8, 128.0, 128.0),
    "PCM_16": (1, 16, tf.int16, 0.0, 32768.0),
    "PCM_24": (1, 24, tf.int32, 0.0, 2.0**31),
    "FLOAT": (3, 32, tf.float32, 0.0, 1.0),
}


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, corrected by what the file holds.

    `intact`: a WAV file consistent in every field, so that decoders that
    trust headers blindly (and can crash on broken ones) may see it.
    """

    path: str
    num_samples: int
    sample_rate: int
    channels: int
    format: str
    subtype: str
    num_bytes: int
    mtime_ns: int
    intact: bool

    def num_samples_at(self, sample_rate: int) -> int:
        """Returns the length in samples after resampling."""
        return -(-self.num_samples * sample_rate // self.sample_rate)

    def is_standard_wav(self, sample_rate: int) -> bool:
        """Tells if the file is what `--data_fast_wav` promises."""
        wav = (
            self.format in ("WAV", "WAVEX") and self.sample_rate == sample_rate
        )
        return wav and self.subtype in ("PCM_16", "FLOAT")


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Turns audio in [-1, 1] to 16-bit samples: times 32768, rounded, clipped.

    Differs from the original: it multiplies by 32767 and truncates.
    """
    scaled = np.rint(np.asarray(audio) * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Turns 16-bit samples to float32 audio in [-1, 1): divided by 32768."""
    return np.asarray(samples).astype(np.float32) / np.float32(FULL_SCALE)


def find_audio(data_dir: Path) -> list[str]:
    """Finds audio files below a folder, sorted; hidden entries are ignored.

    Raises:
      FileNotFoundError: The folder does not exist.
      ValueError: It is no folder, or holds no audio.
    """
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        error = ValueError if root.exists() else FileNotFoundError
        raise error(f"no folder {str(root)!r}: give a folder of audio files")
    if (root / "train").is_dir():
        root /= "train"
        logging.info("a train folder is there: using %r alone", str(root))
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name[0] != "."]
        paths = (pathlib.Path(folder, name) for name in files if name[0] != ".")
        found += [
            str(path)
            for path in paths
            if path.suffix.lower() in EXTENSIONS and path.is_file()
        ]
    if not found:
        raise ValueError(
            f"no audio in {str(root)!r}: looked for {' '.join(EXTENSIONS)} at "
            "any depth; give a folder that holds such files"
        )
    return sorted(found)


def scan_audio(paths: Iterable[Path]) -> tuple[list[AudioInfo], dict[str, str]]:
    """Reads headers, each once as long as its file does not change.

    Returns:
      The usable files in the order given, and {path: why it is skipped}.
    """
    names = [os.fsdecode(path) for path in paths]
    scanned = {name: _scan(name) for name in names}
    skipped = {n: why for n, why in scanned.items() if isinstance(why, str)}
    return [i for n in names if isinstance(i := scanned[n], AudioInfo)], skipped


def _scan(path: str) -> AudioInfo | str:
    try:
        status = pathlib.Path(path).stat()
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO would hang
        return "not a regular file"
    return _scan_file(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _scan_file(path: str, num_bytes: int, mtime_ns: int) -> AudioInfo | str:
    try:
        with pathlib.Path(path).open("rb") as start:
            head = start.read(4096)
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate, channels, said = file.samplerate, file.channels, file.frames
            form, codec = file.format, file.subtype
            # Of data cut short, libsndfile tells in its log alone.
            cut = re.search(
                r"(data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info
            )
            num_samples = _count_samples(file)
    except OSError as error:
        return _reason(error)
    except soundfile.SoundFileError as error:
        return f"not readable as audio, {num_bytes} bytes: {_reason(error)}"
    if num_samples < 1 or not 1000 <= rate <= 768_000:
        return f"{num_samples} samples at {rate} Hz"
    if cut:
        said = int(cut[2]) - 8 * (cut[1] == "SSND")  # AIFF has two more fields
        said //= max(1, int(cut[3]) // num_samples)
    if said != num_samples:
        text = "%r is cut short: header says %d samples, file has %d"
        logging.warning(text, path, said, num_samples)
    tag, bits, *_ = CODECS.get(codec, (0, 0))
    tag, align = 0xFFFE if form == "WAVEX" else tag, channels * bits // 8
    fields = tag, channels, rate, rate * align, align, bits
    intact = (
        head[:4] == b"RIFF"
        and head[20:36] == struct.pack("<HHIIHH", *fields)
        and _ends_in_data(head, num_bytes, num_samples * align)
    )
    known = path, num_samples, rate, channels, form, codec
    return AudioInfo(*known, num_bytes, mtime_ns, intact)


def _reason(error: Exception) -> str:
    return " ".join((getattr(error, "error_string", "") or str(error)).split())


def _count_samples(file: soundfile.SoundFile) -> int:
    """Trusts the header where the last sample can be read, else counts."""
    with contextlib.suppress(soundfile.SoundFileError):
        if not file.seekable():
            return file.frames
        file.seek(file.frames - 1)
        if len(file.read(1)):
            return file.frames
    count = 0
    with (
        contextlib.suppress(soundfile.SoundFileError),
        soundfile.SoundFile(file.name) as file,
    ):
        while block := len(file.read(4096)):
            count += block
    return count


def _ends_in_data(head: bytes, num_bytes: int, data_len: int) -> bool:
    """Tells if the chunks of a WAV file end with its data, and all with it.

    The graph's decoders stumble over padded odd chunks and junk at the end.
    """
    position, name, length = 12, b"", 0
    while position <= len(head) - 8 and length % 2 == 0:
        name, length = struct.unpack_from("<4sI", head, position)
        position += 8 + length
    even = length % 2 == 0
    return even and (name, length, position) == (b"data", data_len, num_bytes)


def decode_audio(
    path: Path,
    sample_rate: int | None = None,
    channels: int = 1,
    normalize: bool = False,
) -> np.ndarray:
    """Decodes a whole file.

    Args:
      path: Audio file.
      sample_rate: Target rate, Hz; None: the file's own.
      channels: Target channels, as in `index_slices`.
      normalize: Divide by the peak of the result; silence stays silence.

    Returns:
      Audio, float32 in [-1, 1] (float files may exceed it),
      `[num_samples, channels]`.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: It cannot be decoded, or not to so many channels.

    Source: the authors' loader.py, decode_audio.
    """
    info = _require_info(path)
    rate = sample_rate or info.sample_rate
    check_target(info, rate, channels)
    audio = read(info, 0, info.num_samples_at(rate), rate, channels)
    # Differs from the original: it always normalises, whatever its flag says.
    peak = np.abs(audio).max() if normalize else 0.0
    return audio / peak if peak > 0 else audio


def load_clips(
    paths: Sequence[Path], slice_len: int, sample_rate: int
) -> np.ndarray:
    """Decodes the first slice of every file, for evaluation.

    Returns:
      Mono audio, float32 in [-1, 1], padded with zeros, one row a path,
      `[num_files, slice_len]`.

    Raises:
      FileNotFoundError: A file does not exist.
      ValueError: A file cannot be decoded.
    """
    clips = np.zeros([len(paths), slice_len], np.float32)
    for clip, path in zip(clips, paths, strict=True):
        info = _require_info(path)
        check_target(info, sample_rate, 1)
        end = min(slice_len, info.num_samples_at(sample_rate))
        clip[:end] = read(info, 0, end, sample_rate, 1)[:, 0]
    return clips


def check_target(info: AudioInfo, rate: int, channels: int) -> None:
    """Raises a ValueError unless a file converts to this rate and channels."""
    if rate < 1 or channels < 1:
        raise ValueError(f"{rate} Hz, {channels} channels: choose 1 or more")
    if channels != 1 and info.channels not in (1, channels):
        raise ValueError(
            f"{info.path!r} has {info.channels} channels, not 1 or {channels}: "
            f"ask for 1 or {info.channels}, or convert the file"
        )


def _require_info(path: Path) -> AudioInfo:
    pathlib.Path(path).stat()  # raises FileNotFoundError
    info = _scan(os.fsdecode(path))
    if isinstance(info, str):
        raise _bad_file(os.fsdecode(path), info)
    return info


def _bad_file(path: str, reason: str) -> ValueError:
    return ValueError(f"cannot decode {path!r}: {reason}; replace or remove it")


def _mix(audio: np.ndarray, info: AudioInfo, channels: int) -> np.ndarray:
    if not np.isfinite(audio).all():
        raise _bad_file(info.path, "it has NaN or infinite samples")
    if channels == 1:
        audio = audio.mean(axis=1, keepdims=True)
    return np.broadcast_to(audio, [len(audio), channels])


def read(
    info: AudioInfo, start: int, stop: int, rate: int, channels: int
) -> np.ndarray:
    """Reads samples [start, stop) at the target rate, and little else."""
    common = math.gcd(rate, info.sample_rate)
    up, down = rate // common, info.sample_rate // common
    base, low, high = start, start, stop
    if up != down:
        margin = math.ceil(_MARGIN * max(1, up / down))
        # From a multiple of its period on, the resampler is in the same phase
        # as from the start of the file.
        base = max(0, start - margin) // up * up
        low = base // up * down
        high = min(info.num_samples, (stop + margin) * down // up + 1)
    try:
        with soundfile.SoundFile(os.fsencode(info.path)) as file:
            at = file.seek(low) if low and file.seekable() else 0
            audio = file.read(high - at, "float32", always_2d=True)[low - at :]
        if len(audio) < high - low:
            raise OSError("shorter than when its header was read")
    except (OSError, soundfile.SoundFileError) as error:
        raise _bad_file(info.path, _reason(error)) from error
    audio = _mix(audio, info, channels)
    if up != down:
        # Differs from the original: it resamples by librosa's older methods.
        audio = soxr.resample(audio, info.sample_rate, rate, "HQ")
    audio = audio[start - base : stop - base]
    return np.pad(audio, [[0, stop - start - len(audio)], [0, 0]])


@functools.cache
def measure_peak(info: AudioInfo, rate: int, channels: int) -> float:
    """Returns the peak of a whole file, taken block by block."""
    end, peak = info.num_samples_at(rate), 0.0
    for start in range(0, end, _BLOCK_LEN):
        stop = min(start + _BLOCK_LEN, end)
        block = read(info, start, stop, rate, channels)
        peak = max(peak, float(np.abs(block).max()))
    return peak


@functools.cache
def tensorflow_io() -> Any:
    """Returns tensorflow-io's audio module, None where it does not work."""
    try:
        audio = importlib.import_module("tensorflow_io").audio
        wav = io.BytesIO()
        soundfile.write(wav, np.zeros(2, np.int16), 8000, format="WAV")
        audio.decode_wav(wav.getvalue(), dtype=tf.int16)  # loads compiled code
    except Exception:  # however it fails, soundfile reads the same files
        return None
    return audio


def route(info: AudioInfo, rate: int, channels: int, longest: int) -> int:
    """Chooses a file's decoder: 0 soundfile, else one of `graph_decoders`.

    FLAC is not for tensorflow-io: from a damaged file it makes wrong samples.
    """
    too_long, resampled = info.num_samples > longest, info.sample_rate != rate
    other_mean = channels == 1 and info.channels > 2  # sums in another order
    if not info.intact or too_long or other_mean or resampled:
        return 0
    if (info.format, info.subtype) == ("WAV", "PCM_16"):
        return 1
    return 2 + list(CODECS).index(info.subtype) if tensorflow_io() else 0


def graph_decoders(with_io: bool) -> list[Callable[[tf.Tensor], tf.Tensor]]:
    """Returns what `route` numbers: contents -> `[num_samples, channels]`."""

    def decode_wav(
        dtype: tf.DType, zero: float, scale: float, contents: tf.Tensor
    ) -> tf.Tensor:
        samples = tensorflow_io().decode_wav(contents, dtype=dtype)
        return (tf.cast(samples, tf.float32) - zero) / scale

    codecs = CODECS.values() if with_io else ()
    return [
        lambda contents: tf.zeros([0, 1]),  # nothing: soundfile's turn
        lambda contents: tf.audio.decode_wav(contents).audio,
        *(functools.partial(decode_wav, *codec[2:]) for codec in codecs),
    ]
