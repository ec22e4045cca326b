"""Tests how words in file names become labels."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import command_runner
import numpy as np
import pytest
import tensorflow as tf
import wavs
from test_dataset import Replicas, config_of

import loader
import wavegan
from eval import labels
from training import checkpoints, train_dir
from training import config as config_lib
from training import dataset as dataset_lib

WORDS = ("cat", "dog", "owl")


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> train_dir.TrainDir:
    made = train_dir.TrainDir(tmp_path / "t")
    made.path.mkdir()
    return made


@pytest.fixture
def spoken(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three words, 1 to 4 slices a file; the level of each tells its word."""
    folder = tmp_path / "in"
    for i in range(18):
        word = WORDS[i % 3]
        level = (1 + i % 3) / 8 + i / 1024
        name = f"{word.title()}_{i:02}.wav" if i < 9 else f"{word}/{i:02}.wav"
        wavs.write(folder / name, np.full(64 * (1 + i % 4), level))
    return folder


def heard(audio: Any) -> np.ndarray:
    """The labels that the levels tell."""
    return (np.asarray(audio)[..., 0, 0] * 8).astype(int) - 1


def stream(
    paths: list[str], numbers: list[int], count: int, **settings: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Slices and their labels."""
    settings = {"slice_len": 64, "batch_size": 5, **settings}
    batches = [
        (audio.numpy(), label.numpy())
        for audio, label in loader.make_dataset(
            paths, labels=numbers, **settings
        ).take(count)
    ]
    audio, label = (np.concatenate(part) for part in zip(*batches, strict=True))
    return audio, label


# The loader ------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle": False},
        {"random_offset": True, "seed": 9},
        {"overlap_ratio": 0.75, "pad_end": True},
        {"cache": "memory", "start": 7},
        {"repeat": False, "drop_remainder": False},
    ],
)
def test_a_label_follows_its_slice(
    spoken: pathlib.Path, settings: dict[str, Any]
) -> None:
    paths = loader.find_audio(spoken)
    numbers = [WORDS.index(labels.word_of(path, spoken)) for path in paths]
    audio, label = stream(paths, numbers, 30, **settings)
    assert label.dtype == np.int32
    assert set(label) == {0, 1, 2}
    np.testing.assert_array_equal(label, heard(audio))
    # And labels change nothing of the audio.
    plain = loader.make_dataset(
        paths, **{"slice_len": 64, "batch_size": 5, **settings}
    )
    np.testing.assert_array_equal(
        audio, np.concatenate([batch.numpy() for batch in plain.take(30)])
    )


def test_shapes_are_known_before_anything_is_read(spoken: pathlib.Path) -> None:
    paths = loader.find_audio(spoken)
    dataset = loader.make_dataset(
        paths, slice_len=64, batch_size=5, labels=[0] * len(paths)
    )
    audio, label = dataset.element_spec
    assert audio.shape == [5, 64, 1]
    assert label == tf.TensorSpec([5], tf.int32)


def test_a_slice_that_stands_in_for_a_bad_file_has_its_own_label(
    tmp_path: pathlib.Path,
) -> None:
    paths = [
        wavs.write(
            tmp_path / f"{i}.wav",
            np.full(64, np.nan if i in (1, 2) else (1 + i) / 8),
            codec=("WAV", "FLOAT"),
        )
        for i in range(5)
    ]
    audio, label = stream(
        paths, [*range(5)], 1, shuffle=False, max_bad=0.5, batch_size=5
    )
    np.testing.assert_array_equal(label, [0, 3, 3, 3, 4])
    np.testing.assert_array_equal(label, heard(audio))


def test_files_that_are_skipped_at_the_start_shift_no_label(
    tmp_path: pathlib.Path,
) -> None:
    paths = [
        wavs.write(tmp_path / f"{i}.wav", np.full(64, (1 + i) / 8))
        for i in range(4)
    ]
    pathlib.Path(paths[1]).write_bytes(b"no audio")
    audio, label = stream(paths, [*range(4)], 1, batch_size=6)
    np.testing.assert_array_equal(label, heard(audio))
    with pytest.raises(ValueError, match="zip"):
        stream(paths, [0, 1], 1)


# The words of a folder -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Seven_004ae714.wav", "seven"),
        ("seven/004ae714.wav", "seven"),
        ("Kick/deep/x_1.wav", "kick"),
        ("a_b_c.wav", "a"),
    ],
)
def test_a_word_is_a_folder_or_what_stands_before_an_underscore(
    name: str, word: str
) -> None:
    assert labels.word_of(f"/data/{name}", pathlib.Path("/data")) == word


@pytest.mark.parametrize("name", ["seven.wav", "_seven.wav"])
def test_a_name_that_tells_no_word_is_refused(
    name: str, tmp_path: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    wavs.write(tmp_path / "in" / name, wavs.noise(99))
    config = config_of(tmp_path / "in", labels="words")
    with pytest.raises(ValueError, match=rf"{name} holds no word: expected"):
        dataset_lib.find(config, directory)


def test_words_are_numbered_in_alphabetical_order(
    spoken: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    found = dataset_lib.find(config_of(spoken, labels="words"), directory)
    assert found.words == WORDS
    assert found.labels is not None
    for path, label in zip(found.paths, found.labels, strict=True):
        assert WORDS[label] in path.lower()
    without = dataset_lib.find(config_of(spoken), directory)
    assert without.words == () and without.labels is None


def test_a_train_folder_is_no_word(
    spoken: pathlib.Path, directory: train_dir.TrainDir, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "data").mkdir()
    spoken.rename(tmp_path / "data/train")
    config = config_of(tmp_path / "data", labels="words")
    assert dataset_lib.find(config, directory).words == WORDS


def test_background_noise_is_no_word(
    spoken: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    wavs.write(spoken / labels.BACKGROUND / "pink_noise.wav", wavs.noise(99))
    for setting, num_files in (("words", 18), ("", 19)):
        found = dataset_lib.find(config_of(spoken, labels=setting), directory)
        assert len(found.infos) == num_files
    before = config_of(spoken, labels="words").with_words(
        (labels.BACKGROUND, *WORDS)
    )
    assert len(dataset_lib.find(before, directory).infos) == 19


def test_a_run_keeps_its_words(
    spoken: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    for path in [*spoken.glob("Cat_*"), *spoken.glob("cat/*")]:
        path.unlink()
    config = config_of(spoken, labels="words").with_words(WORDS)
    found = dataset_lib.find(config, directory)
    assert found.words == WORDS
    assert found.labels is not None and set(found.labels) == {1, 2}
    wavs.write(spoken / "Emu_1.wav", wavs.noise(99))
    with pytest.raises(
        ValueError, match="say emu, but .* learns cat, dog, owl"
    ):
        dataset_lib.find(config, directory)


def test_one_word_alone_is_refused(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    for i in range(3):
        wavs.write(tmp_path / "in" / f"Dog_{i}.wav", wavs.noise(99))
    with pytest.raises(ValueError, match="labels is 'words': .* say 'dog'"):
        dataset_lib.find(config_of(tmp_path / "in", labels="words"), directory)


def test_words_that_no_file_may_be_named_by_are_refused_at_the_start(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    for word in ("dog", "c\\at"):
        wavs.write(tmp_path / "in" / word / "1.wav", wavs.noise(99))
    with pytest.raises(ValueError, match="words has .*: expected plain words"):
        dataset_lib.find(config_of(tmp_path / "in", labels="words"), directory)


@pytest.mark.parametrize("workers", [1, 2])
def test_replicas_get_the_labels_of_their_rows(
    spoken: pathlib.Path, directory: train_dir.TrainDir, workers: int
) -> None:
    config = config_of(spoken, labels="words", batch_size=8)
    found = dataset_lib.find(config, directory)

    def take(strategy: Any, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        rows = dataset_lib.stream(
            found, config, directory, 3, lambda *_: None, strategy
        )
        return [(x.numpy(), label.numpy()) for x, label in rows.take(count)]

    alone = take(tf.distribute.get_strategy(), 3)
    shared = [
        take(
            Replicas(4, tf.distribute.InputContext(workers, i, 4)),
            3 * 4 // workers,
        )
        for i in range(workers)
    ]
    for step, (audio, label) in enumerate(alone):
        assert label.shape == (2, 8)
        np.testing.assert_array_equal(label, heard(audio))
        parts = [
            shared[i][step * 4 // workers + k]
            for i in range(workers)
            for k in range(4 // workers)
        ]
        for whole, column in zip(
            (audio, label), zip(*parts, strict=True), strict=True
        ):
            np.testing.assert_array_equal(np.concatenate(column, 1), whole)


# config.json -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "num_labels", "said"),
    [
        (["a/b", "c"], 2, "'a/b': expected plain words"),
        (["..\\a", "c"], 2, "expected plain words"),
        (["a\nb", "c"], 2, "expected plain words"),
        (["", "c"], 2, "'': expected plain words"),
        ([1, 2], 2, "words has 1: expected plain words"),
        ([["a"], "b"], 2, "expected plain words"),
        (["a", "a"], 2, "expected each word once"),
        (["a", "b"], 3, "num_labels is 3: expected 2"),
        (["a", "b"], 0, "num_labels is 0: expected 2"),
        ([], 3, "num_labels is 3: expected 0"),
        ("ab", 2, "words is 'ab': expected a list"),
        (None, 0, "words is None: expected a list"),
    ],
)
def test_damaged_words_are_named(
    words: Any, num_labels: int, said: str, tmp_path: pathlib.Path
) -> None:
    config = config_lib.to_json(config_of(tmp_path, labels="words"))
    config["data"]["words"] = words
    config["model"]["num_labels"] = num_labels
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json is .*damaged") as error:
        train_dir.TrainDir(tmp_path).read_config(wavegan.WaveGANConfig)
    assert said in str(error.value) and "\n" not in str(error.value)


# The command line ------------------------------------------------------------

LABELLED = (
    "--data_labels=words",
    "--train_augment=shift,polarity,gain,filter,noise",
    "--wavegan_spectral_critics=1",
    "--wavegan_spectral_dim=1",
)


@pytest.mark.slow
def test_a_labelled_run_that_is_killed_goes_on_as_if_nothing_had_been(
    spoken: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    flags = (*LABELLED, command_runner.EMA)
    command_runner.train(straight, spoken, *flags, "--train_max_steps=40")
    process = command_runner.start(
        *(
            "train",
            killed,
            f"--data_dir={spoken}",
            *command_runner.TINY,
            *flags,
        ),
        *("--train_max_steps=40", "--train_save_secs=0"),
    )
    command_runner.wait_for_checkpoint(process, killed, beyond=2)
    process.kill()
    process.communicate()
    # What is not said again is as it was.
    done = command_runner.run("train", killed, "--train_max_steps=40")
    assert done.returncode == 0, done.stderr
    assert "labels: cat (6), dog (6), owl (6)" in done.stderr
    command_runner.assert_same_run(straight, killed)
    config = train_dir.TrainDir(killed).read_config(wavegan.WaveGANConfig)
    assert config.data.words == WORDS
    assert config.model.num_labels == 3
    names = command_runner.weights(killed)
    assert any("spectral_critic_256" in name for name in names)
    assert checkpoints.Checkpoints(killed / "checkpoints").latest_step() == 40


def test_an_augmentation_that_is_unknown_ends_in_one_line(
    tmp_path: pathlib.Path,
) -> None:
    done = command_runner.run("train", tmp_path / "t", "--train_augment=echo")
    command_runner.assert_one_line(done, "--train_augment is 'echo': expected")
