"""The only reader of audio files: files -> [batch, slice_len, channels].

Index first, then random access: headers tell where every slice of every file
lies, so the order is a function of (seed, position), needs no shuffle buffer
and resumes anywhere. Plain WAV files are decoded in the TensorFlow graph,
everything else by soundfile, to the same samples.
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
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import soundfile
import soxr
import tensorflow as tf
from absl import logging

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
CACHES = ("none", "memory", "disk", "auto")
Path = str | os.PathLike[str]

_FULL_SCALE = 32768  # of 16-bit audio
_MARGIN = 256  # soxr HQ hears this far, in samples of the slower rate
_BLOCK_LEN = 1 << 20  # how much of a long file is in memory at once
_GRAPH_SLICES = 4  # the graph decodes whole files, of up to so many slices
# WAV codec -> format tag, bits, tensorflow-io's type, its zero and full scale
_CODECS = {
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
    scaled = np.rint(np.asarray(audio) * np.float32(_FULL_SCALE))
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Turns 16-bit samples to float32 audio in [-1, 1): divided by 32768."""
    return np.asarray(samples).astype(np.float32) / np.float32(_FULL_SCALE)


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
    tag, bits, *_ = _CODECS.get(codec, (0, 0))
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
    _check_target(info, rate, channels)
    audio = _read(info, 0, info.num_samples_at(rate), rate, channels)
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
        _check_target(info, sample_rate, 1)
        end = min(slice_len, info.num_samples_at(sample_rate))
        clip[:end] = _read(info, 0, end, sample_rate, 1)[:, 0]
    return clips


def _check_target(info: AudioInfo, rate: int, channels: int) -> None:
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


def _read(
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
def _peak(info: AudioInfo, rate: int, channels: int) -> float:
    """Returns the peak of a whole file, taken block by block."""
    end, peak = info.num_samples_at(rate), 0.0
    for start in range(0, end, _BLOCK_LEN):
        stop = min(start + _BLOCK_LEN, end)
        block = _read(info, start, stop, rate, channels)
        peak = max(peak, float(np.abs(block).max()))
    return peak


# From here on: slices and their stream.


@dataclasses.dataclass(frozen=True)
class SliceIndex:
    """Every slice of a set of files: four arrays, one entry per slice.

    `file`: its place in `infos`; `offset`: where it starts; `slack`: how far
    it may move forward; `span`: the real samples it needs, its slack included
    (all in samples at `sample_rate`).
    """

    infos: Sequence[AudioInfo]
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
    infos: Sequence[AudioInfo],
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
        infos: Usable files, from `scan_audio`.
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
        _check_target(info, sample_rate, channels)
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
    return SliceIndex(
        infos, slice_len, sample_rate, channels, file, offset, slack, span
    )


@functools.cache
def _tensorflow_io() -> Any:
    """Returns tensorflow-io's audio module, None where it does not work."""
    try:
        audio = importlib.import_module("tensorflow_io").audio
        wav = io.BytesIO()
        soundfile.write(wav, np.zeros(2, np.int16), 8000, format="WAV")
        audio.decode_wav(wav.getvalue(), dtype=tf.int16)  # loads compiled code
    except Exception:  # however it fails, soundfile reads the same files
        return None
    return audio


def _route(info: AudioInfo, index: SliceIndex) -> int:
    """Chooses a decoder: 0 soundfile, 1 TensorFlow, from 2 tensorflow-io.

    FLAC is not for tensorflow-io: from a damaged file it makes wrong samples.
    """
    too_long = info.num_samples > _GRAPH_SLICES * index.slice_len
    other_mean = index.channels == 1 and info.channels > 2  # sum in other order
    resampled = info.sample_rate != index.sample_rate
    if not info.intact or too_long or other_mean or resampled:
        return 0
    if (info.format, info.subtype) == ("WAV", "PCM_16"):
        return 1
    return 2 + list(_CODECS).index(info.subtype) if _tensorflow_io() else 0


def _graph_decoders(with_io: bool) -> list[Callable[[tf.Tensor], tf.Tensor]]:
    """Returns what `_route` numbers: contents -> `[num_samples, channels]`."""

    def decode_wav(
        dtype: tf.DType, zero: float, scale: float, contents: tf.Tensor
    ) -> tf.Tensor:
        samples = _tensorflow_io().decode_wav(contents, dtype=dtype)
        return (tf.cast(samples, tf.float32) - zero) / scale

    codecs = _CODECS.values() if with_io else ()
    return [
        lambda contents: tf.zeros([0, 1]),  # nothing: soundfile's turn
        lambda contents: tf.audio.decode_wav(contents).audio,
        *(functools.partial(decode_wav, *codec[2:]) for codec in codecs),
    ]


class _SliceReader:
    """Gives the slices of an index: from the store, the graph or soundfile.

    Slices are 16-bit samples and a level to divide them by: 32768, or their
    file's peak where that is to become 1. Level 0: there are no samples.
    """

    def __init__(
        self, index: SliceIndex, normalize: bool, store: np.ndarray | None
    ) -> None:
        self._index, self._normalize, self._store = index, normalize, store
        self._starts = np.cumsum(index.span) - index.span
        self._levels = np.zeros(index.num_slices, np.float32)  # of the stored
        routes = [_route(info, index) for info in index.infos]
        self._in_graph = np.array(routes)[index.file] > 0
        self._len = int(index.span.max(initial=0, where=self._in_graph))
        places = np.stack([index.file, index.offset, index.span], axis=1)
        self._places = tf.constant(places, tf.int64)
        self._paths = tf.constant([os.fsencode(i.path) for i in index.infos])
        sizes = [(i.num_bytes, i.num_samples) for i in index.infos]
        self._sizes = tf.constant(sizes, tf.int64)
        self._routes = tf.constant(routes)
        self._decoders = _graph_decoders(max(routes) > 1)

    def read(
        self, keys: tf.Tensor, moves: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads a batch of slices, each moved forward.

        Returns:
            Samples, int16, `[batch, slice_len, channels]`; levels, `[batch]`.
        """
        todo = tf.numpy_function(self._choose, [keys], tf.int64)
        todo = tf.ensure_shape(todo, [None])
        span = tf.TensorSpec([self._len, self._index.channels], tf.int16)
        outputs = span, tf.TensorSpec([], tf.float32)
        spans, levels = tf.map_fn(
            self._decode_in_graph, todo, fn_output_signature=outputs
        )
        arrays = [keys, moves, todo, spans, levels]
        return tf.numpy_function(self._fetch, arrays, [tf.int16, tf.float32])

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
        audio = _read(info, start, start + int(index.span[key]), *target)
        peak = _peak(info, *target) if self._normalize else 1.0
        level = max(1.0, np.rint(min(peak, 1.0) * _FULL_SCALE))
        return to_int16(audio / np.float32(max(peak, 1.0))), level

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
    cache: str, index: SliceIndex, cache_dir: Path | None
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
    paths: Sequence[Path],
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
    cache_dir: Path | None = None,
) -> tf.data.Dataset:
    """Makes the stream of training batches, a function of (seed, position).

    Args:
        paths: Audio files; unusable ones are skipped with one warning.
        slice_len: Samples in a slice; for this and the next six see
            `index_slices`.
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
            does not fit. (While iterating, tf.errors.InvalidArgumentError
            names a file that cannot be decoded.)

    Source: the authors' loader.py, decode_extract_and_batch.
    """
    infos, skipped = scan_audio(paths)
    some = "; ".join(f"{p!r}: {why}" for p, why in list(skipped.items())[:5])
    if skipped:
        logging.warning(
            "skipped %d of %d files: %s", len(skipped), len(paths), some
        )
    if not infos:
        raise ValueError(
            f"none of {len(paths)} files is usable audio: {some or 'give some'}"
        )
    index = index_slices(
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
    batches = firsts.map(
        load_batch, num_parallel_calls=calls, deterministic=True
    )
    return batches.prefetch(2)
