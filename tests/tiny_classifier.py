"""A small classifier that learns three tones in seconds, and their audio."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import soundfile

from eval import classifier, features, recipes

PITCHES_HZ = {"high": 3000, "low": 300, "mid": 1000}
RECIPE = recipes.Recipe(
    (2, 2, 4, 6),
    lambda _: keras.optimizers.Adam(0.01),
    num_updates=120,
    check_every=20,
    augment=True,
    batch_size=8,
)


def tone(word: str, rng: np.random.Generator) -> np.ndarray:
    """Makes a quiet or loud tone near the word's pitch, `[16384]`."""
    pitch = PITCHES_HZ[word] * rng.uniform(0.9, 1.1)
    seconds = np.arange(features.SLICE_LEN) / features.SAMPLE_RATE
    audio = rng.uniform(0.05, 0.5) * np.sin(2 * np.pi * pitch * seconds)
    return (audio + 0.001 * rng.normal(size=audio.shape)).astype(np.float32)


def write_tones(folder: pathlib.Path, num_clips: int, seed: int = 0) -> None:
    """Writes `num_clips` clips of each tone, such as `High_0.wav`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for word in PITCHES_HZ:
        for i in range(num_clips):
            soundfile.write(
                folder / f"{word.title()}_{i}.wav",
                tone(word, rng),
                features.SAMPLE_RATE,
            )


def untrained(num_words: int = 3, seed: int = 0) -> classifier.Classifier:
    """Makes a small classifier with random weights and a card."""
    keras.utils.set_random_seed(seed)
    words = ["high", "low", "mid", "none"][:num_words]
    return classifier.Classifier(
        classifier.build_classifier(num_words, RECIPE.widths),
        {
            "words": words,
            "accuracy": {"valid": 1 / num_words},
            "fingerprint": "0123456789abcdef",
        },
    )
