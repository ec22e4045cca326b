"""Writes a data set of synthesised spoken digits in the layout of SC09.

`formants` synthesises the voices, `record` adds the acoustics of a `Room` with
its microphone, and `synthesize` writes a whole data set, so that this project
runs without a download.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm

from digits import formants

SAMPLE_RATE = formants.SAMPLE_RATE
CLIP_LEN = 16000  # samples: each clip of SC09 lasts one second
SPLITS = ("train", "valid", "test")
TEN_SPLITS = (*8 * ("train",), "valid", "test")  # splits of each ten speakers
MIN_SPEAKERS = 100  # smallest number of speakers, if there are enough clips
MANIFEST = "manifest.json"  # describes the contents of a complete data set
VERSION = 1  # changes whenever the same seed gives other clips than before

Random = np.random.Generator
WORDS = formants.WORDS
draw_speaker = formants.draw_speaker
render_word = formants.render_word


@dataclasses.dataclass(frozen=True)
class Room:
    """The acoustics of a recording: reverberation, noise and microphone."""

    reverb_secs: float  # time in which an echo decays by 60 dB; 0: no echo
    snr_db: float  # signal-to-noise ratio
    noise_slope: float  # exponent of f: 0 is white noise, -0.5 pink, -1 brown
    lowpass_hz: float  # upper limit of the microphone's band; infinity: none
    peak: float  # largest amplitude of a clip, 0 to 1


def draw_room(rng: Random) -> Room:
    """Draws the acoustics of a speaker's recordings at random."""
    return Room(
        reverb_secs=rng.choice([0, 1], p=[0.4, 0.6]) * rng.uniform(0.05, 0.5),
        snr_db=rng.uniform(12, 45),
        noise_slope=rng.choice([0.0, -0.5, -1.0, -1.5]),
        lowpass_hz=rng.choice(
            [np.inf, 3400, 4500, 6000], p=[0.5] + 3 * [1 / 6]
        ),
        peak=rng.uniform(0.15, 0.95),
    )


def record(sound: np.ndarray, room: Room, rng: Random) -> np.ndarray:
    """Simulates the recording of a word: one second, the word near its middle.

    Args:
      sound: Audio of a word at 16 kHz with a peak of 1, `[num_samples]`; it is
        cut to a second.
      room: Acoustics of the recording.
      rng: Random number generator.

    Returns:
      Clip at 16 kHz in [-1, 1], `[16000]`.
    """
    audible = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    sound = sound[audible[0] : audible[-1] + 1][:CLIP_LEN]
    clip = np.zeros(CLIP_LEN)
    middle = np.clip(rng.normal(0.5, 0.18), 0, 1)
    start = int((CLIP_LEN - len(sound)) * middle)
    clip[start : start + len(sound)] = sound

    # The microphone tilts the spectrum and cuts low and high frequencies. The
    # room adds an echo.
    f_hz = np.fft.rfftfreq(2 * CLIP_LEN, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(f_hz, 60) / 1000)
    gain = 10 ** (rng.normal(0, 1) * octaves / 20)
    gain *= f_hz**2 / (f_hz**2 + rng.uniform(30, 120) ** 2)
    gain /= 1 + (f_hz / room.lowpass_hz) ** 8
    spectrum = np.fft.rfft(clip, 2 * CLIP_LEN) * gain
    if room.reverb_secs:
        secs = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
        echo = rng.normal(size=len(secs)) * rng.uniform(0.02, 0.12)
        echo *= 10 ** (-3 * secs / room.reverb_secs)  # decays by 60 dB
        echo[0] = 1.0
        spectrum *= np.fft.rfft(echo, 2 * CLIP_LEN)
    clip = np.fft.irfft(spectrum)[:CLIP_LEN]

    f_hz = np.fft.rfftfreq(CLIP_LEN, 1 / SAMPLE_RATE)
    color = np.maximum(f_hz, 40) ** room.noise_slope
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=CLIP_LEN)) * color)
    power = np.sort(clip**2)[-len(sound) :].mean()
    noise *= np.sqrt(power / np.mean(noise**2) / 10 ** (room.snr_db / 10))
    clip += noise
    return clip * room.peak * rng.uniform(0.7, 1) / np.abs(clip).max()


def synthesize(
    data_dir: str | os.PathLike[str], num_clips: int = 2000, seed: int = 0
) -> None:
    """Writes a data set of spoken digits in the layout of SC09.

    Files are `{train,valid,test}/Seven_<speaker>_nohash_<n>.wav`, at 16 kHz, 16
    bits, mono. The ten words are equally frequent, and are spoken by num_clips
    / 10 speakers (at least 100, if there are as many clips), of whom eight in
    ten are in train/. The folder is written whole or not at all; an existing
    one with the same number of clips and seed is left unchanged.

    Args:
      data_dir: Folder to create.
      num_clips: Number of clips, at least 1.
      seed: Seed; the same seed gives the same bytes.

    Raises:
      ValueError: `num_clips` or `seed` is out of range, or `data_dir` holds
        something else.
    """
    if num_clips < 1:
        raise ValueError(f"num_clips is {num_clips}: ask for at least 1 clip")
    if seed < 0:
        raise ValueError(f"seed is {seed}: choose 0 or a positive integer")
    data_dir = pathlib.Path(data_dir)
    manifest = {"source": "synthesizer.py", "version": VERSION}
    manifest |= {"num_clips": num_clips, "seed": seed}
    if not is_complete(data_dir, manifest):
        with new_folder(data_dir, manifest) as partial_dir:
            _write_clips(partial_dir, num_clips, np.random.default_rng(seed))


def is_complete(data_dir: pathlib.Path, manifest: dict[str, Any]) -> bool:
    """Returns whether a folder already holds a data set.

    Args:
      data_dir: Folder of the data set.
      manifest: Description of the data set, which identifies it.

    Raises:
      ValueError: The folder holds something else.
    """
    if not data_dir.exists() or (
        data_dir.is_dir() and not any(data_dir.iterdir())
    ):
        return False
    try:
        found = json.loads((data_dir / MANIFEST).read_text())
    except (OSError, ValueError):
        found = "something else"
    if found != manifest:
        raise ValueError(
            f"{data_dir} holds {found}, not {manifest}: "
            "choose another folder, or delete this one"
        )
    return True


@contextlib.contextmanager
def new_folder(
    data_dir: pathlib.Path, manifest: dict[str, Any]
) -> Iterator[pathlib.Path]:
    """Gives a folder to fill, and moves it to `data_dir` if nothing fails.

    Args:
      data_dir: Final path of the data set.
      manifest: Description by which `is_complete` identifies the data set.

    Yields:
      Temporary folder next to `data_dir`, with empty train/, valid/ and test/.
    """
    # Not `atomic.folder`: two processes may make the same data set at once, and
    # thousands of clips that can be made again need no flush each.
    data_dir = data_dir.absolute()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{data_dir.name}.partial-", dir=data_dir.parent
    ) as scratch_dir:
        partial_dir = pathlib.Path(scratch_dir, data_dir.name)
        for split in SPLITS:
            (partial_dir / split).mkdir(parents=True)
        yield partial_dir
        (partial_dir / MANIFEST).write_text(json.dumps(manifest) + "\n")
        try:
            partial_dir.rename(data_dir)
        except OSError:
            # Another process may have made the same data set meanwhile.
            if not is_complete(data_dir, manifest):
                raise


def _write_clips(data_dir: pathlib.Path, num_clips: int, rng: Random) -> None:
    """Fills train/, valid/ and test/."""
    # Shuffled tens: no speaker has a word twice; words are equally frequent.
    words = [
        str(word)
        for _ in range(0, num_clips, len(WORDS))
        for word in rng.permutation(WORDS)
    ]
    clips_per_speaker = max(
        n for n in (1, 2, 5, 10) if n == 1 or n * MIN_SPEAKERS <= num_clips
    )
    splits: list[str] = []
    used_ids: set[str] = set()
    bar = tqdm.tqdm(
        words[:num_clips],
        desc="Synthesising digits",
        unit="clip",
        disable=None,  # nothing to draw on where there is no terminal
    )
    for i, word in enumerate(bar):
        if i % clips_per_speaker == 0:
            if not splits:  # the first of each ten speakers is in train/
                splits = [*rng.permutation(TEN_SPLITS[1:]), TEN_SPLITS[0]]
            split = str(splits.pop())
            speaker_id = _draw_speaker_id(split, used_ids, rng)
            speaker, room = draw_speaker(rng), draw_room(rng)
        clip = record(render_word(word, speaker, rng), room, rng)
        name = f"{word.title()}_{speaker_id}_nohash_0.wav"
        _write_wav(data_dir / split / name, clip)


def assign_split(speaker_id: str) -> str:
    """Returns the split of Speech Commands that a speaker belongs to.

    Args:
      speaker_id: Part of a clip's name before `_nohash_`.

    Returns:
      "train", "valid" or "test".

    Source: which_set of TensorFlow's examples/speech_commands/input_data.py.
    """
    digest = int(hashlib.sha1(speaker_id.encode()).hexdigest(), 16)
    percent = digest % 2**27 * (100 / (2**27 - 1))
    return "valid" if percent < 10 else "test" if percent < 20 else "train"


def _draw_speaker_id(split: str, used_ids: set[str], rng: Random) -> str:
    """Draws an unused speaker ID, of eight hex digits, that is in a split."""
    while True:
        speaker_id = f"{rng.integers(2**32):08x}"
        if assign_split(speaker_id) == split and speaker_id not in used_ids:
            used_ids.add(speaker_id)
            return speaker_id


def _write_wav(path: pathlib.Path, clip: np.ndarray) -> None:
    """Writes a clip in [-1, 1], `[num_samples]`, as 16-bit WAV."""
    samples = np.clip(np.rint(clip * 32768), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
