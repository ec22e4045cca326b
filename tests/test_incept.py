"""Tests the mode that scores checkpoints while a run trains."""

import dataclasses
import json
import pathlib
from typing import Any

import command_runner
import numpy as np
import pytest
import small_gan
import tensorflow as tf
import tiny_classifier
from command_runner import EMA, TINY

import wavegan
from eval import classifier, features, recipes
from modes import incept
from training import train_dir as train_dir_lib

INCEPT = ("--once", "--incept_n=40", "--incept_k=2")


def rows_of(train_dir: pathlib.Path) -> list[dict[str, float]]:
    """Reads the rows of scores.jsonl."""
    lines = (train_dir / "incept/scores.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_checkpoints_are_scored_once_and_the_best_is_kept(
    tmp_path: pathlib.Path, audio: pathlib.Path
) -> None:
    tiny_classifier.untrained().save(tmp_path / "clf")
    train_dir = tmp_path / "t"
    word_classifier = f"--incept_classifier={tmp_path / 'clf'}"
    for steps in (2, 4):
        command_runner.run(
            *("train", train_dir, f"--data_dir={audio}", *TINY, EMA),
            f"--train_max_steps={steps}",
        )
        done = command_runner.run("incept", train_dir, *INCEPT, word_classifier)
        assert done.returncode == 0, done.stderr
        assert f"step {steps}: inception score " in done.stdout
        assert "01234567 (33.3% on valid)" in done.stdout
    rows = rows_of(train_dir)
    assert [row["step"] for row in rows] == [2, 4]
    assert all(row["n"] == 40 and row["k"] == 2 for row in rows)
    z = np.load(train_dir / "incept/z.npy", allow_pickle=False)
    assert z.shape == (40, 8)
    tags = {
        value.tag
        for path in (train_dir / "incept/logs").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {"incept_mean", "_hparams_/session_start_info"} <= tags
    best = max(rows, key=lambda row: row["mean"])["step"]
    kept = train_dir_lib.TrainDir(train_dir / "incept/best")
    assert kept.checkpoints.steps() == [best]
    done = command_runner.run("generate", kept.path, "--n=2")
    assert f"step {best}: 2 clips" in done.stdout
    # It can be trained on: moments and all are there.
    names = {
        name
        for name, _ in tf.train.list_variables(kept.checkpoints.path(int(best)))
    }
    assert any(name.startswith("discriminator_optimizer/") for name in names)


def test_clips_are_compared_with_the_words_that_were_asked_for(
    warnings: list[str],
) -> None:
    word_classifier = tiny_classifier.untrained()
    words = word_classifier.words
    rng = np.random.default_rng(0)
    sounds = np.stack([tiny_classifier.tone(w, rng) for w in words])[
        ..., np.newaxis
    ]
    z = np.arange(20, dtype=np.float32)[:, np.newaxis]

    def generate(z: np.ndarray, label: np.ndarray) -> tf.Tensor:
        np.testing.assert_array_equal(label, z[:, 0] % 3)
        return tf.constant(sounds[(label + (z[:, 0] > 15)) % 3])

    probs, _ = classifier.predict_and_embed(
        word_classifier.model, features.fit(sounds, features.SAMPLE_RATE)
    )
    heard = probs.argmax(axis=1)
    labels = np.arange(20) % 3
    right = heard[(labels + (np.arange(20) > 15)) % 3] == labels
    rate = features.SAMPLE_RATE
    scores = incept.Scorer(word_classifier, z, rate, None, 2, words)(generate)
    assert scores["accuracy"] == pytest.approx(right.mean())
    for i, word in enumerate(words):
        share = right[labels == i].mean()
        assert scores[f"accuracy/{word}"] == pytest.approx(share)
    assert 0 < right.mean() < 1 and not warnings
    others = [*words[:2], "owl"]
    scores = incept.Scorer(word_classifier, z, rate, None, 2, others)(generate)
    assert not [name for name in scores if name.startswith("accuracy")]
    assert "does not know owl" in warnings[0]


@pytest.fixture(scope="module")
def nameless(
    tmp_path_factory: pytest.TempPathFactory, audio: pathlib.Path
) -> train_dir_lib.TrainDir:
    """Makes a train dir of files whose names hold no labels."""
    path = tmp_path_factory.mktemp("nameless") / "t"
    command_runner.run(
        *("train", path, f"--data_dir={audio}", *TINY), "--train_max_steps=1"
    )
    return train_dir_lib.TrainDir(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_clips": 19, "splits": 2}, "--incept_n is 19"),
        ({"splits": 0}, "--incept_k=0"),
        ({"words": ("kick", "snare")}, "holds no word.*--incept_classifier"),
        ({"classifier_dir": pathlib.Path("nowhere")}, "train_classifier"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    nameless: train_dir_lib.TrainDir, settings: dict[str, Any], words: str
) -> None:
    config = nameless.read_config(wavegan.WaveGANConfig)
    config = config.with_words(settings.pop("words", ()))
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        incept.incept(
            small_gan.build(), nameless, config, once=True, **settings
        )


def test_a_refusal_is_one_line(tmp_path: pathlib.Path) -> None:
    tiny_classifier.write_tones(tmp_path / "tones", 2)
    command_runner.run(
        *("train", tmp_path / "t", f"--data_dir={tmp_path / 'tones'}", *TINY),
        *("--data_labels=words", "--train_max_steps=1"),
    )
    done = command_runner.run("incept", tmp_path / "t", "--once")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "train_wavegan.py: no classifier can be trained"
    )


def test_a_run_without_words_is_scored_by_the_shipped_classifier(
    nameless: train_dir_lib.TrainDir,
) -> None:
    done = command_runner.run("incept", nameless.path, *INCEPT)
    assert done.returncode == 0, done.stderr
    assert "classifier e5cb43e2 (99.7% on valid)" in done.stdout
    assert "step 1: scoring 40 clips by the classifier e5cb" in done.stderr
    assert not (nameless.path / "incept/classifier").exists()


def test_the_shipped_classifier_is_the_default_for_words_it_knows(
    tmp_path: pathlib.Path,
) -> None:
    directory = train_dir_lib.TrainDir(tmp_path)
    for words in ((), ("two", "zero")):
        chosen = incept.default_classifier(directory, words)
        assert chosen == classifier.SHIPPED
    assert incept.default_classifier(directory, ("two", "owl")) is None
    own = tmp_path / "incept/classifier"
    own.mkdir(parents=True)
    (own / classifier.CARD_NAME).write_text('{"words": ["Two", "owl"]}')
    for mine in ([], ["two"], ["two", "owl"]):
        assert incept.default_classifier(directory, mine) == own
    chosen = incept.default_classifier(directory, ("zero",))
    assert chosen == classifier.SHIPPED


@pytest.mark.slow
def test_a_classifier_of_other_words_is_trained_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = dataclasses.replace(
        tiny_classifier.RECIPE, num_updates=8, check_every=4
    )
    monkeypatch.setitem(recipes.RECIPES, "quick", hasty)
    tiny_classifier.write_tones(tmp_path / "tones", 12)
    command_runner.run(
        *("train", tmp_path / "t", f"--data_dir={tmp_path / 'tones'}", *TINY),
        *("--data_labels=words", "--train_max_steps=1"),
    )
    directory = train_dir_lib.TrainDir(tmp_path / "t")
    config = directory.read_config(wavegan.WaveGANConfig)
    model: Any = config.model
    run = small_gan.build(config=model), directory, config
    incept.incept(*run, num_clips=20, splits=2, once=True)
    trained = classifier.load(tmp_path / "t/incept/classifier")
    assert trained.words == ["high", "low", "mid"]
    monkeypatch.delitem(recipes.RECIPES, "quick")  # no need for it any more
    incept.incept(*run, num_clips=20, splits=2, once=True)
    incept.incept(*run, num_clips=30, splits=3, once=True)
    assert [row["n"] for row in rows_of(directory.path)] == [20, 30]
