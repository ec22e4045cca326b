"""Tests the generation of words and phrases by models with labels."""

import pathlib
import re
from typing import Any

import command_runner
import matplotlib.image
import numpy as np
import pytest
import soundfile
import tiny_classifier
import wavs

import train_wavegan
import wavegan
from audio import edges, plots
from eval import classifier, features, labels
from modes import generate as generate_lib
from modes import latents, phrase, render
from modes import preview as preview_lib
from modes import release as release_lib
from modes import request as request_lib
from training import config as config_lib
from training import dataset, train_dir
from training import gan_model as model_lib

WORDS = ("hi_hat", "nine", "zero")
RATE = 16000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of audio files whose names tell words."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(4):
        for name in (f"Nine_{i}.wav", f"hi_hat/{i}.wav", f"Zero_{i}.wav"):
            wavs.write(folder / name, wavs.noise(300, seed=i))
    return folder


def make_train_dir(
    path: pathlib.Path, data: pathlib.Path, words: tuple[str, ...]
) -> train_dir.TrainDir:
    """Makes a train dir of step 3 as `train` would, but for the training."""
    directory = train_dir.TrainDir(path)
    config = config_lib.RunConfig(
        wavegan.WaveGANConfig(slice_len=256, dim=2),
        config_lib.DataConfig(dir=str(data), labels="words"),
    ).with_words(words)
    gan = train_wavegan.MODEL.build(directory, config)
    # As loud as after a training.
    gan.generator.set_weights([3 * w for w in gan.generator.get_weights()])
    model_lib.compile_gan(gan, config_lib.TrainConfig())
    with directory.lock():
        directory.write_config(config)
        directory.checkpoints.save(gan, 3)
    return directory


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, data: pathlib.Path
) -> train_dir.TrainDir:
    """A train dir of a model that knows those words."""
    return make_train_dir(tmp_path_factory.mktemp("words") / "t", data, WORDS)


def config_of(directory: train_dir.TrainDir) -> config_lib.RunConfig:
    """The config of a train dir."""
    return directory.read_config(wavegan.WaveGANConfig)


def generate(
    trained: train_dir.TrainDir, out_dir: pathlib.Path, **fields: Any
) -> dict[str, np.ndarray]:
    """What a request writes: 16-bit samples by the files' names."""
    generate_lib.generate(
        train_wavegan.MODEL.build(trained),
        trained,
        config_of(trained),
        request_lib.Request(**fields),
        generate_lib.write.Writing(),
        model="wavegan",
        out_dir=out_dir,
    )
    return read(out_dir)


def read(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """All files of a folder: samples by names without suffix."""
    return {
        str(path.relative_to(folder).with_suffix("")): soundfile.read(
            path, dtype="int16"
        )[0]
        for path in sorted(folder.rglob("*.*"))
        if path.suffix != ".json"
    }


def names_of(*vocabulary: str, **fields: Any) -> list[str]:
    """Names of the clips of a request."""
    clips = request_lib.Request(**fields).clips(vocabulary)
    return [clip.name for clip in clips]


def test_words_take_turns_by_seed() -> None:
    assert names_of("a", "b", "c", num_clips=4, seed=5) == [
        *("C_00005", "A_00006", "B_00007", "C_00008"),
    ]
    words = ("c", "a")
    assert names_of("a", "b", "c", num_clips=3, seed=8, words=words) == [
        *("C_00008", "A_00009", "C_00010"),
    ]
    assert names_of(num_clips=2) == ["00000", "00001"]


def test_a_walk_keeps_to_one_word() -> None:
    walk: dict[str, Any] = {"ends": (4, 7), "steps": 2}
    assert names_of("a", "b", "c", **walk) == [
        *("B_00004-00007_000", "B_00004-00007_001"),
    ]
    assert names_of("a", "b", "c", words=("c", "a"), **walk) == [
        *("C_00004-00007_000", "C_00004-00007_001"),
        *("A_00004-00007_000", "A_00004-00007_001"),
    ]
    request_lib.Request(words=("c", "a"), label="c", best=4, **walk)


@pytest.mark.parametrize(
    "word", ["seven", "hi_hat", "kick drum", "hi-hat", "straße", "3"]
)
def test_file_names_tell_their_word(word: str, tmp_path: pathlib.Path) -> None:
    (name,) = names_of(word, num_clips=1)
    path = tmp_path / f"{name}.wav"
    assert labels.word_of(str(path), tmp_path) == word


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"say": ("a",), "words": ("b",)}, "--say and --word"),
        ({"say": ("a",), "ends": (1, 2)}, "--say and --interpolate"),
        ({"say": ("a",), "label": "b", "best": 1}, "--say and --label"),
        ({"say": ("a",), "best": 2, "num_clips": 1}, "best is 2"),
        ({"say": ("a",), "concat": True}, "--say and --concat"),
        (
            {"words": ("a", "b", "a")},
            "word is 'a,b,a': expected each word once",
        ),
    ],
)
def test_contradictory_requests_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        request_lib.Request(**fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("three one four", ("three", "one", "four")),
        (" Three,  one\tfour,", ("three", "one\tfour")),
        ("kick drum, snare", ("kick drum", "snare")),
        ("", ()),
        (" , ", ()),
    ],
)
def test_phrases_are_split_into_words(
    text: str, words: tuple[str, ...]
) -> None:
    assert request_lib.split_words(text) == words


def test_the_command_says_words_in_turn_or_those_asked_for(
    trained: train_dir.TrainDir, tmp_path: pathlib.Path
) -> None:
    done = command_runner.run("generate", trained.path, "--n=4", "--seed=11")
    assert done.returncode == 0, done.stderr
    clips = read(trained.path / "generated")
    names = ["Nine_00013", "Zero_00011", "Zero_00014", "hi_hat/00012"]
    assert sorted(clips) == names
    flags = "--n=2", "--seed=13", "--word=Zero,nine", f"--out_dir={tmp_path}"
    done = command_runner.run("generate", trained.path, *flags)
    assert done.returncode == 0, done.stderr
    asked = read(tmp_path)
    assert sorted(asked) == ["Nine_00013", "Zero_00014"]
    for name, clip in asked.items():
        np.testing.assert_allclose(clip, clips[name], atol=1)
    zeros = generate(trained, tmp_path / "zeros", seed=13, words=("zero",))
    assert np.abs(zeros["Zero_00013"] - asked["Nine_00013"]).max() > 1


def test_the_command_says_a_phrase_in_one_voice(
    trained: train_dir.TrainDir, tmp_path: pathlib.Path
) -> None:
    say = "generate", trained.path, "--say=zero Nine zero", "--seed=3"
    done = command_runner.run(*say, "--n=1", f"--out_dir={tmp_path / 'a'}")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "a/phrases/zero_nine_zero_00003.wav"
    assert done.stdout == f"step 3: {path}\n"
    words = {
        word: generate(trained, tmp_path / word, seed=3, words=(word,))
        for word in ("zero", "nine")
    }
    parts = [
        edges.trim(
            words[word][f"{word.title()}_00003"][:, None] / 1.0,
            RATE,
            phrase.SILENCE_DB,
        )
        for word in ("zero", "nine", "zero")
    ]
    pause = np.zeros((round(phrase.PAUSE_SECS * RATE), 1))
    expected = [parts[0], pause, parts[1], pause, parts[2]]
    audio = read(tmp_path / "a/phrases")["zero_nine_zero_00003"]
    np.testing.assert_allclose(
        audio, np.concatenate(expected)[:, 0], atol=1.001
    )
    flags = "--n=2", "--format=flac", "--rate=8000", "--truncation=0.5"
    done = command_runner.run(*say, *flags, f"--out_dir={tmp_path / 'b'}")
    assert done.stdout == f"step 3: 2 phrases in {tmp_path / 'b/phrases'}\n"
    names = ["zero_nine_zero_00003.flac", "zero_nine_zero_00004.flac"]
    assert (
        sorted(path.name for path in (tmp_path / "b/phrases").iterdir())
        == names
    )


def test_a_long_phrase_has_a_short_name(
    trained: train_dir.TrainDir, tmp_path: pathlib.Path
) -> None:
    say = ("zero",) * 100
    (name,) = generate(trained, tmp_path, num_clips=1, say=say)
    name = name.removeprefix("phrases/")
    assert len(name) == generate_lib.MAX_PHRASE_NAME + len("_00000")


def test_a_classifier_chooses_among_words(
    trained: train_dir.TrainDir,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    word_classifier = tiny_classifier.untrained()
    monkeypatch.setattr(classifier, "load", lambda path: word_classifier)
    everything = generate(trained, tmp_path / "all", num_clips=6)
    generate_lib.generate(
        train_wavegan.MODEL.build(trained),
        trained,
        config_of(trained),
        request_lib.Request(
            num_clips=6, label=word_classifier.words[0], best=4
        ),
        generate_lib.write.Writing(),
        model="wavegan",
        out_dir=tmp_path / "best",
    )
    best = read(tmp_path / "best")
    assert len(best) == 4
    for name, clip in best.items():
        np.testing.assert_allclose(clip, everything[name], atol=1)


def test_a_classifier_chooses_the_voice_of_a_phrase(
    trained: train_dir.TrainDir,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The best voices are those whose words have the highest product."""
    word_classifier = tiny_classifier.untrained()
    word_classifier.card["words"] = ["Zero", "nine", "six"]
    monkeypatch.setattr(classifier, "load", lambda path: word_classifier)
    say = ("nine", "zero", "nine")
    phrases = generate(trained, tmp_path / "all", num_clips=6, say=say)
    best = generate(trained, tmp_path / "best", num_clips=6, say=say, best=2)
    gan = train_wavegan.MODEL.build(trained)
    train_dir.restore(gan, trained)
    correct = []
    for seed in range(6):
        z = latents.sample_z(1, gan.latent_dim, seed)
        audio = [
            np.asarray(gan.generate(z, np.array([WORDS.index(word)])))[0]
            for word in say
        ]
        probability = classifier.predict(
            word_classifier.model, features.fit(np.stack(audio), RATE)
        )
        nine, zero, again = probability[[0, 1, 2], [1, 0, 1]]
        correct.append(nine * zero * again)
    order = np.argsort(correct)[::-1][:2]
    names = [f"phrases/nine_zero_nine_{seed:05d}" for seed in order]
    assert sorted(best) == sorted(names)
    for name in names:
        np.testing.assert_allclose(best[name], phrases[name], atol=1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--word=zero,one",), ("--word is", "hi_hat, nine, zero; not one")),
        (("--say=zero one",), ("--say is", "hi_hat, nine, zero; not one")),
        (("--say= ,",), ("--say is", "expected words")),
        (("--say=zero", "--concat"), ("--say and --concat",)),
    ],
)
def test_odd_words_end_in_one_line(
    trained: train_dir.TrainDir,
    flags: tuple[str, ...],
    message: tuple[str, ...],
) -> None:
    done = command_runner.run("generate", trained.path, *flags)
    command_runner.assert_one_line(done, *message)


def test_a_model_without_words_says_so(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    make_train_dir(tmp_path / "t", audio, ())
    for flag in ("word", "say"):
        done = command_runner.run("generate", tmp_path / "t", f"--{flag}=seven")
        command_runner.assert_one_line(done, f"--{flag} is 'seven'", "no words")


@pytest.mark.parametrize("mode", ["preview", "release"])
def test_pictures_and_samples_have_a_row_for_each_word(
    trained: train_dir.TrainDir, tmp_path: pathlib.Path, mode: str
) -> None:
    run = train_wavegan.MODEL.build(trained), trained, config_of(trained)
    if mode == "preview":
        preview_lib.preview(*run, num_clips=7, once=True)
        name = "preview/00000003"
    else:
        release_lib.release(
            *run, model=train_wavegan.MODEL, num_clips=7, out_dir=tmp_path / "r"
        )
        trained = train_dir.TrainDir(tmp_path / "r")
        name = "samples"
    audio = soundfile.read(trained.path / f"{name}.wav", dtype="int16")[0]
    audio = audio.reshape(6, -1)
    np.testing.assert_array_equal(audio[:, 256:], 0)
    for row, word in enumerate(WORDS):
        for seed in range(2):
            (clip,) = generate(
                trained,
                tmp_path / f"{word}{seed}",
                num_clips=1,
                seed=seed,
                words=(word,),
            ).values()
            spoken = audio[2 * row + seed, :256]
            np.testing.assert_allclose(spoken, clip, atol=1)
    picture = matplotlib.image.imread(trained.path / f"{name}.png")
    # Three rows, and two groups of two columns.
    height = plots.BELOW + 3 * plots.HEIGHT + plots.ABOVE
    width = 2 * (plots.LEFT + 2 * plots.WIDTH + plots.RIGHT) + plots.COLOR_BAR
    sizes = [100 * height, 100 * width]
    np.testing.assert_allclose(picture.shape[:2], sizes, atol=1)


def test_few_clips_are_one_of_each_word() -> None:
    assert render.num_vectors(2, WORDS) == render.num_vectors(5, WORDS) == 1
    assert render.num_vectors(32, ()) == 32
    assert render._shown_columns(10, WORDS) == 4
    assert render._shown_columns(10, 30 * ("a",)) == 1
    z = latents.sample_z(2, 4, seed=0)
    tiled, rows = latents.rows_of_words(z, 3)
    np.testing.assert_array_equal(tiled, [*z, *z, *z])
    np.testing.assert_array_equal(rows, [0, 0, 1, 1, 2, 2])


def test_real_clips_are_those_of_the_rows_word(
    trained: train_dir.TrainDir, data: pathlib.Path
) -> None:
    config = config_of(trained)
    clips = dataset.real_clips_of_words(config, 5)
    assert clips is not None and clips.shape == (15, 256, 1)
    for row, word in zip(clips.reshape(3, 5, 256), WORDS, strict=True):
        paths = [
            path
            for path in data.rglob("*.wav")
            if labels.word_of(str(path), data) == word
        ]
        own = {
            soundfile.read(path, dtype="float32")[0][:256].tobytes()
            for path in paths
        }
        assert {clip.tobytes() for clip in row[:4]} == own
        np.testing.assert_array_equal(row[4], 0)
    gone = config.replace(dir=str(data / "gone"))
    assert dataset.real_clips_of_words(gone, 5) is None


def test_make_speak_says_words_of_the_weights_it_uses() -> None:
    root = command_runner.ROOT
    phrases = re.findall(r'--say "(.*)"', (root / "Makefile").read_text())
    assert phrases == [
        "zero one two three four five six seven eight nine",
    ]
