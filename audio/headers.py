"""Finds audio files, reads their headers and checks them."""

import collections
import dataclasses
import os
import pathlib
import re
import shutil
import stat
import struct
from collections.abc import Callable, Iterable

from absl import logging

from audio import containers, decoders, outputs, worker

EXTENSIONS = (
    *(".wav", ".wave", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".mp2", ".aif", ".aiff", ".aifc", ".au", ".caf"),
)
# Endings of files that are read where ffmpeg is installed, and counted if not.
FFMPEG_EXTENSIONS = (
    *(".m4a", ".m4b", ".aac", ".wma", ".webm", ".mka", ".ac3", ".amr"),
    *(".ape", ".mpc", ".spx", ".tta", ".wv"),
)
Path = str | os.PathLike[str]

# WAV codec -> its format tag and bits per sample, for codecs with headers so
# simple that decoders without checks can be trusted with them.
PLAIN_CODECS = {
    "PCM_U8": (1, 8),
    "PCM_16": (1, 16),
    "PCM_24": (1, 24),
    "FLOAT": (3, 32),
}
_MAX_CHANNELS = 64
HEAD_LEN = 4096
# First bytes of the formats that are read. libsndfile would try a dozen more,
# whose old parsers are a risk without a use.
_MAGIC = re.compile(
    rb"(RIFF|RIFX|RF64)....WAVE|riff\x2e\x91\xcf\x11|FORM....AIF[FC]|fLaC|OggS|"
    rb"ID3|\xff[\xe0-\xff]|caff|\.snd|dns\.",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True, slots=True)
class AudioInfo:
    """The header of an audio file, corrected by the file's contents.

    Attributes:
      path: Path of the file.
      num_samples: Number of samples for each channel.
      sample_rate: Sampling rate in Hz.
      channels: Number of channels.
      format: Format in libsndfile's terms, such as "WAV"; "FFMPEG" if ffmpeg
        decodes the file.
      subtype: Codec in libsndfile's terms, such as "PCM_16".
      num_bytes: Size of the file in bytes.
      mtime_ns: Time of the last modification in nanoseconds.
      intact: Whether this is a WAV file whose header is consistent in every
        field. Only such files are given to decoders that trust headers blindly
        (and can crash on broken ones).
      seeks: Whether a part that is read by seeking equals that of the whole.
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
    seeks: bool = True

    def num_samples_at(self, sample_rate: int) -> int:
        """Returns the length in samples after resampling."""
        return -(-self.num_samples * sample_rate // self.sample_rate)

    def converts_to(self, channels: int) -> bool:
        """Returns whether the file converts to this number of channels."""
        return channels == 1 or self.channels in (1, channels)

    def is_standard_wav(self, sample_rate: int) -> bool:
        """Returns whether the file is a WAV file as `--data_fast_wav` wants."""
        wav = (
            self.format in ("WAV", "WAVEX") and self.sample_rate == sample_rate
        )
        return wav and self.subtype in ("PCM_16", "FLOAT")

    def is_of(self, status: os.stat_result) -> bool:
        """Returns whether size and modification time are those of the scan."""
        now = status.st_size, status.st_mtime_ns
        return (self.num_bytes, self.mtime_ns) == now

    def fits(self, head: bytes) -> bool:
        """Returns whether a file that begins with `head` is an intact WAV."""
        if self.subtype not in PLAIN_CODECS or len(head) < 36:
            return False
        tag, bits = PLAIN_CODECS[self.subtype]
        tag = 0xFFFE if self.format == "WAVEX" else tag
        align, rate = self.channels * bits // 8, self.sample_rate
        fields = tag, self.channels, rate, rate * align, align, bits
        return (
            struct.unpack("<4sI", head[:8]) == (b"RIFF", self.num_bytes - 8)
            and struct.unpack("<HHIIHH", head[20:36]) == fields
            and _data_len(head[:HEAD_LEN], self.num_bytes)
            == self.num_samples * align
        )


explain = worker.explain
_known: dict[str, AudioInfo] = {}  # headers that were read before, by path


def find_audio(data_dir: Path, generated: bool = False) -> list[str]:
    """Finds the audio files below a folder by their names.

    Hidden files and folders are ignored. Everything else that is named like
    audio and is not a folder is returned, also dangling links and pipes:
    `scan_audio` reports why it cannot use them. Links to folders are not
    followed, because they can form cycles. Outputs of the programs in the
    folder are left out; see `outputs`.

    Args:
      data_dir: Folder; if it has a folder train/ of data, only that one is
        searched.
      generated: Whether the folder itself may be one of generated clips.

    Returns:
      Sorted paths.

    Raises:
      FileNotFoundError: The folder does not exist.
      ValueError: The path is not a folder, holds no audio, or is an output.
    """
    root = audio_root(data_dir)
    if not root.is_dir():
        error = ValueError if root.exists() else FileNotFoundError
        raise error(f"no folder {str(root)!r}: give a folder of audio files")
    kind = outputs.kind_of(root)
    if kind and not (generated and kind == outputs.GENERATED):
        raise ValueError(f"{root} is {kind}: give a folder of recordings")
    if root != pathlib.Path(data_dir):
        logging.info("a train folder is there: using %r alone", str(root))
    found, links = [], []
    by_ffmpeg: collections.Counter[str] = collections.Counter()
    endings: tuple[str, ...] = EXTENSIONS
    if shutil.which("ffmpeg"):
        endings += FFMPEG_EXTENSIONS
    for folder, subfolders, files in os.walk(root, onerror=_warn_of_folder):
        subfolders[:] = [name for name in subfolders if name[0] != "."]
        for name in [*subfolders]:
            if kind := outputs.kind_of(pathlib.Path(folder, name)):
                subfolders.remove(name)
                text = "left out: %r is %s"
                logging.info(text, str(pathlib.Path(folder, name)), kind)
        paths = (pathlib.Path(folder, name) for name in subfolders)
        links += [str(path) for path in paths if path.is_symlink()]
        for name in files:
            ending = pathlib.Path(name).suffix.lower()
            if name[0] != "." and ending in endings:
                found.append(str(pathlib.Path(folder, name)))
            elif name[0] != "." and ending in FFMPEG_EXTENSIONS:
                by_ffmpeg[ending] += 1
    if links:
        text = "%d links to folders are not followed: %s%s"
        some = ", ".join(map(repr, links[:10]))
        logging.warning(text, len(links), some, ", ..." * (len(links) > 10))
    unread = ", ".join(f"{n} {ending}" for ending, n in by_ffmpeg.most_common())
    if unread:
        unread = f"files that only ffmpeg decodes are left out: {unread}"
        unread += "; install ffmpeg, or convert them"
    if unread and found:
        logging.warning("%s", unread)
    if not found:
        raise ValueError(
            f"no audio in {str(root)!r}: looked for {' '.join(endings)} at "
            "any depth; " + (unread or "give a folder that holds such files")
        )
    return sorted(found)


def audio_root(data_dir: Path) -> pathlib.Path:
    """Returns the folder to search for audio: its train/ if that is data."""
    root = pathlib.Path(data_dir)
    return root / "train" if is_split(root / "train") else root


def is_split(folder: pathlib.Path) -> bool:
    """Returns whether a folder exists and is no output of the programs."""
    return folder.is_dir() and not outputs.kind_of(folder)


def _warn_of_folder(error: OSError) -> None:
    """Logs a warning about a folder that cannot be read."""
    text = "folder %r cannot be read and is left out: %s"
    logging.warning(text, os.fsdecode(error.filename), error.strerror)


def scan_audio(
    paths: Iterable[Path],
    known: Iterable[AudioInfo] = (),
    progress: Callable[[list[str]], Iterable[str]] | None = None,
    channels: int = 1,
) -> tuple[list[AudioInfo], dict[str, str]]:
    """Reads the headers of files; unchanged files are not read again.

    Args:
      paths: Audio files.
      known: Headers from an earlier scan: files of the same size and
        modification time are not opened again.
      progress: Function that wraps the list of names while they are read, to
        show progress as tqdm does.
      channels: Target number of channels, as in `index_slices`.

    Returns:
      Headers of the usable files in the order given, and the reason why each
      other file is skipped, by path.
    """
    _known.update((info.path, info) for info in known)
    names = [os.fsdecode(path) for path in paths]
    infos, skipped = [], {}
    for name in progress(names) if progress else names:
        info = _scan(name)
        if isinstance(info, str):
            skipped[name] = info
        elif not info.converts_to(channels):
            skipped[name] = f"{info.channels} channels, not 1 or {channels}"
        else:
            infos.append(info)
    return infos, skipped


def require_info(path: Path) -> AudioInfo:
    """Reads the header of one file.

    Raises:
      FileNotFoundError: The file does not exist.
      BadAudioError: The file cannot be used.
    """
    pathlib.Path(path).stat()  # raises FileNotFoundError
    info = _scan(os.fsdecode(path))
    if isinstance(info, str):
        raise BadAudioError(os.fsdecode(path), info)
    return info


class BadAudioError(ValueError):
    """Error of a file that cannot be decoded.

    Args:
      path: Path of the file.
      reason: Reason why it cannot be decoded.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"cannot decode {path!r}: {reason}; replace or remove it"
        )
        self.path, self.reason = path, reason


def _scan(path: str) -> AudioInfo | str:
    """Returns a file's header, or the reason why it cannot be used."""
    try:
        status = pathlib.Path(path).stat()
    except OSError as error:
        return explain(error)
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO would hang
        return "not a regular file"
    info = _known.get(path)
    if info and info.is_of(status):
        return info
    scanned = _scan_file(path, status.st_size, status.st_mtime_ns)
    if isinstance(scanned, AudioInfo):
        _known[path] = scanned
    return scanned


def _scan_file(path: str, num_bytes: int, mtime_ns: int) -> AudioInfo | str:
    """Opens a file and returns its header, or why it cannot be used."""
    file_state = num_bytes, mtime_ns
    try:
        with pathlib.Path(path).open("rb") as file:
            head = file.read(HEAD_LEN)
        if not (_MAGIC.match(head) or containers.foreign_name(head)):
            return f"not audio, or not of a kind we read, {num_bytes} bytes"
        info = _parse(path, head, *file_state) or _open(path, *file_state)
    except decoders.DecoderError as error:
        return f"not readable as audio, {num_bytes} bytes: {error}"
    except OSError as error:
        return explain(error)
    if info.channels > _MAX_CHANNELS:
        return f"{info.channels} channels, more than {_MAX_CHANNELS}"
    if info.num_samples < 1 or not 1000 <= info.sample_rate <= 768_000:
        return f"{info.num_samples} samples at {info.sample_rate} Hz"
    if info.num_samples > worker.MAX_SECS * info.sample_rate:
        return f"longer than {worker.MAX_SECS // 3600} hours"
    return dataclasses.replace(info, intact=info.fits(head))


def _parse(
    path: str, head: bytes, num_bytes: int, mtime_ns: int
) -> AudioInfo | None:
    """Parses the header of a plain WAV file, faster than libsndfile.

    Returns:
      The header; None if the file is not a plain WAV file.
    """
    if len(head) < 44 or head[12:20] != b"fmt \x10\0\0\0":
        return None
    tag, channels, rate, _, align, bits = struct.unpack("<HHIIHH", head[20:36])
    for codec, kind in PLAIN_CODECS.items():
        if kind == (tag, bits) and align:
            num_samples = _data_len(head, num_bytes) // align
            wav = rate, channels, "WAV", codec, num_bytes, mtime_ns
            info = AudioInfo(path, num_samples, *wav, intact=True)
            return info if num_samples > 0 and info.fits(head) else None
    return None


def _open(path: str, num_bytes: int, mtime_ns: int) -> AudioInfo:
    """Reads a header by libsndfile; warns if the file has another length."""
    header = decoders.POOL.describe(path)
    expected, damage = header.pop("expected"), header.pop("damage")
    num_samples = header["num_samples"]
    if expected and not num_samples:
        text = f"none of {expected} samples can be decoded"
        raise decoders.DecoderError(text)
    if expected is not None and expected != num_samples and num_samples:
        cut = "cut short" if num_samples < expected else "longer than it says"
        text = "%r is %s: header says %d samples, file has %d"
        logging.warning(text, path, cut, expected, num_samples)
    elif damage and num_samples:
        text = "%r is damaged, %d samples of it are used: %s"
        logging.warning(text, path, num_samples, damage)
    return AudioInfo(
        path=path,
        num_bytes=num_bytes,
        mtime_ns=mtime_ns,
        intact=False,
        **header,
    )


def _data_len(head: bytes, num_bytes: int) -> int:
    """Returns the length of a WAV file's data in bytes, or -1.

    The data must be the last chunk and reach to the end of the file, because
    the graph's decoders fail on padded odd chunks and on junk at the end.
    """
    position, name, length = 12, b"", 0
    while position <= len(head) - 8 and length % 2 == 0:
        name, length = struct.unpack_from("<4sI", head, position)
        position += 8 + length
    whole = (name, length % 2, position) == (b"data", 0, num_bytes)
    return length if whole else -1


def check_target(info: AudioInfo, rate: int, channels: int) -> None:
    """Raises a ValueError unless a file converts to this rate and channels."""
    if rate < 1 or channels < 1:
        raise ValueError(f"{rate} Hz, {channels} channels: choose 1 or more")
    if not info.converts_to(channels):
        raise ValueError(
            f"{info.path!r} has {info.channels} channels, not 1 or {channels}: "
            f"ask for 1 or {info.channels}, or convert the file"
        )
