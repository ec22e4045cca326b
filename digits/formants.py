"""Synthesises speech: a small formant synthesiser in NumPy.

Speech is modelled as a source and a filter. The source is a train of glottal
pulses, or noise, or both; the filter is a cascade of resonances, the formants
of the vocal tract, which glide from the target of one speech sound to the next.
A `Speaker` holds the properties of a voice; all others are drawn at random for
each word that is spoken.

Source: D. H. Klatt, "Software for a cascade/parallel formant synthesizer",
J. Acoust. Soc. Am. 67 (1980); G. Fant, "Acoustic Theory of Speech Production"
(1960).
"""

import dataclasses

import numpy as np

SAMPLE_RATE = 16000  # Hz
FRAME_LEN = 80  # samples: the vocal tract changes in steps of 5 ms
WINDOW_LEN = 400  # samples: each step is filtered in a window of 25 ms
FFT_LEN = 1024  # samples: long enough for a window and its formants' decay

Random = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Phone:
    """The target of one speech sound: three formants and three sources."""

    f1_hz: float  # first formant of an adult man
    f2_hz: float  # second formant of an adult man
    f3_hz: float  # third formant of an adult man
    voicing: float = 1.0  # amplitude of the glottal pulses
    aspiration: float = 0.0  # amplitude of glottal noise, which formants filter
    frication: float = 0.0  # amplitude of noise from a constriction at the lips
    noise_hz: float = 5000.0  # centre of the frication's frequency band
    noise_width_hz: float = 2500.0  # standard deviation of that band
    nasality: float = 0.0  # coupling of the nasal tract, 0 to 1


# Targets in Hz and amplitudes, in the order of the fields above. Names are
# ARPAbet's, with additions: 1 is the start of a diphthong and 2 its end; CL is
# the closure of a stop; _END marks the weaker stop after a vowel.
# Source: vowels after G. E. Peterson and H. L. Barney, J. Acoust. Soc. Am. 24
# (1952), and J. Hillenbrand et al., ibid. 97 (1995); consonants after Klatt
# (1980), table III.
PHONES = {
    "IY": Phone(295, 2250, 2950),
    "IH": Phone(400, 1920, 2560),
    "EH": Phone(560, 1780, 2500),
    "AH": Phone(640, 1110, 2400),
    "AO": Phone(510, 850, 2400),
    "UW": Phone(320, 1080, 2250),
    "UX": Phone(330, 1700, 2350),
    "AX": Phone(500, 1450, 2450, voicing=0.7),
    "ER": Phone(440, 1250, 1650, voicing=0.85),
    "AY1": Phone(740, 1270, 2500),
    "AY2": Phone(400, 2020, 2600),
    "EY1": Phone(500, 1900, 2560),
    "EY2": Phone(330, 2230, 2800),
    "OW1": Phone(500, 960, 2350),
    "OW2": Phone(370, 800, 2300),
    "R": Phone(350, 1180, 1550, voicing=0.9),
    "W": Phone(300, 640, 2200, voicing=0.6),
    "N": Phone(270, 1550, 2550, voicing=0.45, nasality=1.0),
    "S": Phone(320, 1700, 2600, 0.0, 0.0, 0.55, 5700, 1500),
    "Z": Phone(260, 1650, 2600, 0.28, 0.0, 0.2, 5700, 1500),
    "F": Phone(330, 1150, 2250, 0.0, 0.0, 0.12, 4500, 5000),
    "V": Phone(270, 1150, 2250, 0.38, 0.0, 0.045, 4500, 5000),
    "TH": Phone(330, 1350, 2500, 0.0, 0.0, 0.09, 5500, 4000),
    "TCL": Phone(330, 1750, 2650, 0.0),
    "T": Phone(330, 1750, 2650, 0.0, 0.0, 0.6, 3900, 2300),
    "HH": Phone(330, 1750, 2650, 0.0, 0.6, 0.2, 4200, 2500),
    "T_END": Phone(330, 1750, 2650, 0.0, 0.0, 0.5, 3900, 2300),
    "HH_END": Phone(330, 1750, 2650, 0.0, 0.2, 0.12, 4200, 2500),
    "KCL": Phone(310, 2050, 2400, 0.0),
    "K": Phone(310, 2050, 2400, 0.0, 0.0, 0.35, 2200, 800),
}

# Phones with their durations in ms. If a word has two pronunciations, a speaker
# always uses the same one; three speakers in five use the first.
PRONUNCIATIONS = {
    "zero": (
        "Z:85 IY:90 R:85 OW1:100 OW2:130",
        "Z:85 IH:90 R:85 OW1:100 OW2:130",
    ),
    "one": ("W:115 AH:150 N:110",),
    "two": ("TCL:20 T:14 HH:55 UX:140 UW:100", "TCL:20 T:14 HH:55 UW:240"),
    "three": ("TH:95 R:120 IY:220",),
    "four": ("F:100 AO:150 ER:140", "F:100 AO:260"),
    "five": ("F:95 AY1:150 AY2:100 V:75",),
    "six": ("S:115 IH:95 KCL:55 K:16 S:130",),
    "seven": ("S:110 EH:110 V:55 AX:60 N:110",),
    "eight": ("EY1:100 EY2:105 TCL:60 T_END:14 HH_END:50",),
    "nine": ("N:90 AY1:130 AY2:105 N:120",),
}
WORDS = tuple(PRONUNCIATIONS)

# Formants relative to a man's; range of the mean fundamental frequency in Hz.
GROUPS = {
    "man": (1.00, 75, 140),
    "woman": (1.16, 150, 230),
    "child": (1.30, 210, 290),
}
BANDWIDTHS_HZ = (60, 85, 130, 200, 260, 320)  # of six formants
NASAL_ZERO_HZ = 950  # frequency that the nose absorbs in an adult man's N
NASAL_ZERO_WIDTH_HZ = 120  # bandwidth of this absorption
TRACT_GAIN = 2.4  # gain of the voice relative to consonant noise


@dataclasses.dataclass(frozen=True)
class Speaker:
    """The properties of a voice, which are the same in all of its words."""

    group: str  # "man", "woman" or "child"
    formant_scale: float  # relative to an adult man's formants
    f0_hz: float  # mean fundamental frequency
    f0_range: float  # range of the pitch, relative to its mean
    accent: dict[str, np.ndarray]  # phone: factors on its formants, [3]
    upper_formants_hz: np.ndarray  # fourth to sixth, for all phones, [3]
    bandwidth_scale: float  # factor on the bandwidths of all formants
    open_quotient: float  # share of a period in which the glottis is open
    slope_db: float  # tilt of the voiced spectrum, dB per octave
    breathiness: float  # noise in the voice, relative to its pulses
    jitter: float  # relative deviation of the pitch, from frame to frame
    shimmer: float  # relative deviation of amplitude, from pulse to pulse
    noise_scale: float  # factor on the frequency of consonant noise
    noise_gain: dict[str, float]  # phone: factor on its noise, 1 if left out
    pronunciation: dict[str, str]  # word: one of its PRONUNCIATIONS
    tempo: float  # factor on all durations


def draw_speaker(rng: Random) -> Speaker:
    """Draws a random speaker: a man (50%), a woman (40%) or a child (10%).

    Args:
      rng: Random number generator.

    Returns:
      The speaker.
    """
    group = str(rng.choice(list(GROUPS), p=[0.5, 0.4, 0.1]))
    formant_scale, f0_low_hz, f0_high_hz = GROUPS[group]
    formant_scale = rng.normal(formant_scale, 0.05)
    sibilance, burst, release = rng.uniform((0.5, 0.5, 0.35), (1.4, 1.5, 1.3))
    return Speaker(
        group=group,
        formant_scale=formant_scale,
        f0_hz=rng.uniform(f0_low_hz, f0_high_hz),
        f0_range=rng.uniform(0.08, 0.4),
        accent={p: np.exp(rng.normal(0, 0.05, 3)) for p in PHONES},
        upper_formants_hz=formant_scale
        * rng.uniform((3200, 4000, 4900), (3700, 4600, 5500)),
        bandwidth_scale=rng.uniform(0.7, 1.5),
        open_quotient=rng.uniform(0.45, 0.75),
        slope_db=rng.uniform(-3, 3),
        breathiness=rng.uniform(0.02, 0.2),
        jitter=rng.uniform(0.003, 0.02),
        shimmer=rng.uniform(0.02, 0.12),
        noise_scale=rng.uniform(0.8, 1.2),
        noise_gain={
            **dict.fromkeys(("S", "Z"), sibilance),
            **dict.fromkeys(("T", "HH", "K"), burst),
            **dict.fromkeys(("T_END", "HH_END"), release),
        },
        pronunciation={
            word: ways[0] if rng.random() < 0.6 else ways[-1]
            for word, ways in PRONUNCIATIONS.items()
        },
        tempo=np.exp(rng.normal(0, 0.16)),
    )


def render_word(word: str, speaker: Speaker, rng: Random) -> np.ndarray:
    """Synthesises a spoken word without noise and reverberation.

    Args:
      word: One of `WORDS`.
      speaker: Voice that speaks the word.
      rng: Random number generator; it makes each repetition of a word differ.

    Returns:
      Audio at 16 kHz with a peak of 1, `[num_samples]`.

    Raises:
      ValueError: The word is not one of `WORDS`.
    """
    if word not in PRONUNCIATIONS:
        raise ValueError(f"no word {word!r}: choose one of {', '.join(WORDS)}")
    targets = _draw_targets(word, speaker, rng)
    voiced, noise = _excite(targets, speaker, rng)
    sound = _filter(voiced, _tract_response(targets, speaker))
    sound += _filter(noise, _noise_response(targets))
    return sound / np.abs(sound).max()


def _draw_targets(
    word: str, speaker: Speaker, rng: Random
) -> dict[str, np.ndarray]:
    """Draws the course of each field of `Phone` over a word.

    Returns:
      Values in each frame, `[num_frames]`, by the name of the field.
    """
    names, lengths = zip(
        *(p.split(":") for p in speaker.pronunciation[word].split()),
        strict=True,
    )
    secs = np.array([int(ms) / 1000 for ms in lengths]) * speaker.tempo
    secs *= np.exp(rng.normal(0, 0.1, len(names)))
    num_frames = np.round(secs * SAMPLE_RATE / FRAME_LEN).astype(int)
    # A few more frames before and after, for the audio to rise and to decay.
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
    tracks["voicing"] *= np.linspace(1.0, 0.8, len(order))  # breath runs out
    for name in ("voicing", "aspiration", "frication"):
        tracks[name][:4] = tracks[name][-6:] = 0.0
    # Articulators move slowly, each at its own speed: smoothing makes glides.
    glide = int(rng.integers(11, 20))
    widths = dict.fromkeys(("f1_hz", "f2_hz", "f3_hz"), glide)
    widths |= {"voicing": 7, "aspiration": 5, "frication": 3, "nasality": 7}
    for name, width in widths.items():
        tracks[name] = _smooth(tracks[name], width)
    return tracks


def _smooth(track: np.ndarray, width: int) -> np.ndarray:
    """Smooths by a Hann window of `width` frames, or one more if even."""
    kernel = np.hanning((width | 1) + 2)[1:-1]
    padded = np.pad(track, len(kernel) // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid")


def _draw_f0(num_frames: int, speaker: Speaker, rng: Random) -> np.ndarray:
    """Draws a pitch contour in Hz, `[num_frames]`.

    Most contours fall, with a hump on the falling line.
    """
    u = np.linspace(0, 1, num_frames)
    hump = np.sin(np.pi * (u * rng.uniform(0.6, 1.4) + rng.uniform(-0.2, 0.3)))
    fall = rng.uniform(-0.25, 0.9) * u
    contour = rng.normal(0, 0.35) + 0.5 * hump - fall
    f0_hz = speaker.f0_hz * np.exp(rng.normal(0, 0.06))
    return np.clip(f0_hz * (1 + speaker.f0_range * contour), 50, 500)


def _excite(
    targets: dict[str, np.ndarray], speaker: Speaker, rng: Random
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesises the sources: glottal signal and consonant noise.

    The glottal pulse is the derivative of the flow u**2 - u**3 over the open
    phase, u from 0 to 1: it ends in the jump that excites the formants.

    Returns:
      Glottal signal, which the vocal tract filters, and consonant noise,
      `[num_frames * FRAME_LEN]` each.

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
    """Computes the response of a second-order resonator with gain 1 at 0 Hz.

    Args:
      centre_hz: Centre frequency in Hz, `[num_frames]`.
      width_hz: Bandwidth in Hz, `[num_frames]`.

    Returns:
      Complex frequency response, `[num_frames, FFT_LEN // 2 + 1]`.

    Source: Klatt (1980), equation 1.
    """
    centre_hz = np.minimum(centre_hz, 7200)  # 8 kHz and more would alias
    delay = np.exp(-2j * np.pi * np.arange(FFT_LEN // 2 + 1) / FFT_LEN)
    r = np.exp(-np.pi * width_hz / SAMPLE_RATE)[:, None]
    b = 2 * r * np.cos(2 * np.pi * centre_hz / SAMPLE_RATE)[:, None]
    c = -(r**2)
    return (1 - b - c) / (1 - b * delay - c * delay**2)


def _tract_response(
    targets: dict[str, np.ndarray], speaker: Speaker
) -> np.ndarray:
    """Computes the frequency response of the vocal tract in each frame.

    Returns:
      Complex frequency response, `[num_frames, FFT_LEN // 2 + 1]`.
    """
    f_hz = np.fft.rfftfreq(FFT_LEN, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(f_hz, 80) / 1000)
    response = TRACT_GAIN * 10 ** (speaker.slope_db * octaves / 20)

    nasality = targets["nasality"]
    centres_hz = [targets["f1_hz"], targets["f2_hz"], targets["f3_hz"]]
    centres_hz += [np.full_like(nasality, f) for f in speaker.upper_formants_hz]
    # The soft walls of the nasal tract damp the formants.
    damping = speaker.bandwidth_scale * (1 + 0.8 * nasality)
    for centre_hz, width_hz in zip(centres_hz, BANDWIDTHS_HZ, strict=True):
        response = response * _resonance(centre_hz, width_hz * damping)

    zero_hz = np.full_like(nasality, NASAL_ZERO_HZ * speaker.formant_scale)
    zero_width_hz = np.full_like(nasality, NASAL_ZERO_WIDTH_HZ)
    nose = 1 / np.abs(_resonance(zero_hz, zero_width_hz))
    return response * (1 + nasality[:, None] * (np.clip(nose, 0.08, 1) - 1))


def _noise_response(targets: dict[str, np.ndarray]) -> np.ndarray:
    """Computes the frequency response of consonant noise in each frame.

    It is a Gaussian band.

    Returns:
      Real frequency response, `[num_frames, FFT_LEN // 2 + 1]`.
    """
    f_hz = np.fft.rfftfreq(FFT_LEN, 1 / SAMPLE_RATE)
    offset_hz = f_hz - targets["noise_hz"][:, None]
    bell = np.exp(-((offset_hz / targets["noise_width_hz"][:, None]) ** 2) / 2)
    return bell * f_hz / (f_hz + 600)  # there is little below 600 Hz


def _filter(source: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Filters a signal by a response that changes from frame to frame.

    Args:
      source: Signal, `[num_frames * FRAME_LEN]`.
      response: Frequency response, `[num_frames, FFT_LEN // 2 + 1]`.

    Returns:
      Sum of the filtered windows, `[num_frames * FRAME_LEN]`.
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
