"""Spoken digits out of arithmetic: a small formant synthesiser in NumPy.

Speech is modelled as a source and a filter. The source is a train of glottal
pulses, or noise, or both; the filter is a cascade of resonances, the formants
of the vocal tract, which glide from the target of one speech sound to the next.
A `Speaker` fixes what belongs to a voice, a `Room` what belongs to a recording;
the rest is drawn anew for each clip. `synthesize` writes a whole data set in
the layout of SC09, so that everything here runs with nothing downloaded.

Source: D. H. Klatt, "Software for a cascade/parallel formant synthesizer",
J. Acoust. Soc. Am. 67 (1980); G. Fant, "Acoustic Theory of Speech Production"
(1960).
"""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import wave

import numpy as np
import tqdm

WORDS = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)
SAMPLE_RATE = 16000  # Hz
CLIP_LEN = 16000  # samples: each clip of SC09 lasts one second
FRAME_LEN = 80  # samples: the vocal tract moves in steps of 5 ms
WINDOW_LEN = 400  # samples: each step is filtered in a window of 25 ms
FFT_LEN = 1024  # samples: room for a window and the ringing of its formants
VERSION = 1  # of the sound: another one makes other clips from a seed
MANIFEST = "synthesis.json"
SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Phone:
    """The target of one speech sound.

    Attributes:
      f1_hz: first formant of an adult man.
      f2_hz: second formant.
      f3_hz: third formant.
      voicing: amplitude of the glottal pulses; a vowel has 1.
      aspiration: amplitude of noise from the glottis, heard through the
        formants.
      frication: amplitude of noise from a narrow place behind the lips, which
        is heard in a band of its own.
      noise_hz: centre of that band.
      noise_width_hz: standard deviation of that band.
      nasality: how far the nose is coupled in, 0 to 1.
    """

    f1_hz: float
    f2_hz: float
    f3_hz: float
    voicing: float = 1.0
    aspiration: float = 0.0
    frication: float = 0.0
    noise_hz: float = 5000.0
    noise_width_hz: float = 2500.0
    nasality: float = 0.0


# Names are ARPAbet's, with additions: of a diphthong, 1 is the start and 2 the
# end; of a stop, CL is the closure; _END marks the weaker stop after a vowel.
# Source: vowels after G. E. Peterson and H. L. Barney, J. Acoust. Soc. Am. 24
# (1952), and J. Hillenbrand et al., ibid. 97 (1995); consonants after Klatt
# (1980), table III.
PHONES = {
    "IY": Phone(285, 2250, 2950),
    "IH": Phone(400, 1920, 2560),
    "EH": Phone(560, 1780, 2500),
    "AH": Phone(640, 1110, 2400),
    "AO": Phone(510, 850, 2400),
    "UW": Phone(310, 980, 2250),
    "UX": Phone(330, 1600, 2350),
    "AX": Phone(500, 1450, 2450, voicing=0.7),
    "ER": Phone(440, 1250, 1650, voicing=0.85),
    "AY1": Phone(740, 1270, 2500),
    "AY2": Phone(400, 2020, 2600),
    "EY1": Phone(500, 1900, 2560),
    "EY2": Phone(330, 2230, 2800),
    "OW1": Phone(500, 960, 2350),
    "OW2": Phone(370, 800, 2300),
    "R": Phone(330, 1120, 1480, voicing=0.75),
    "W": Phone(300, 640, 2200, voicing=0.6),
    "N": Phone(270, 1550, 2550, voicing=0.45, nasality=1.0),
    "S": Phone(320, 1700, 2600, 0.0, 0.0, 0.42, 5700, 1500),
    "Z": Phone(260, 1650, 2600, 0.28, 0.0, 0.2, 5700, 1500),
    "F": Phone(330, 1150, 2250, 0.0, 0.0, 0.09, 4500, 5000),
    "V": Phone(270, 1150, 2250, 0.38, 0.0, 0.045, 4500, 5000),
    "TH": Phone(330, 1350, 2500, 0.0, 0.0, 0.07, 5500, 4000),
    "TCL": Phone(330, 1750, 2650, 0.0),
    "T": Phone(330, 1750, 2650, 0.0, 0.0, 0.6, 3900, 2300),
    "HH": Phone(330, 1750, 2650, 0.0, 0.3, 0.12, 4200, 2500),
    "T_END": Phone(330, 1750, 2650, 0.0, 0.0, 0.5, 3900, 2300),
    "HH_END": Phone(330, 1750, 2650, 0.0, 0.1, 0.08, 4200, 2500),
    "KCL": Phone(310, 2050, 2400, 0.0),
    "K": Phone(310, 2050, 2400, 0.0, 0.0, 0.35, 2200, 800),
}

# Sounds with their lengths in ms. Where a word has two pronunciations, a
# speaker keeps to one: the first is that of three speakers in five.
PRONUNCIATIONS = {
    "zero": (
        "Z:85 IY:90 R:85 OW1:100 OW2:130",
        "Z:85 IH:90 R:85 OW1:100 OW2:130",
    ),
    "one": ("W:115 AH:150 N:110",),
    "two": ("TCL:20 T:14 HH:45 UX:90 UW:150", "TCL:20 T:14 HH:45 UW:240"),
    "three": ("TH:95 R:85 IY:250",),
    "four": ("F:100 AO:150 ER:140", "F:100 AO:260"),
    "five": ("F:95 AY1:150 AY2:100 V:75",),
    "six": ("S:115 IH:95 KCL:55 K:16 S:130",),
    "seven": ("S:110 EH:110 V:55 AX:60 N:110",),
    "eight": ("EY1:100 EY2:105 TCL:60 T_END:14 HH_END:50",),
    "nine": ("N:90 AY1:130 AY2:105 N:120",),
}

BANDWIDTHS_HZ = (60, 85, 130, 200, 260, 320)  # of six formants
NASAL_ZERO_HZ = 950  # what the nose takes out of an adult man's N
NASAL_ZERO_WIDTH_HZ = 120
TRACT_GAIN = 3.4  # of the voice over consonant noise


@dataclasses.dataclass(frozen=True)
class Speaker:
    """What belongs to a voice and stays through all that it says.

    Attributes:
      group: "man", "woman" or "child".
      formant_scale: formants relative to an adult man's; the inverse of the
        relative length of the vocal tract.
      f0_hz: mean fundamental frequency.
      f0_range: how lively the pitch contour is, relative to `f0_hz`.
      accent: by phone, factors on its three formants, [3].
      upper_formants_hz: fourth to sixth formant, the same for all phones, [3].
      bandwidth_scale: factor on all bandwidths.
      open_quotient: part of each period for which the glottis is open.
      slope_db: slope of the voiced spectrum, dB per octave.
      breathiness: noise of the glottis, relative to its pulses.
      jitter: relative deviation of the period.
      shimmer: relative deviation of the amplitude of the pulses.
      noise_scale: factor on the frequency of consonant noise.
      noise_gain: by phone, a factor on its noise; 1 where left out.
      pronunciation: by word, which of its pronunciations.
      tempo: factor on all durations.
    """

    group: str
    formant_scale: float
    f0_hz: float
    f0_range: float
    accent: dict[str, np.ndarray]
    upper_formants_hz: np.ndarray
    bandwidth_scale: float
    open_quotient: float
    slope_db: float
    breathiness: float
    jitter: float
    shimmer: float
    noise_scale: float
    noise_gain: dict[str, float]
    pronunciation: dict[str, str]
    tempo: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """Draws a man (one in two), a woman (two in five) or a child.

    Args:
      rng: where all chance comes from.

    Returns:
      A speaker.
    """
    group, formant_scale, f0_hz = {
        "man": ("man", 1.00, (75, 140)),
        "woman": ("woman", 1.16, (150, 230)),
        "child": ("child", 1.30, (210, 290)),
    }[rng.choice(["man", "woman", "child"], p=[0.5, 0.4, 0.1])]
    formant_scale = rng.normal(formant_scale, 0.05)
    sibilance, burst = rng.uniform(0.5, 1.4), rng.uniform(0.5, 1.5)
    release = rng.uniform(0.35, 1.3)
    return Speaker(
        group=group,
        formant_scale=formant_scale,
        f0_hz=rng.uniform(*f0_hz),
        f0_range=rng.uniform(0.08, 0.4),
        accent={p: np.exp(rng.normal(0, 0.05, 3)) for p in PHONES},
        upper_formants_hz=formant_scale
        * rng.uniform((3200, 4000, 4900), (3700, 4600, 5500)),
        bandwidth_scale=rng.uniform(0.7, 1.5),
        open_quotient=rng.uniform(0.45, 0.75),
        slope_db=rng.uniform(-1, 5),
        breathiness=rng.uniform(0.01, 0.12),
        jitter=rng.uniform(0.003, 0.02),
        shimmer=rng.uniform(0.02, 0.12),
        noise_scale=rng.uniform(0.8, 1.2),
        noise_gain={
            **dict.fromkeys(("S", "Z"), sibilance),
            **dict.fromkeys(("T", "K"), burst),
            **dict.fromkeys(("T_END", "HH_END"), release),
        },
        pronunciation={
            word: ways[0] if rng.random() < 0.6 else ways[-1]
            for word, ways in PRONUNCIATIONS.items()
        },
        tempo=np.exp(rng.normal(0, 0.16)),
    )


def render_word(
    word: str, speaker: Speaker, rng: np.random.Generator
) -> np.ndarray:
    """Lets a speaker say a word once, in a silent room without echo.

    Args:
      word: one of `WORDS`.
      speaker: whose voice.
      rng: where all chance comes from: no two takes are the same.

    Returns:
      The sound at 16 kHz, peak 1, [num_samples].

    Raises:
      ValueError: if the word is none of the ten.
    """
    if word not in PRONUNCIATIONS:
        raise ValueError(f"no word {word!r}: choose one of {', '.join(WORDS)}")
    targets = _draw_targets(word, speaker, rng)
    voiced, noise = _excite(targets, speaker, rng)
    sound = _filter(voiced, _tract_response(targets, speaker))
    sound += _filter(noise, _noise_response(targets))
    return sound / np.abs(sound).max()


def _draw_targets(
    word: str, speaker: Speaker, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Returns the fields of `Phone`, one track each, [num_frames]."""
    names, lengths = zip(
        *(p.split(":") for p in speaker.pronunciation[word].split()),
        strict=True,
    )
    secs = np.array([int(ms) / 1000 for ms in lengths]) * speaker.tempo
    secs *= np.exp(rng.normal(0, 0.1, len(names)))
    num_frames = np.round(secs * SAMPLE_RATE / FRAME_LEN).astype(int)
    # A few more frames before and after, for the sound to swell and to ring.
    num_frames = np.maximum(num_frames, 1)
    order = np.repeat(
        [0, *range(len(names)), len(names) - 1], [4, *num_frames, 6]
    )
    rows = np.array([dataclasses.astuple(PHONES[name]) for name in names])
    rows[:, :3] *= [speaker.accent[name] for name in names]
    rows[:, :3] *= speaker.formant_scale * np.exp(rng.normal(0, 0.015, 3))
    gain = np.array([speaker.noise_gain.get(name, 1.0) for name in names])
    rows[:, 4:6] *= gain[:, None]
    rows[:, 6] *= speaker.noise_scale
    fields = [field.name for field in dataclasses.fields(Phone)]
    tracks = dict(zip(fields, rows[order].T, strict=True))
    tracks["voicing"] *= np.linspace(1.0, 0.8, len(order))  # a breath runs out
    for name in ("voicing", "aspiration", "frication"):
        tracks[name][:4] = tracks[name][-6:] = 0.0
    # Articulators are slow, each in its way: smoothing makes the glides.
    glide = rng.integers(11, 20)
    for name, width in {
        "f1_hz": glide,
        "f2_hz": glide,
        "f3_hz": glide,
        "voicing": 7,
        "aspiration": 5,
        "frication": 3,
        "nasality": 7,
    }.items():
        tracks[name] = _smooth(tracks[name], width)
    return tracks


def _smooth(track: np.ndarray, width: int) -> np.ndarray:
    """Averages under a Hann window of `width` frames, made odd."""
    kernel = np.hanning((width | 1) + 2)[1:-1]
    padded = np.pad(track, len(kernel) // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid")


def _draw_f0(
    num_frames: int, speaker: Speaker, rng: np.random.Generator
) -> np.ndarray:
    """Draws a pitch contour in Hz, [num_frames]: a hump on a falling line."""
    u = np.linspace(0, 1, num_frames)
    hump = np.sin(np.pi * (u * rng.uniform(0.6, 1.4) + rng.uniform(-0.2, 0.3)))
    fall = rng.uniform(-0.25, 0.9) * u
    contour = rng.normal(0, 0.35) + 0.5 * hump - fall
    f0_hz = speaker.f0_hz * np.exp(rng.normal(0, 0.06))
    return np.clip(f0_hz * (1 + speaker.f0_range * contour), 50, 500)


def _excite(
    targets: dict[str, np.ndarray], speaker: Speaker, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the sources: what enters the throat, and consonant noise.

    The glottal pulse is the derivative of the flow u**2 - u**3 over the open
    phase, u from 0 to 1: it ends in the jerk that excites the formants.

    Returns:
      Two signals, each [num_frames * FRAME_LEN].

    Source: D. H. Klatt and L. C. Klatt, J. Acoust. Soc. Am. 87 (1990), the
    source named KLGLOTT88.
    """
    num_frames = len(targets["voicing"])
    n = num_frames * FRAME_LEN
    frame = np.arange(n) / FRAME_LEN

    def by_sample(track: np.ndarray) -> np.ndarray:
        return np.interp(frame, np.arange(len(track)), track)

    f0_hz = by_sample(_draw_f0(num_frames, speaker, rng))
    f0_hz *= 1 + by_sample(rng.normal(0, speaker.jitter, num_frames))
    period, phase = np.divmod(np.cumsum(f0_hz / SAMPLE_RATE) + rng.random(), 1)
    u = phase / speaker.open_quotient
    is_open = u < 1
    shimmer = rng.normal(1, speaker.shimmer, int(period[-1]) + 1)
    pulses = is_open * (2 * u - 3 * u**2) * shimmer[period.astype(int)]
    pulses /= np.sqrt(np.mean(pulses**2))
    breath = rng.normal(size=n) * np.where(is_open, 1.0, 0.4)
    voicing = by_sample(targets["voicing"])
    aspiration = by_sample(targets["aspiration"])
    throat = pulses * voicing
    throat += breath * (voicing * speaker.breathiness + aspiration)
    return throat, rng.normal(size=n) * by_sample(targets["frication"])


def _resonance(centre_hz: np.ndarray, width_hz: np.ndarray) -> np.ndarray:
    """Frequency response of a second-order resonator with gain 1 at 0 Hz.

    Args:
      centre_hz: its frequency, [num_frames].
      width_hz: its bandwidth, [num_frames].

    Returns:
      Complex, [num_frames, FFT_LEN // 2 + 1].

    Source: Klatt (1980), equation 1.
    """
    delay = np.exp(-2j * np.pi * np.arange(FFT_LEN // 2 + 1) / FFT_LEN)
    r = np.exp(-np.pi * width_hz / SAMPLE_RATE)[:, None]
    b = 2 * r * np.cos(2 * np.pi * centre_hz / SAMPLE_RATE)[:, None]
    c = -(r**2)
    return (1 - b - c) / (1 - b * delay - c * delay**2)


def _tract_response(
    targets: dict[str, np.ndarray], speaker: Speaker
) -> np.ndarray:
    """Returns the vocal tract's response, [num_frames, FFT_LEN // 2 + 1]."""
    nasality = targets["nasality"]
    steady = np.ones_like(nasality)
    centres_hz = [targets["f1_hz"], targets["f2_hz"], targets["f3_hz"]]
    centres_hz += [steady * f for f in speaker.upper_formants_hz]
    f_hz = np.fft.rfftfreq(FFT_LEN, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(f_hz, 80) / 1000)
    response = TRACT_GAIN * 10 ** (speaker.slope_db * octaves / 20)
    for i, (centre_hz, width_hz) in enumerate(
        zip(centres_hz, BANDWIDTHS_HZ, strict=True)
    ):
        width_hz = width_hz * speaker.bandwidth_scale * steady
        if i < 3:  # the soft walls of the nose damp the lower formants
            width_hz *= 1 + 0.8 * nasality
        # Above 7.2 kHz a resonance would fold back at half the sample rate.
        response = response * _resonance(np.minimum(centre_hz, 7200), width_hz)
    zero = 1 / np.abs(
        _resonance(
            NASAL_ZERO_HZ * speaker.formant_scale * steady,
            NASAL_ZERO_WIDTH_HZ * steady,
        )
    )
    nose = np.clip(zero, 0.08, 1.0)
    return response * (1 + nasality[:, None] * (nose - 1))


def _noise_response(targets: dict[str, np.ndarray]) -> np.ndarray:
    """Returns a Gaussian band a frame, [num_frames, FFT_LEN // 2 + 1]."""
    f_hz = np.fft.rfftfreq(FFT_LEN, 1 / SAMPLE_RATE)
    deviation = (f_hz - targets["noise_hz"][:, None]) / targets[
        "noise_width_hz"
    ][:, None]
    # Little of what is made in front of the mouth is below 600 Hz.
    return np.exp(-(deviation**2) / 2) * f_hz / (f_hz + 600)


def _filter(source: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Filters a source by a response that changes from frame to frame.

    Args:
      source: [num_frames * FRAME_LEN].
      response: [num_frames, FFT_LEN // 2 + 1].

    Returns:
      The sum of the filtered windows, [num_frames * FRAME_LEN].
    """
    half = WINDOW_LEN // 2
    padded = np.pad(source, (half, 2 * half))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_LEN)
    windows = windows[: len(source) : FRAME_LEN] * np.hanning(WINDOW_LEN)
    pieces = np.fft.irfft(np.fft.rfft(windows, FFT_LEN) * response, FFT_LEN)
    out = np.zeros(len(source) + FFT_LEN)
    for i, piece in enumerate(pieces):
        out[i * FRAME_LEN :][:FFT_LEN] += piece
    return out[half : half + len(source)]


@dataclasses.dataclass(frozen=True)
class Room:
    """What belongs to a recording: a room, its noise, a microphone.

    Attributes:
      reverb_secs: time in which an echo fades by 60 dB; 0: no echo.
      snr_db: level of the word above the noise.
      noise_slope: exponent of the noise's amplitude over frequency: 0 is
        white, -0.5 pink, -1 brown.
      lowpass_hz: upper edge of the microphone's band; infinity: none.
      peak: largest amplitude of a recording, 0 to 1.
    """

    reverb_secs: float
    snr_db: float
    noise_slope: float
    lowpass_hz: float
    peak: float


def draw_room(rng: np.random.Generator) -> Room:
    """Draws the place and the microphone of a speaker."""
    return Room(
        reverb_secs=rng.choice([0, 1], p=[0.4, 0.6]) * rng.uniform(0.05, 0.5),
        snr_db=rng.uniform(12, 45),
        noise_slope=rng.choice([0.0, -0.5, -1.0, -1.5]),
        lowpass_hz=rng.choice([np.inf, 3400, 4500, 6000], p=[0.5] + 3 * [1 / 6]),
        peak=rng.uniform(0.15, 0.95),
    )


def record(
    sound: np.ndarray, room: Room, rng: np.random.Generator
) -> np.ndarray:
    """Records a word: one second, with the word roughly in its middle.

    Args:
      sound: a word, peak 1, [num_samples]; what exceeds a second is cut off.
      room: where, and by what.
      rng: where all chance comes from.

    Returns:
      A clip at 16 kHz in [-1, 1], [16000].
    """
    heard = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    sound = sound[heard[0] : heard[-1] + 1][:CLIP_LEN]
    clip = np.zeros(CLIP_LEN)
    middle = np.clip(rng.normal(0.5, 0.18), 0, 1)
    start = int((CLIP_LEN - len(sound)) * middle)
    clip[start : start + len(sound)] = sound

    # The microphone: a tilt, a low cut, a high cut. The room: an echo.
    f_hz = np.fft.rfftfreq(2 * CLIP_LEN, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(f_hz, 60) / 1000)
    response = 10 ** (rng.normal(0, 1) * octaves / 20)
    response *= f_hz**2 / (f_hz**2 + rng.uniform(30, 120) ** 2)
    response /= 1 + (f_hz / room.lowpass_hz) ** 8
    if room.reverb_secs:
        secs = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
        echo = rng.normal(size=len(secs)) * rng.uniform(0.02, 0.12)
        echo *= 10 ** (-3 * secs / room.reverb_secs)  # -60 dB
        echo[0] = 1.0
        response = response * np.fft.rfft(echo, 2 * CLIP_LEN)
    clip = np.fft.irfft(np.fft.rfft(clip, 2 * CLIP_LEN) * response)[:CLIP_LEN]

    f_hz = np.fft.rfftfreq(CLIP_LEN, 1 / SAMPLE_RATE)
    noise = np.fft.rfft(rng.normal(size=CLIP_LEN))
    noise = np.fft.irfft(noise * np.maximum(f_hz, 40) ** room.noise_slope)
    power = np.sort(clip**2)[-len(sound) :].mean()
    noise *= np.sqrt(power / np.mean(noise**2) / 10 ** (room.snr_db / 10))
    clip += noise
    return clip * room.peak * rng.uniform(0.7, 1) / np.abs(clip).max()


def synthesize(
    data_dir: str | os.PathLike[str], num_clips: int = 2000, seed: int = 0
) -> None:
    """Writes a data set of spoken digits in the layout of SC09.

    `{train,valid,test}/Seven_<speaker>_nohash_<n>.wav`, 16 kHz, 16-bit, mono:
    the ten words equally often, spoken by num_clips / 10 speakers (at least
    100, where there are as many clips), of whom eight in ten are in train/.
    The folder appears whole or not at all; one that is already there, of the
    same count and seed, is left as it is.

    Args:
      data_dir: the folder to make.
      num_clips: how many clips, at least 1.
      seed: the same seed gives the same bytes.

    Raises:
      ValueError: if num_clips or seed is out of range, or if data_dir holds
        anything else.
    """
    if num_clips < 1:
        raise ValueError(f"num_clips is {num_clips}: ask for at least 1 clip")
    if seed < 0:
        raise ValueError(f"seed is {seed}: choose 0 or a positive integer")
    data_dir = pathlib.Path(data_dir)
    manifest = {"version": VERSION, "num_clips": num_clips, "seed": seed}
    if _is_made(data_dir, manifest):
        return
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{data_dir.name}.partial-", dir=data_dir.parent
    ) as partial_dir:
        whole = pathlib.Path(partial_dir, data_dir.name)
        _write_clips(whole, num_clips, np.random.default_rng(seed))
        (whole / MANIFEST).write_text(json.dumps(manifest) + "\n")
        try:
            whole.rename(data_dir)
        except OSError:
            # Another process may have been faster; it made the same clips.
            if not _is_made(data_dir, manifest):
                raise


def _is_made(data_dir: pathlib.Path, manifest: dict[str, int]) -> bool:
    """Returns whether the data set is there already.

    Raises:
      ValueError: if something else is there.
    """
    if not data_dir.exists() or (
        data_dir.is_dir() and not any(data_dir.iterdir())
    ):
        return False
    remedy = "choose another folder, or delete this one"
    try:
        found = json.loads((data_dir / MANIFEST).read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"{data_dir} is there and holds no synthesised digits: {remedy}"
        ) from None
    if found != manifest:
        raise ValueError(
            f"{data_dir} holds the digits {found}, not {manifest}: {remedy}"
        )
    return True


def _write_clips(
    data_dir: pathlib.Path, num_clips: int, rng: np.random.Generator
) -> None:
    for split in SPLITS:
        (data_dir / split).mkdir(parents=True)
    clips_per_speaker = int(np.clip(num_clips // 100, 1, len(WORDS)))
    used_ids: set[str] = set()
    for i in tqdm.trange(
        num_clips, desc="Synthesising digits", unit="clip", disable=None
    ):
        if i % len(WORDS) == 0:
            words = rng.permutation(WORDS)
        if i % clips_per_speaker == 0:
            index = i // clips_per_speaker
            if index % 10 == 0:  # of ten speakers, one each; never the first
                valid, test = 1 + rng.choice(9, 2, replace=False)
            split = {valid: "valid", test: "test"}.get(index % 10, "train")
            speaker_id = _draw_speaker_id(split, used_ids, rng)
            speaker, room = draw_speaker(rng), draw_room(rng)
            takes: collections.Counter[str] = collections.Counter()
        word = str(words[i % len(WORDS)])
        clip = record(render_word(word, speaker, rng), room, rng)
        name = f"{word.title()}_{speaker_id}_nohash_{takes[word]}.wav"
        takes[word] += 1
        _write_wav(data_dir / split / name, clip)


def _draw_speaker_id(
    split: str, used_ids: set[str], rng: np.random.Generator
) -> str:
    """Draws eight hex digits that SC09's rule puts into a split.

    Source: Speech Commands, README.md: the split is a hash of the speaker.
    """
    while True:
        speaker_id = f"{rng.integers(2**32):08x}"
        digest = int(hashlib.sha1(speaker_id.encode()).hexdigest(), 16)
        percent = digest % 2**27 * 100 / (2**27 - 1)
        drawn = "valid" if percent < 10 else "test" if percent < 20 else "train"
        if drawn == split and speaker_id not in used_ids:
            used_ids.add(speaker_id)
            return speaker_id


def _write_wav(path: pathlib.Path, clip: np.ndarray) -> None:
    samples = np.clip(np.rint(clip * 32768), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
