"""Tests features, the word classifier, labels, and the noise measure."""

import dataclasses
import hashlib
import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest
import reference_eval
import soundfile
import tensorflow as tf
import tiny_classifier

import loader
from digits import synthesizer
from eval import classifier, features, labels, noise, recipes
from system import device


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Some synthesised digits, `[4, 16384]`."""
    folder = tmp_path_factory.mktemp("digits")
    synthesizer.synthesize(folder, 40)
    paths = loader.find_audio(folder)[:4]
    return loader.load_clips(paths, features.SLICE_LEN, features.SAMPLE_RATE)


@pytest.mark.parametrize("frame_len", [1024, 2048])
def test_log_mel_equals_the_slow_reference(
    spoken: np.ndarray, frame_len: int
) -> None:
    fast = features.log_mel(spoken, frame_len)
    slow = [reference_eval.log_mel(clip, frame_len, 128) for clip in spoken]
    assert fast.shape == (4, 128, 128)
    np.testing.assert_allclose(fast, slow, atol=1e-4)


def test_log_mel_of_silence_is_the_log_of_the_floor() -> None:
    silent = features.log_mel(np.zeros([1, 512]))
    np.testing.assert_allclose(silent, np.log(1e-6), rtol=1e-5)
    assert silent.shape == (1, 4, 128)


def test_log_mel_takes_one_clip_a_channel_axis_and_many_clips(
    rng: np.random.Generator,
) -> None:
    audio = rng.normal(size=[features.BATCH_SIZE + 3, 300]).astype(np.float32)
    whole = features.log_mel(audio[..., None])
    np.testing.assert_allclose(whole[-1:], features.log_mel(audio[-1:]))
    np.testing.assert_allclose(whole[-1], features.log_mel(audio[-1]))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        features.log_mel(np.zeros([2, 3, 4]))


def test_fit_resamples_mixes_cuts_and_fills(rng: np.random.Generator) -> None:
    assert features.fit(np.full([2, 100, 1], 0.5), 16000)[0].sum() == 50
    seconds = np.arange(8192) / 8000
    half = np.sin(2 * np.pi * 440 * seconds)[None, :, None] * [2.0, 0.0]
    ours = features.fit(half, 8000)[0]
    full = np.sin(2 * np.pi * 440 * np.arange(16384) / 16000)
    np.testing.assert_allclose(ours[200:-200], full[200:-200], atol=1e-3)
    long = rng.normal(size=[1, 20000, 1])
    np.testing.assert_allclose(
        features.fit(long / 8, 16000)[0], long[0, :16384, 0] / 8, atol=2**-16
    )


def test_clips_are_rounded_as_files_are(rng: np.random.Generator) -> None:
    ours = features.fit(rng.uniform(-1, 1, [2, 9000, 1]), 8000) * 32768
    np.testing.assert_array_equal(ours, np.round(ours))


def test_the_noise_floor_is_at_minus_60_db_and_equal_for_all_clips(
    rng: np.random.Generator,
) -> None:
    audio = rng.normal(size=[3, 16384]).astype(np.float32)
    tones = features.add_noise_floor(audio.astype(np.float64)) - audio
    np.testing.assert_array_equal(tones[0], tones[2])
    level = 20 * np.log10(tones[0].std())
    np.testing.assert_allclose(level, -60, atol=0.2)


def test_noise_below_the_noise_floor_hardly_changes_the_features(
    spoken: np.ndarray, rng: np.random.Generator
) -> None:
    """Zeros after a word are -13.8 in log-mels, and noise at -90 dB is -4."""
    clips = spoken.copy()
    clips[:, 8000:] = 0
    faint = rng.normal(0, 10**-4.5, clips.shape).astype(np.float32)
    bare = features.log_mel(clips + faint) - features.log_mel(clips)
    assert np.abs(bare).max() > 5
    model = tiny_classifier.untrained().model
    ours, theirs = (
        classifier.predict_and_embed(model, audio)[1]
        for audio in (clips, clips + faint)
    )
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(ours).max()


def test_the_papers_classifier_has_its_shapes_and_parameters() -> None:
    model = classifier.build_classifier()
    assert model.input_shape == (None, 128, 128)
    assert model.output_shape == (None, 10)
    convs = 25 * 128 + 128 + 3 * (25 * 128 * 128 + 128)
    # Scale, offset and two averages of each batch normalisation.
    norms = 4 * (128 + 3 * 128 + 8 * 8 * 128)
    assert model.count_params() == convs + norms + 8 * 8 * 128 * 10 + 10


def test_probabilities_sum_to_1_and_features_are_means_of_maps(
    rng: np.random.Generator,
) -> None:
    word_classifier = tiny_classifier.untrained()
    audio = rng.normal(0, 0.1, [70, 16384]).astype(np.float32)
    probs, embeddings = classifier.predict_and_embed(
        word_classifier.model, audio
    )
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-5)
    maps = keras.Model(
        word_classifier.model.inputs,
        word_classifier.model.get_layer("pool_3").output,
    )([features.log_mel(features.add_noise_floor(audio[:5]))])
    np.testing.assert_allclose(
        embeddings[:5], np.mean(maps, axis=(1, 2)), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        probs[-2:],
        classifier.predict(word_classifier.model, audio[-2:]),
        atol=1e-5,
    )
    with pytest.raises(ValueError, match="16384"):
        classifier.predict(word_classifier.model, audio[:, :100])


def test_a_classifier_is_saved_without_code_and_loads_unchanged(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    word_classifier = tiny_classifier.untrained()
    word_classifier.save(tmp_path / "clf")
    with zipfile.ZipFile(tmp_path / "clf" / "classifier.keras") as archive:
        config = json.loads(archive.read("config.json"))
    kinds = {layer["class_name"] for layer in config["config"]["layers"]}
    assert "Lambda" not in kinds
    modules = {layer["module"] for layer in config["config"]["layers"]}
    assert modules == {"keras.layers"}
    loaded = classifier.load(tmp_path / "clf")
    assert loaded.card == word_classifier.card
    audio = rng.normal(0, 0.1, [3, 16384]).astype(np.float32)
    np.testing.assert_array_equal(
        classifier.predict(word_classifier.model, audio),
        classifier.predict(loaded.model, audio),
    )


def test_a_trained_classifier_is_saved_without_its_optimizer(
    tmp_path: pathlib.Path,
) -> None:
    word_classifier = tiny_classifier.untrained()
    word_classifier.save(tmp_path / "fresh")
    word_classifier.model.compile("adam", "mse")
    word_classifier.model.train_on_batch(
        np.zeros([2, 128, 128]), np.zeros([2, 3])
    )
    word_classifier.save(tmp_path / "trained")
    fresh, trained = (
        (tmp_path / name / "classifier.keras").stat().st_size
        for name in ("fresh", "trained")
    )
    assert trained == pytest.approx(fresh, rel=0.01)


def test_a_missing_or_damaged_classifier_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="eval.train_classifier"):
        classifier.load(tmp_path)
    tiny_classifier.untrained().save(tmp_path)
    whole = (tmp_path / "classifier.keras").read_bytes()
    (tmp_path / "classifier.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        classifier.load(tmp_path)
    tiny_classifier.untrained().save(tmp_path)
    (tmp_path / "card.json").write_text('{"words": ["a"]}')
    with pytest.raises(ValueError, match="damaged"):
        classifier.load(tmp_path)


@pytest.mark.slow
def test_training_learns_tones_and_reports_its_accuracy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "quick", tiny_classifier.RECIPE)
    for split, num_clips in (("train", 24), ("valid", 8)):
        tiny_classifier.write_tones(tmp_path / split, num_clips, seed=num_clips)
    word_classifier, confusion = recipes.train(tmp_path)
    assert word_classifier.words == ["high", "low", "mid"]
    assert word_classifier.card["accuracy"]["valid"] > 0.9
    assert word_classifier.card["num_clips"] == {"train": 72, "valid": 24}
    assert np.trace(confusion) / confusion.sum() == pytest.approx(
        word_classifier.card["accuracy"]["valid"]
    )


@pytest.mark.slow
def test_equal_seeds_train_equal_classifiers_and_progress_is_reported(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = dataclasses.replace(
        tiny_classifier.RECIPE, num_updates=4, check_every=2
    )
    monkeypatch.setitem(recipes.RECIPES, "quick", short)
    monkeypatch.setattr(recipes, "PRINT_SECS", 0)
    tiny_classifier.write_tones(tmp_path, 12)
    cards = [recipes.train(tmp_path, seed=seed)[0].card for seed in (0, 0, 1)]
    prints = [card["fingerprint"] for card in cards]
    assert prints[0] == prints[1] != prints[2]
    assert len({card["data_fingerprint"] for card in cards}) == 1
    lines = capsys.readouterr().err.splitlines()
    lines = lines[: len(lines) // len(cards)]  # of the first training
    assert (
        lines[0] == f"{tmp_path}: reading 36 clips of 3 words; then 4 updates"
    )
    assert lines.pop(1) == device.describe()
    for start, line in zip(
        ("update 2 of 4, about ", "check 1 of 2: ", "update 3 of 4, about ",
         "update 4 of 4, about 0 s left", "check 2 of 2: "),
        lines[1:],
        strict=True,
    ):  # fmt: skip
        assert line.startswith(start)


def test_ratings_of_certain_and_of_uncertain_predictions() -> None:
    sure = recipes.rate(np.eye(4), np.arange(4))
    assert sure == pytest.approx(
        {"accuracy": 1, "cross_entropy": 0, "calibration_error": 0}
    )
    probs = np.array([[0.7, 0.3]] * 10)
    true_labels = np.array([0] * 5 + [1] * 5)
    rated = recipes.rate(probs, true_labels)
    assert rated["accuracy"] == 0.5
    assert rated["calibration_error"] == pytest.approx(0.2)
    assert rated["cross_entropy"] == pytest.approx(-np.log([0.7, 0.3]).mean())


def test_augmentation_moves_clips_adds_noise_and_low_passes_some() -> None:
    click = np.zeros([64, 4096], np.float32)
    click[:, 2048] = 1
    seed = tf.constant([0, 1])
    louder, low_snr = map(np.array, recipes.augment(tf.constant(click), seed))
    again, _ = recipes.augment(tf.constant(click), seed)
    np.testing.assert_array_equal(louder, again)
    clear = ~low_snr[:, 0]
    assert 0.8 * 64 < clear.sum() < 64
    moves = np.abs(louder[clear]).argmax(1) - 2048
    assert np.abs(moves).max() <= recipes.MAX_SHIFT
    assert np.std(moves) > recipes.MAX_SHIFT / 3
    peaks = np.abs(louder).max(1) / np.median(np.abs(louder), axis=1)
    assert peaks[clear].min() > 40 > peaks[~clear].max()
    spectra = np.abs(np.fft.rfft(louder))
    dull = spectra[:, -20:].max(1) < 1e-3 * spectra.max(1)
    assert 5 < dull.sum() < 30


def write(path: pathlib.Path) -> None:
    """Writes a short silent audio file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(100), 16000)


@pytest.mark.parametrize(
    "name", ["{split}/Seven_{i}.wav", "{split}/seven/{i}_x.wav"]
)
def test_words_are_read_from_names_or_folders(
    tmp_path: pathlib.Path, name: str
) -> None:
    for split in ("train", "test"):
        for i in range(20):
            write(tmp_path / name.format(split=split, i=i))
            other = name.replace("even", "ix").format(split=split, i=i)
            write(tmp_path / other)
    words, splits = labels.find(tmp_path)
    assert words == ["seven", "six"]
    for found in splits.values():
        for path, label in zip(found.paths, found.labels, strict=True):
            assert words[label] in path.lower()
    # There is no valid/: it is taken from train/, and test/ stays.
    assert len(splits["test"].paths) == 40
    assert len(splits["train"].paths) + len(splits["valid"].paths) == 40
    assert 0 < len(splits["valid"].paths) < 12


def test_six_files_of_a_word_are_split_whatever_their_order(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(6):
        write(tmp_path / f"kick/{i}.wav")
        write(tmp_path / f"snare/{i + 100}.wav")
    write(tmp_path / labels.BACKGROUND / "pink_noise.wav")
    words, splits = labels.find(tmp_path)
    assert words == ["kick", "snare"]
    for split, num_files in (("train", 4), ("valid", 1), ("test", 1)):
        counts = np.bincount(splits[split].labels).tolist()
        assert counts == [num_files, num_files]
    everything = loader.find_audio(tmp_path)
    monkeypatch.setattr(loader, "find_audio", lambda _: everything[::-1])
    _, again = labels.find(tmp_path)
    for split in splits:
        assert {*again[split].paths} == {*splits[split].paths}


def test_a_large_set_is_split_by_checksums_of_names_alone(
    tmp_path: pathlib.Path,
) -> None:
    files = [(f"{tmp_path}/{i}.wav", "ab"[i % 2]) for i in range(2000)]
    dealt = labels._deal(files, ["valid", "test"])
    for split, tenths in (("valid", {0}), ("test", {1})):
        found = {
            hashlib.sha1(pathlib.Path(path).name.encode()).digest()[:8]
            for path, _ in dealt[split]
        }
        assert {int.from_bytes(start, "big") % 10 for start in found} == tenths
    assert sorted(sum(dealt.values(), [])) == sorted(files)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"One_{i}.wav" for i in range(9)], "expected two words"),
        ([f"kick{i}.wav" for i in range(9)], "holds no word"),
        ([f"Song{i}_a.wav" for i in range(9)], "expected 4 or more"),
        ([f"{w}_{i}.wav" for w in "ab" for i in range(5)],
         "5 file.* 'a', of which 3 are for training"),
        ([f"train/A_{i}.wav" for i in range(5)]
         + [f"train/B_{i}.wav" for i in range(5)] + ["valid/C_1.wav"],
         "'c'"),
    ],
)  # fmt: skip
def test_names_without_enough_words_or_clips_are_refused(
    tmp_path: pathlib.Path, names: list[str], words: str
) -> None:
    for name in names:
        write(tmp_path / name)
    with pytest.raises(ValueError, match=words):
        labels.find(tmp_path)


def test_noise_weights_are_within_a_tenth_of_the_authors() -> None:
    # From the file of the authors' repository, by frequency bin.
    authors = {0: 0.9361, 1: 0.0484, 2: 0.0320, 64: 0.0433, 128: 0.0444}
    authors |= {256: 0.1373, 1024: 0.3564, 4096: 1.0}
    for index, value in authors.items():
        assert noise.weights()[index] == pytest.approx(value, rel=0.1)
    assert noise.weights().shape == (8193,)


def test_noise_weights_are_the_response_of_random_generators() -> None:
    few = noise.respond(12, seed=1)
    peaks = np.arange(1024, 8193, 1024)
    assert set(np.argsort(few)[-8:]) <= {0, *peaks}
    np.testing.assert_allclose(few[peaks], noise.weights()[peaks], rtol=0.5)


def test_noise_weighs_tones_by_their_frequency() -> None:
    at = np.arange(16384) / 16384
    tones = np.cos(2 * np.pi * np.array([[4096], [4000]]) * at)
    loud, quiet = noise.measure(tones.astype(np.float32))
    weights = noise.weights() / noise.weights().sum()
    assert loud == pytest.approx(8192 * weights[4096], rel=1e-3)
    assert quiet == pytest.approx(8192 * weights[4000], rel=1e-2)
    assert not noise.measure(np.zeros([1, 16384])).any()
