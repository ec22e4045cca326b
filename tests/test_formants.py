"""Tests the synthesised voices by phonetic measurements.

Pitch is found by autocorrelation, formants by linear prediction.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib

import numpy as np
import pytest
import scipy.linalg
import scipy.signal

from digits import formants

ROOT = pathlib.Path(formants.__file__).parents[1]
SAMPLE_RATE = 16000
Random = np.random.Generator


def speakers(group: str, count: int, rng: Random) -> list[formants.Speaker]:
    found: list[formants.Speaker] = []
    while len(found) < count:
        speaker = formants.draw_speaker(rng)
        found += [speaker] if speaker.group == group else []
    return found


def neutral_man(rng: Random) -> formants.Speaker:
    """A man with textbook formants, a low steady voice and no accent."""
    man = speakers("man", 1, rng)[0]
    return dataclasses.replace(
        man,
        formant_scale=1.0,
        f0_hz=90.0,
        f0_range=0.0,
        accent={phone: np.ones(3) for phone in formants.PHONES},
        bandwidth_scale=1.0,
        slope_db=0.0,
        breathiness=0.02,
        noise_scale=1.0,
        noise_gain={},
        pronunciation={w: p[0] for w, p in formants.PRONUNCIATIONS.items()},
        tempo=1.0,
    )


def measure_f0(sound: np.ndarray) -> float:
    """Returns the pitch in Hz of the loudest 64 ms: its strongest period."""
    power = np.convolve(sound**2, np.ones(1024), "valid")
    piece = sound[int(power.argmax()) :][:1024] * np.hanning(1024)
    correlation = np.correlate(piece, piece, "full")[1023:]
    shortest, longest = SAMPLE_RATE // 400, SAMPLE_RATE // 60
    period = shortest + int(correlation[shortest:longest].argmax())
    return SAMPLE_RATE / period


def measure_formants(vowel: np.ndarray) -> np.ndarray:
    """Returns the two lowest resonances in Hz, by linear prediction."""
    vowel = scipy.signal.resample_poly(vowel, 5, 8)  # to 10 kHz: 5 formants
    vowel = np.diff(vowel, prepend=0) * np.hanning(len(vowel))
    r = np.correlate(vowel, vowel, "full")[len(vowel) - 1 :][:13]
    predictor = scipy.linalg.solve_toeplitz(r[:-1], r[1:])
    roots = np.roots(np.r_[1, -predictor])
    hz = np.angle(roots) * 10000 / (2 * np.pi)
    bandwidth_hz = -np.log(np.abs(roots)) * 10000 / np.pi
    return np.sort(hz[(hz > 150) & (bandwidth_hz < 400)])[:2]


def measure_vowel(
    word: str, place: float, speaker: formants.Speaker, seed: int = 0
) -> np.ndarray:
    """Returns the median F1 and F2 over nine takes, at a place in the word."""
    rng = np.random.default_rng(seed)
    heard = []
    for _ in range(9):
        sound = formants.render_word(word, speaker, rng)
        middle = int(place * len(sound))
        heard.append(measure_formants(sound[middle - 320 : middle + 320]))
    return np.median(heard, axis=0)


def centroid_hz(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return np.average(
        np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE), weights=power
    )


def test_men_women_and_children_speak(rng: Random) -> None:
    groups = collections.Counter(
        formants.draw_speaker(rng).group for _ in range(300)
    )
    assert groups["man"] > groups["woman"] > groups["child"] > 10


def test_children_speak_higher_than_women_and_women_than_men(
    rng: Random,
) -> None:
    f0_hz = {
        group: np.median(
            [
                measure_f0(formants.render_word(word, speaker, rng))
                for speaker in speakers(group, 8, rng)
                for word in ("one", "nine")
            ]
        )
        for group in ("man", "woman", "child")
    }
    assert 75 < f0_hz["man"] < 150 < f0_hz["woman"] < 230 < f0_hz["child"] < 330


@pytest.mark.parametrize("f0_hz", [80, 120, 180, 270])
def test_voice_has_the_pitch_of_its_speaker(f0_hz: float, rng: Random) -> None:
    man = dataclasses.replace(neutral_man(rng), f0_hz=f0_hz)
    heard = [
        measure_f0(formants.render_word("four", man, rng)) for _ in range(7)
    ]
    assert np.median(heard) == pytest.approx(f0_hz, rel=0.1)


@pytest.mark.parametrize(
    ("word", "place", "f1_hz", "f2_hz"),
    [
        ("three", 0.85, 270, 2290),  # heed
        ("four", 0.45, 570, 840),  # hawed
        ("one", 0.50, 640, 1190),  # hud
        ("seven", 0.40, 530, 1840),  # head
    ],
)
def test_vowels_of_a_man_are_those_that_peterson_and_barney_measured(
    word: str, place: float, f1_hz: float, f2_hz: float, rng: Random
) -> None:
    found = measure_vowel(word, place, neutral_man(rng))
    np.testing.assert_allclose(found, [f1_hz, f2_hz], rtol=0.2)


def test_shorter_vocal_tract_has_higher_formants(rng: Random) -> None:
    man = neutral_man(rng)
    shorter = dataclasses.replace(man, formant_scale=1.25)
    ratio = measure_vowel("one", 0.5, shorter) / measure_vowel("one", 0.5, man)
    np.testing.assert_allclose(ratio, 1.25, rtol=0.1)


@pytest.mark.parametrize("word", ["six", "seven"])
def test_s_is_high_noise_and_the_vowel_after_it_is_low_tone(
    word: str, rng: Random
) -> None:
    for group in ("man", "woman", "child"):
        for speaker in speakers(group, 3, rng):
            sound = formants.render_word(word, speaker, rng)
            middle = int(0.4 * len(sound))
            assert centroid_hz(sound[600:1400]) > 3500
            assert centroid_hz(sound[middle - 400 : middle + 400]) < 2800


def test_t_of_eight_is_a_closure_and_then_a_burst(rng: Random) -> None:
    sound = formants.render_word("eight", neutral_man(rng), rng)
    level = np.sqrt(np.convolve(sound**2, np.ones(80) / 80, "same"))
    place = np.linspace(0, 1, len(sound))
    vowel = level[place < 0.5].max()
    closure = level[(place > 0.6) & (place < 0.75)].min()
    burst = level[(place > 0.7) & (place < 0.9)].max()
    assert closure < 0.02 * vowel
    assert 3 * closure < burst < vowel


def test_no_two_takes_are_the_same(rng: Random) -> None:
    man = neutral_man(rng)
    first, second = (formants.render_word("one", man, rng) for _ in "12")
    length = min(len(first), len(second))
    assert not np.allclose(first[:length], second[:length])


@pytest.mark.parametrize("word", ["ten", "Zero", ""])
def test_unknown_word_is_refused_with_the_choices(
    word: str, rng: Random
) -> None:
    with pytest.raises(ValueError, match="zero, one, two"):
        formants.render_word(word, neutral_man(rng), rng)
