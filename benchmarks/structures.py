"""Moves, drops and doubles pages and frames of audio files, for the fuzzer.

Checksums stop decoders before they see most damage. So pages of Ogg files and
frames of FLAC and MP3 files are changed as wholes, their headers are made to
lie, and the checksums are mended afterwards.
"""

import functools
import struct
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
EXTREMES = (0, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -1, -(2**63))


@functools.cache
def _crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    """Returns the table of a checksum that starts at the highest bit."""
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            high = value >> (bits - 1) & 1
            value = (value << 1 & (1 << bits) - 1) ^ polynomial * high
        table.append(value)
    return tuple(table)


def crc(data: bytes, polynomial: int, bits: int, start: int = 0) -> int:
    """Returns a cyclic redundancy check, as Ogg, FLAC and MP3 use them."""
    table = _crc_table(polynomial, bits)
    value, shift, mask = start, bits - 8, (1 << bits) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> shift ^ byte]
    return value


def _shuffle(parts: list[bytes], rng: Rng, most: int = 4) -> list[bytes]:
    """Drops, doubles, exchanges, reverses and joins some parts."""
    parts = list(parts)
    for _ in range(rng.integers(1, most)):
        if not parts:
            break
        at, other = (int(i) for i in rng.integers(len(parts), size=2))
        low, high = sorted((at, other))
        way = rng.integers(6)
        if way == 0:
            del parts[at]
        elif way == 1:
            parts.insert(other, parts[at])
        elif way == 2:
            parts[at], parts[other] = parts[other], parts[at]
        elif way == 3:
            parts[low:high] = parts[low:high][::-1]
        elif way == 4:
            del parts[low:high]
        else:
            parts += parts[at:]
    return parts


def _lie(value: int, rng: Rng, bits: int) -> int:
    """Returns another number in place of a header's."""
    way = rng.integers(4)
    if way == 0:
        value = EXTREMES[rng.integers(len(EXTREMES))]
    elif way == 1:
        value += int(rng.integers(-3, 4))
    elif way == 2:
        value ^= 1 << int(rng.integers(bits))
    else:
        value = int(value * rng.uniform(0, 3))
    return value & (1 << bits) - 1


# Ogg


def split_ogg(data: bytes) -> list[bytes]:
    """Splits an Ogg file into pages."""
    pages, at = [], 0
    while data[at : at + 4] == b"OggS":
        size = 27 + data[at + 26]
        size += sum(data[at + 27 : at + size])
        pages.append(data[at : at + size])
        at += size
    return pages


def mend_ogg(page: bytes) -> bytes:
    """Returns a page with the checksum that fits."""
    blank = page[:22] + bytes(4) + page[26:]
    check = crc(blank, 0x04C11DB7, 32)
    return blank[:22] + struct.pack("<I", check) + blank[26:]


def _lie_in_page(page: bytes, rng: Rng) -> bytes:
    """Changes a field, the lacing or the body of a page."""
    data = bytearray(page)
    laces = 27 + data[26]
    way = rng.integers(7)
    if way == 0:  # flags: continued, first, last
        data[5] ^= 1 << int(rng.integers(3))
    elif way == 1:  # position
        (position,) = struct.unpack_from("<Q", data, 6)
        struct.pack_into("<Q", data, 6, _lie(position, rng, 64))
    elif way == 2:  # serial number
        struct.pack_into("<I", data, 14, int(rng.integers(2**32)))
    elif way == 3:  # page number
        (number,) = struct.unpack_from("<I", data, 18)
        struct.pack_into("<I", data, 18, _lie(number, rng, 32))
    elif way == 4 and data[26]:  # lacing: another split of the same body
        at = 27 + int(rng.integers(data[26]))
        data[at] = int(rng.integers(256))
    elif way == 5 and data[26]:  # fewer packets
        data[26] = int(rng.integers(data[26] + 1))
    else:
        for _ in range(rng.integers(1, 9)):
            if len(data) > laces:
                at = int(rng.integers(laces, len(data)))
                data[at] = int(rng.integers(256))
    return bytes(data)


def mutate_ogg(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Mixes the pages of two Ogg files, lies in some, and mends all."""
    pages = split_ogg(data)
    if rng.random() < 0.2:
        pages += split_ogg(other)
    if rng.random() < 0.6:
        pages = _shuffle(pages, rng)
    for _ in range(rng.integers(0, 4)):
        if pages:
            at = int(rng.integers(len(pages)))
            pages[at] = _lie_in_page(pages[at], rng)
    if rng.random() < 0.3:  # all pages are numbered anew
        pages = [
            page[:18] + struct.pack("<I", i) + page[22:]
            for i, page in enumerate(pages)
        ]
    return b"".join(map(mend_ogg, pages))


# FLAC


def split_flac(data: bytes) -> list[bytes]:
    """Splits a FLAC file into its metadata and its frames."""
    at, last = 4, False
    while not last:
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    starts, find = [at], at + 2
    sync = data[at : at + 2]
    while (find := data.find(sync, find)) >= 0:
        size = _flac_header_len(data[find : find + 16])
        head = data[find : find + size]
        if size and crc(head[:-1], 0x07, 8) == head[-1]:
            starts.append(find)
        find += 1
    ends = [*starts[1:], len(data)]
    return [data[:at], *(data[i:j] for i, j in zip(starts, ends, strict=True))]


def _flac_header_len(head: bytes) -> int:
    """Returns the length of a frame's header with its checksum, or 0."""
    if len(head) < 16:
        return 0
    ones = 8 - (head[4] ^ 0xFF).bit_length()
    size = 4 + max(1, ones)
    size += {6: 1, 7: 2}.get(head[2] >> 4, 0)
    size += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    return size + 1 if ones < 8 else 0


def _mend_flac(frame: bytes) -> bytes:
    """Returns a frame with the checksums that fit."""
    size = _flac_header_len(frame[:16])
    if not size or len(frame) < size + 2:
        return frame
    head = frame[: size - 1]
    body = head + bytes([crc(head, 0x07, 8)]) + frame[size:-2]
    return body + struct.pack(">H", crc(body, 0x8005, 16))


def mutate_flac(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Mixes the frames of two FLAC files, lies in headers, and mends all."""
    meta, *frames = split_flac(data)
    if rng.random() < 0.2:
        frames += split_flac(other)[int(rng.integers(2)) :]
    if rng.random() < 0.6:
        frames = _shuffle(frames, rng)
    if rng.random() < 0.4:  # STREAMINFO: block sizes, rate, channels, length
        head = bytearray(meta)
        at = int(rng.choice([8, 10, 12, 18, 20, 21, 22, 25]))
        head[at] = _lie(head[at], rng, 8)
        meta = bytes(head)
    for _ in range(rng.integers(0, 4)):
        if frames and len(frames[0]) > 16:
            at = int(rng.integers(len(frames)))
            frame = bytearray(frames[at])
            place = int(rng.integers(2, min(len(frame), 40)))
            frame[place] = int(rng.integers(256))
            frames[at] = bytes(frame)
    return meta + b"".join(map(_mend_flac, frames))


# MP3


def split_mp3(data: bytes) -> list[bytes]:
    """Splits an MP3 file into tags and frames."""
    from audio import containers  # here: the parent process needs none

    at = containers.skip_id3(data)
    parts = [data[:at]] if at else []
    while frame := containers.parse_frame(data, at):
        parts.append(data[at : at + frame.size])
        at += frame.size
    return parts


def _mend_mp3(frame: bytes) -> bytes:
    """Returns a frame of layer III; its checksum, if it has one, fits."""
    if len(frame) < 38 or frame[0] != 0xFF or frame[1] & 1:
        return frame
    side = 17 if frame[3] >> 6 == 3 else 32
    if not frame[1] & 8:
        side = 9 if frame[3] >> 6 == 3 else 17
    check = crc(frame[2:4] + frame[6 : 6 + side], 0x8005, 16, 0xFFFF)
    return frame[:4] + struct.pack(">H", check) + frame[6:]


def mutate_mp3(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Mixes the frames of two MP3 files, lies in headers, and mends all."""
    frames = split_mp3(data)
    if rng.random() < 0.2:
        frames += split_mp3(other)
    if rng.random() < 0.6:
        frames = _shuffle(frames, rng)
    for _ in range(rng.integers(0, 4)):
        if not frames:
            break
        at = int(rng.integers(len(frames)))
        frame = bytearray(frames[at])
        tag = max(frame.find(b"Xing"), frame.find(b"Info"))
        if tag > 0 and rng.random() < 0.7:  # number of frames or bytes
            place = tag + int(rng.choice([4, 8, 12]))
            (value,) = struct.unpack_from(">I", frame, place)
            struct.pack_into(">I", frame, place, _lie(value, rng, 32))
        elif len(frame) > 8:
            place = int(rng.integers(1, min(len(frame), 60)))
            frame[place] = int(rng.integers(256))
        frames[at] = bytes(frame)
    return b"".join(map(_mend_mp3, frames))


def audio_len(data: bytes) -> int:
    """Returns the number of bytes in the parts of a file that hold audio."""
    if data.startswith(b"OggS"):  # position 0 is that of headers
        pages = split_ogg(data)
        return sum(len(page) for page in pages if page[6:14] != bytes(8))
    if data.startswith(b"fLaC"):
        return sum(map(len, split_flac(data)[1:]))
    return len(data)


MUTATORS: dict[str, Callable[[bytes, bytes, Rng], bytes]] = {
    "ogg": mutate_ogg,
    "opus": mutate_ogg,
    "flac": mutate_flac,
    "mp3": mutate_mp3,
}
