"""Tests what `play` serves for a generator with labels."""

from __future__ import annotations

import dataclasses
import io
import re
import urllib.parse
import zipfile

import numpy as np
import pytest
import small_gan
import soundfile
from http_client import PORT, RATE, Client, assert_refused, clip_of, get

import gan as gan_lib
from modes import latents, play, recipes

WORDS = ("nine", "Señor & co", "zero")
SAID = [urllib.parse.quote(word) for word in WORDS]


@pytest.fixture(scope="module")
def speaker() -> gan_lib.GAN:
    """A generator that knows three words, its weights averaged."""
    config = dataclasses.replace(small_gan.SMALL, num_labels=len(WORDS))
    return small_gan.build(config=config, ema_decay=0.9)


@pytest.fixture(scope="module")
def word_client(speaker: gan_lib.GAN) -> Client:
    """What asks for words."""
    instrument = play.Instrument(speaker, RATE, WORDS)
    about = {"words": WORDS, "model": "wavegan", "step": 7}
    return play.make_app(instrument, about, PORT).test_client()


@pytest.mark.parametrize("label", range(len(WORDS)))
def test_a_words_clip_is_the_one_of_its_label(
    word_client: Client, speaker: gan_lib.GAN, label: int
) -> None:
    z = latents.sample_z(1, 3, 7)
    expected = speaker.generate(z, np.array([label], np.int32)).numpy()[0]
    audio = clip_of(word_client, f"seed=7&word={SAID[label]}")
    np.testing.assert_allclose(audio, expected, atol=0.51 / 32768 + 1e-6)


def test_a_morph_goes_from_word_to_word(word_client: Client) -> None:
    ends = [
        clip_of(word_client, f"seed={seed}&word={word}")
        for seed, word in ((3, SAID[2]), (4, SAID[0]))
    ]
    way = [
        clip_of(
            word_client,
            f"seed=3&to=4&mix={mix}&path=slerp&word={SAID[2]}&to_word={SAID[0]}",
        )
        for mix in ("0", "0.5", "1")
    ]
    np.testing.assert_allclose(way[0], ends[0], atol=1.01 / 32768)
    np.testing.assert_allclose(way[2], ends[1], atol=1.01 / 32768)
    for end in ends:
        assert np.abs(way[1] - end).max() > 10 / 32768


def test_between_two_words_their_vectors_are_mixed(
    speaker: gan_lib.GAN,
) -> None:
    recipe = recipes.Recipe(3, 3, 0.25, "straight", "zero", "nine")
    np.testing.assert_array_equal(recipe.shares(WORDS), [[0.25, 0, 0.75]])
    audio = play.Instrument(speaker, RATE, WORDS).audio(recipe)
    embedding = speaker.ema_generator.get_layer("label_project")
    before = embedding.get_weights()[0]
    mixed = np.array([0.25, 0, 0.75], np.float32) @ before
    embedding.set_weights([np.stack([mixed] * 3)])
    label = np.array([1], np.int32)
    expected = speaker.generate(latents.sample_z(1, 3, 3), label).numpy()[0]
    embedding.set_weights([before])
    np.testing.assert_allclose(audio, expected, atol=1e-6)


def test_a_way_between_seeds_of_one_word_keeps_it() -> None:
    recipe = recipes.Recipe(3, 4, 0.3, "slerp", "zero", "zero")
    np.testing.assert_allclose(recipe.shares(WORDS), [[0, 0, 1]])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("seed=1", "Expected seed and word, or seed, to, .* and to_word"),
        ("seed=1&word=", "as word"),
        ("seed=1&word=two", "one of nine, Señor & co, zero as word"),
        ("seed=1&word=ZERO", "as word"),
        ("seed=1&word=zero&word=nine", "each once"),
        ("seed=1&word=%3Cscript%3E", "as word"),
        ("seed=1&word=zero&to_word=nine", "each once"),
        ("seed=1&to=2&mix=0.5&path=slerp", "each once"),
        ("seed=1&to=2&mix=0.5&path=slerp&word=zero", "each once"),
        (
            "seed=1&to=2&mix=0.5&path=slerp&word=zero&to_word=two",
            "as to_word",
        ),
    ],
)
def test_odd_words_are_refused(
    word_client: Client, query: str, names: str
) -> None:
    answer = get(word_client, f"/clip?{query}")
    assert_refused(answer, 400)
    assert re.search(names, answer.text), answer.text


def test_a_kit_says_a_word_for_each_seed(word_client: Client) -> None:
    answer = get(
        word_client, f"/kit?seed=1&word={SAID[1]}&seed=2&word={SAID[0]}"
    )
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.data)) as content:
        names = content.namelist()[:2]
        assert names == [
            "01_wavegan_Señor & co_00001.wav",
            "02_wavegan_Nine_00002.wav",
        ]
        for name, query in zip(
            names,
            (f"seed=1&word={SAID[1]}", f"seed=2&word={SAID[0]}"),
            strict=True,
        ):
            audio, _ = soundfile.read(
                io.BytesIO(content.read(name)), always_2d=True
            )
            np.testing.assert_array_equal(audio, clip_of(word_client, query))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("seed=1", "seeds, and a word for each"),
        ("seed=1&seed=2&word=nine", "seeds, and a word for each"),
        ("seed=1&word=nine&word=zero", "seeds, and a word for each"),
        ("seed=1&word=two", "one of nine, Señor & co, zero as word"),
        ("seed=1&word=nine&to=2", "seeds, and a word for each"),
    ],
)
def test_odd_kits_are_refused(
    word_client: Client, query: str, names: str
) -> None:
    answer = get(word_client, f"/kit?{query}")
    assert_refused(answer, 400)
    assert names in answer.text
