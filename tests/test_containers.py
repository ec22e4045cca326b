"""Walks over the frames and pages of MP3 and Ogg files."""

import io

import numpy as np
import pytest
import soundfile
import wavs

from audio import containers


def encode(kind: str, num_samples: int, channels: int, rate: int) -> bytes:
    """The contents of a file."""
    file = io.BytesIO()
    soundfile.write(file, wavs.noise(num_samples, channels), rate, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_frames_are_counted(rate: int, channels: int) -> None:
    contents = encode("MP3", 50000, channels, rate)
    layout = containers.walk_mpeg(contents)
    assert layout.trusted and layout.whole
    assert layout.parts == ((0, len(contents)),)
    assert layout.counted is not None
    assert 50000 <= layout.counted < 50000 + 5 * 1152


def test_an_mp3_file_of_another_length_than_it_says_is_not_trusted() -> None:
    contents = encode("MP3", 200_000, 1, 44100)
    whole = containers.walk_mpeg(contents)
    cut = containers.walk_mpeg(contents[: len(contents) // 2])
    assert not cut.trusted and cut.parts[0][0] == 0
    twice = containers.walk_mpeg(contents + contents)
    assert not twice.trusted and twice.parts[0][0] > 0
    assert whole.counted and twice.counted
    assert twice.counted >= 2 * whole.counted
    with pytest.raises(ValueError, match="rate or its channels change"):
        containers.walk_mpeg(contents + encode("MP3", 50000, 1, 22050))
    with pytest.raises(ValueError, match="no frames"):
        containers.walk_mpeg(bytes(1000))


def test_ogg_streams_are_found_one_after_the_other() -> None:
    contents = encode("OGG", 200_000, 1, 16000)
    end = len(contents)
    assert containers.walk_ogg(contents) == containers.Layout(((0, end),), True)
    twice = containers.walk_ogg(contents + contents)
    assert twice.parts == ((0, end), (end, 2 * end)) and not twice.trusted


def test_an_ogg_file_that_lacks_a_page_is_not_trusted() -> None:
    contents = encode("OGG", 200_000, 1, 16000)
    pages = [page[0] for page in containers._pages(contents)]
    assert len(pages) > 8
    for start, stop in zip(pages[3:-1], pages[4:], strict=True):
        damaged = contents[:start] + contents[stop:]
        assert not containers.walk_ogg(damaged).trusted
    moved = contents[: pages[4]] + contents[pages[5] : pages[6]]
    moved += contents[pages[4] : pages[5]] + contents[pages[6] :]
    assert not containers.walk_ogg(moved).trusted
    assert not containers.walk_ogg(contents + b"junk").trusted


def test_random_bytes_are_walked_to_their_end() -> None:
    rng = np.random.default_rng(0)
    for seed in (b"\xff\xfb", b"OggS", b"ID3"):
        for _ in range(50):
            data = seed + rng.bytes(int(rng.integers(3000)))
            try:
                containers.find_layout(data)
            except ValueError as error:
                assert "\n" not in str(error)
