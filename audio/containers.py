"""Measures MP3 and Ogg files by their frames and pages, without decoding them.

Decoders believe what headers say of a file's length, and read one stream where
a file holds several. The walks here find out where that is wrong.
"""

import dataclasses
import mmap
import re
import struct
from collections.abc import Iterator

# Bitrates in kbit/s by (MPEG version 1 or 2, layer), for indices 1 to 14.
_BITRATES = {
    (1, 1): range(32, 449, 32),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = 44100, 48000, 32000
_TRAILING_TAGS = b"TAG", b"APETAGEX", b"LYRICSBEGIN"
# A length field of an MP3 file may or may not count tags and the first frame.
_TOLERANCE = 4096
_MIN_PAGES = 5  # an Ogg stream with fewer pages is decoded to be measured


@dataclasses.dataclass(frozen=True)
class Frame:
    """The header of an MPEG audio frame.

    Attributes:
      size: Length in bytes.
      num_samples: Length in samples.
      kind: Version, layer, sampling rate and whether it is mono; the same in
        all frames of a file.
      side_len: Number of bytes between the header and the main data.
    """

    size: int
    num_samples: int
    kind: tuple[int, int, int, bool]
    side_len: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a file consists of.

    Attributes:
      parts: Offset and end in bytes of each stream of the file, to be decoded
        one after the other.
      trusted: Whether the length in the header agrees with the structure.
      stated: Whether the header states a length.
      counted: Length in samples of all frames; None if only a decoder can count
        them.
      whole: Whether there is nothing but frames or pages.
      damage: What is wrong with the pages, or "".
    """

    parts: tuple[tuple[int, int], ...]
    trusted: bool
    stated: bool = True
    counted: int | None = None
    whole: bool = True
    damage: str = ""


def parse_frame(data: mmap.mmap | bytes, at: int) -> Frame | None:
    """Parses the header of an MPEG audio frame, or returns None."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version_bits, layer_bits = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version_bits == 1 or not layer_bits or rate_index == 3:
        return None
    if not 0 < bitrate_index < 15:
        return None
    version, layer = 1 if version_bits == 3 else 2, 4 - layer_bits
    bitrate = 1000 * _BITRATES[version, layer][bitrate_index - 1]
    rate = _RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version_bits]
    padding, mono = head[2] >> 1 & 1, head[3] >> 6 == 3
    num_samples = 384 if layer == 1 else 1152
    if (version, layer) == (2, 3):
        num_samples = 576
    slot = 4 if layer == 1 else 1
    size = (num_samples // 8 // slot * bitrate // rate + padding) * slot
    side_len = (32, 17, 9)[version - 1 + mono]
    return Frame(size, num_samples, (version_bits, layer, rate, mono), side_len)


def skip_id3(data: mmap.mmap | bytes) -> int:
    """Returns the length in bytes of the ID3v2 tags at the start of a file."""
    at = 0
    while data[at : at + 3] == b"ID3" and len(data) >= at + 10:
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 127
        at += 10 + size
    return at


def walk_mpeg(data: mmap.mmap | bytes) -> Layout:
    """Walks over all frames of an MP3 file.

    Raises:
      ValueError: There is no frame, or the frames differ in rate or channels.
    """
    start = at = skip_id3(data)
    frames, kinds, whole = 0, set(), True
    first: Frame | None = None
    count = 0
    while at < len(data):
        frame = parse_frame(data, at)
        if frame and first and frame.kind != first.kind:
            # A change counts if another such frame follows: it is no chance.
            after = parse_frame(data, at + frame.size)
            if after and after.kind == frame.kind:
                kinds.add(frame.kind)
            frame = None
        if frame and not first:
            after = parse_frame(data, at + frame.size)
            last = at + frame.size >= len(data)
            if not last and not (after and after.kind == frame.kind):
                frame = None
        if frame and at + frame.size <= len(data):
            first, start = first or frame, start if first else at
            frames, count = frames + 1, count + frame.num_samples
            at += frame.size
        elif first and data[at : at + 11].startswith(_TRAILING_TAGS):
            break
        else:
            whole = False
            at = data.find(b"\xff", at + 1)
            if at < 0:
                break
    if not first:
        raise ValueError("it has no frames of MPEG audio")
    if kinds:
        raise ValueError("its rate or its channels change midway")
    tag = start + 4 + first.side_len
    blank = not any(data[start + 4 : tag])
    if not blank or data[tag : tag + 4] not in (b"Xing", b"Info"):
        return Layout(((start, len(data)),), False, False, count, whole)
    flags, stated, size = struct.unpack(">III", data[tag + 4 : tag + 16])
    frames -= 1  # the Xing frame itself is no audio
    count -= first.num_samples
    trusted = flags & 3 == 3 and whole and abs(frames - stated) <= 1
    trusted &= abs(len(data) - start - size) <= _TOLERANCE
    if not flags & 1 or frames > stated + 1:
        # Without the Xing frame, the decoder goes on to the end of the file.
        start += first.size
    part = start, len(data)
    return Layout((part,), trusted, bool(flags & 1), count, whole)


_PAGE = struct.Struct("<4xBBqIIIB")


def _pages(
    data: mmap.mmap | bytes,
) -> Iterator[tuple[int, int, int, int, int, int, bool]]:
    """Yields the pages of an Ogg file.

    Yields:
      Offset, end, flags, position, serial number and number of a page, and
      whether it follows the page before without a gap.
    """
    at = end = 0
    while (at := data.find(b"OggS", at)) >= 0 and at + 27 <= len(data):
        version, flags, position, serial, number, _, num_laces = (
            _PAGE.unpack_from(data, at)
        )
        stop = at + 27 + num_laces
        stop += sum(data[at + 27 : stop])
        if version or stop > len(data):
            at += 4
            continue
        yield at, stop, flags, position, serial, number, at == end
        at = end = stop


def walk_ogg(data: mmap.mmap | bytes) -> Layout:
    """Walks over all pages of an Ogg file and splits it at its streams."""
    parts: list[tuple[int, int]] = []
    numbers: dict[int, int] = {}  # of the next page, by serial number
    positions: dict[int, int] = {}
    ended: set[int] = set()
    num_pages, num_lost_bytes, in_order, beginning = 0, 0, True, False
    for at, end, flags, position, serial, number, follows in _pages(data):
        begins = bool(flags & 2)
        if begins and not beginning:  # one of several, one after the other
            parts.append((at, end))
            numbers, positions, ended = {}, {}, set()
        beginning = begins
        if begins:
            numbers[serial], positions[serial] = number, 0
        if serial not in numbers or serial in ended:
            num_lost_bytes += end - at
            continue
        if flags & 4:
            ended.add(serial)
        in_order &= follows and number == numbers[serial]
        in_order &= position == -1 or position >= positions[serial]
        numbers[serial] = number + 1
        if position != -1:
            positions[serial] = position
        parts[-1] = parts[-1][0], end
        num_pages += 1
    damage = ""
    if num_lost_bytes:
        damage = f"{num_lost_bytes} bytes of it belong to no stream"
    elif not in_order or not parts or parts[-1][1] != len(data):
        damage = "pages are missing, broken or out of order"
    trusted = not damage and num_pages >= _MIN_PAGES
    trusted &= len(parts) == len(numbers) == 1
    return Layout(tuple(parts), trusted, damage=damage)


def flac_is_longer(data: mmap.mmap | bytes) -> bool:
    """Returns whether a FLAC file has more frames than its header says.

    They are too many if they would not fit even if all were of the largest size
    that the header states.
    """
    start = skip_id3(data) + 4
    head = data[start : start + 22]
    if data[start - 4 : start] != b"fLaC" or len(head) < 22 or head[0] & 0x7F:
        return False
    shortest, longest = struct.unpack(">HH", head[4:8])
    largest = int.from_bytes(head[11:14], "big")
    num_samples = int.from_bytes(head[17:22], "big") & (1 << 36) - 1
    at, last = start, False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    fixed = data[at : at + 2] == b"\xff\xf8"  # all blocks but the last
    block_len = max(longest, shortest) if fixed else shortest
    if not block_len or not largest or not num_samples:
        return False
    num_frames = -(-num_samples // block_len)
    return len(data) - at > num_frames * largest + _TOLERANCE


# What begins files that libsndfile cannot read and ffmpeg can: pattern, name.
_FOREIGN = (
    (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC"),
    (rb"....ftyp", "MPEG-4 (AAC or ALAC)"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA)"),
    (rb"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (rb"\x0b\x77", "AC-3"),
    (rb"#!AMR", "AMR"),
    (rb"MAC ", "Monkey's Audio"),
    (rb"MPCK|MP\+", "Musepack"),
    (rb"TTA1", "True Audio"),
    (rb"wvpk", "WavPack"),
    (rb"OggS.{22}.{1,255}?\x7fFLAC", "Ogg FLAC"),
    (rb"OggS.{22}.{1,255}?Speex ", "Speex"),
    (rb"caff.*?desc.{16}(?!lpcm|ulaw|alaw|alac)", "CAF with another codec"),
)


def foreign_name(head: bytes) -> str:
    """Returns the name of a format that only ffmpeg reads, or "".

    Args:
      head: First bytes of a file, after its ID3 tags.
    """
    for pattern, name in _FOREIGN:
        if re.match(pattern, head, re.DOTALL):
            return name
    return ""


def find_layout(data: mmap.mmap | bytes) -> Layout | None:
    """Returns the layout of an MPEG or Ogg file, or None for another format.

    Raises:
      ValueError: The frames cannot be decoded as one sound.
    """
    at = skip_id3(data)
    head = data[at : at + 4]
    if head == b"OggS":
        return walk_ogg(data)
    if head[:1] == b"\xff" or (at and head != b"fLaC"):
        return walk_mpeg(data)
    return None
