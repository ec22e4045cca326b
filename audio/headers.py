"""Headers: which audio files there are, and what each says of itself."""

import contextlib
import dataclasses
import os
import pathlib
import re
import stat
import struct
from collections.abc import Callable, Iterable

import soundfile
from absl import logging

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
Path = str | os.PathLike[str]

# WAV codec -> its tag and bits, of those whose headers are simple enough for
# decoders that trust them.
PLAIN_CODECS = {
    "PCM_U8": (1, 8),
    "PCM_16": (1, 16),
    "PCM_24": (1, 24),
    "FLOAT": (3, 32),
}
# What soundfile raises; ValueError where libsndfile's numbers make no sense.
DECODER_ERRORS = OSError, soundfile.SoundFileError, ValueError
_MAX_CHANNELS = 64
_MAX_SECS = 24 * 3600
_HEAD_LEN = 4096
# libsndfile tries a dozen formats more, whose old parsers none of us needs.
_MAGIC = re.compile(
    rb"(RIFF|RIFX|RF64)....WAVE|FORM....AIF[FC]|fLaC|OggS|ID3|\xff[\xe0-\xff]",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True, slots=True)
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

    def is_of(self, status: os.stat_result) -> bool:
        """Tells if a file is still the one that was scanned."""
        now = status.st_size, status.st_mtime_ns
        return (self.num_bytes, self.mtime_ns) == now

    def fits(self, head: bytes) -> bool:
        """Tells if a file with this beginning is an intact WAV file."""
        if self.subtype not in PLAIN_CODECS or len(head) < 36:
            return False
        tag, bits = PLAIN_CODECS[self.subtype]
        tag = 0xFFFE if self.format == "WAVEX" else tag
        align, rate = self.channels * bits // 8, self.sample_rate
        fields = tag, self.channels, rate, rate * align, align, bits
        return (
            struct.unpack("<4sI", head[:8]) == (b"RIFF", self.num_bytes - 8)
            and struct.unpack("<HHIIHH", head[20:36]) == fields
            and _data_len(head[:_HEAD_LEN], self.num_bytes)
            == self.num_samples * align
        )


_known: dict[str, AudioInfo] = {}  # what need not be read again


def find_audio(data_dir: Path) -> list[str]:
    """Finds audio files below a folder, sorted; hidden entries are ignored.

    Whatever is named like audio and is no folder counts, dangling links and
    pipes too: the scan says why it cannot use them. Links to folders, which
    may lead in circles, are not followed.

    Raises:
      FileNotFoundError: The folder does not exist.
      ValueError: It is no folder, or holds no audio.
    """
    root = audio_root(data_dir)
    if not root.is_dir():
        error = ValueError if root.exists() else FileNotFoundError
        raise error(f"no folder {str(root)!r}: give a folder of audio files")
    if root != pathlib.Path(data_dir):
        logging.info("a train folder is there: using %r alone", str(root))
    found, links = [], []
    for folder, subfolders, files in os.walk(root, onerror=_warn_of_folder):
        subfolders[:] = [name for name in subfolders if name[0] != "."]
        paths = (pathlib.Path(folder, name) for name in subfolders)
        links += [str(path) for path in paths if path.is_symlink()]
        found += [
            str(pathlib.Path(folder, name))
            for name in files
            if name[0] != "." and name.lower().endswith(EXTENSIONS)
        ]
    if links:
        text = "%d links to folders are not followed: %s%s"
        some = ", ".join(map(repr, links[:10]))
        logging.warning(text, len(links), some, ", ..." * (len(links) > 10))
    if not found:
        raise ValueError(
            f"no audio in {str(root)!r}: looked for {' '.join(EXTENSIONS)} at "
            "any depth; give a folder that holds such files"
        )
    return sorted(found)


def audio_root(data_dir: Path) -> pathlib.Path:
    """The folder to look for audio in: `train` in a data folder, if there."""
    root = pathlib.Path(data_dir)
    return root / "train" if (root / "train").is_dir() else root


def _warn_of_folder(error: OSError) -> None:
    text = "folder %r cannot be read and is left out: %s"
    logging.warning(text, os.fsdecode(error.filename), error.strerror)


def scan_audio(
    paths: Iterable[Path],
    known: Iterable[AudioInfo] = (),
    progress: Callable[[list[str]], Iterable[str]] | None = None,
) -> tuple[list[AudioInfo], dict[str, str]]:
    """Reads headers, each once as long as its file does not change.

    Args:
      paths: Files.
      known: Of an earlier scan: files of the same size and time of change
          are not opened again.
      progress: Wraps the names while they are gone through, as tqdm does.

    Returns:
      The usable files in the order given, and {path: why it is skipped}.
    """
    _known.update((info.path, info) for info in known)
    names = [os.fsdecode(path) for path in paths]
    scanned = {n: _scan(n) for n in (progress(names) if progress else names)}
    skipped = {n: why for n, why in scanned.items() if isinstance(why, str)}
    return [i for n in names if isinstance(i := scanned[n], AudioInfo)], skipped


def require_info(path: Path) -> AudioInfo:
    """Reads one header.

    Raises:
      FileNotFoundError: There is no such file.
      BadAudioError: It cannot be used.
    """
    pathlib.Path(path).stat()  # raises FileNotFoundError
    info = _scan(os.fsdecode(path))
    if isinstance(info, str):
        raise BadAudioError(os.fsdecode(path), info)
    return info


class BadAudioError(ValueError):
    """A file cannot be decoded."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"cannot decode {path!r}: {reason}; replace or remove it"
        )
        self.path, self.reason = path, reason


def _scan(path: str) -> AudioInfo | str:
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
    file_state = num_bytes, mtime_ns
    try:
        with pathlib.Path(path).open("rb") as file:
            head = file.read(_HEAD_LEN)
        if not _MAGIC.match(head):
            return f"not audio, or not of a kind we read, {num_bytes} bytes"
        info = _parse(path, head, *file_state) or _open(path, *file_state)
    except OSError as error:
        return explain(error)
    except DECODER_ERRORS as error:
        return f"not readable as audio, {num_bytes} bytes: {explain(error)}"
    if info.channels > _MAX_CHANNELS:
        return f"{info.channels} channels, more than {_MAX_CHANNELS}"
    if info.num_samples < 1 or not 1000 <= info.sample_rate <= 768_000:
        return f"{info.num_samples} samples at {info.sample_rate} Hz"
    if info.num_samples > _MAX_SECS * info.sample_rate:
        return f"longer than {_MAX_SECS // 3600} hours"
    return dataclasses.replace(info, intact=info.fits(head))


def _parse(
    path: str, head: bytes, num_bytes: int, mtime_ns: int
) -> AudioInfo | None:
    """Reads the header of a plain WAV file as libsndfile would, but faster."""
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
    with soundfile.SoundFile(os.fsencode(path)) as file:
        said, num_samples = file.frames, _count_samples(file)
        wav = file.samplerate, file.channels, file.format, file.subtype
        # Of data cut short, libsndfile tells in its log alone.
        cut = re.search(
            r"(data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info
        )
    if cut and num_samples:
        said = int(cut[2]) - 8 * (cut[1] == "SSND")  # AIFF has two more fields
        said //= max(1, int(cut[3]) // num_samples)
    if said != num_samples and num_samples:
        text = "%r is cut short: header says %d samples, file has %d"
        logging.warning(text, path, said, num_samples)
    return AudioInfo(path, num_samples, *wav, num_bytes, mtime_ns, intact=False)


def explain(error: Exception) -> str:
    """Returns what an error of the system or of libsndfile says, in a line."""
    for name in ("strerror", "error_string"):
        if words := getattr(error, name, None):
            return " ".join(words.split())
    return " ".join(str(error).split())


def _count_samples(file: soundfile.SoundFile) -> int:
    """Trusts the header where the last sample can be read, else counts."""
    with contextlib.suppress(*DECODER_ERRORS):
        if not file.seekable():
            return file.frames
        file.seek(file.frames - 1)
        if len(file.read(1)):
            return file.frames
    count, longest = 0, _MAX_SECS * file.samplerate
    with (
        contextlib.suppress(*DECODER_ERRORS),
        soundfile.SoundFile(file.name) as file,
    ):
        while count <= longest and (block := len(file.read(4096))):
            count += block
    return count


def _data_len(head: bytes, num_bytes: int) -> int:
    """Returns the length of a WAV file's data, or -1.

    Its chunks must end with the data, and all with it: the graph's decoders
    stumble over padded odd chunks and junk at the end.
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
    if channels != 1 and info.channels not in (1, channels):
        raise ValueError(
            f"{info.path!r} has {info.channels} channels, not 1 or {channels}: "
            f"ask for 1 or {info.channels}, or convert the file"
        )
