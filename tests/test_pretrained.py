"""Tests float16 weight files, and the weights in pretrained/."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import command_runner
import keras
import matplotlib.image
import numpy as np
import pytest
import small_gan
import soundfile
from command_runner import EMA

import train_wavegan
import wavegan
from eval import classifier
from modes import latents, render
from modes import request as request_lib
from training import dataset, train_dir
from training import weights as weights_lib


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, audio: pathlib.Path
) -> pathlib.Path:
    """A train dir of four steps, averaged."""
    path = tmp_path_factory.mktemp("trained") / "t"
    command_runner.train(path, audio, EMA, "--train_max_steps=4")
    return path


@pytest.fixture(scope="module")
def released(trained: pathlib.Path) -> pathlib.Path:
    """What `release` made of it."""
    done = command_runner.run("release", trained, "--preview_n=5")
    assert done.returncode == 0, done.stderr
    return trained / "release"


def test_released_weights_are_the_runs_to_float16(
    trained: pathlib.Path, released: pathlib.Path
) -> None:
    weights = command_runner.weights(trained)
    for file, part in (
        (weights_lib.GENERATOR, "ema_generator"),
        ("discriminator.npz", "discriminator"),
    ):
        with np.load(released / file, allow_pickle=False) as packed:
            assert int(packed["step"]) == 4
            for name in set(packed.files) - {"step"}:
                key = name.replace("/", ".S")
                full = weights[f"{part}/{key}/.ATTRIBUTES/VARIABLE_VALUE"]
                assert packed[name].dtype == np.float16
                np.testing.assert_allclose(
                    packed[name].astype(float), full, rtol=5e-4, atol=1e-7
                )


def test_a_release_is_heard_seen_and_used_like_a_train_dir(
    trained: pathlib.Path, released: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = json.loads((released / "config.json").read_text())
    assert config["data"]["dir"] == "", "it travels"
    samples, rate = soundfile.read(released / "samples.wav")
    assert rate == 16000 and len(samples) == 5 * (256 + 8000)
    assert matplotlib.image.imread(released / "samples.png").std() > 0
    moved = tmp_path / "moved"
    shutil.copytree(released, moved)
    clips = {}
    for path in (trained, moved):
        done = command_runner.run("generate", path, "--n=3")
        assert "step 4: 3 clips" in done.stdout, done.stderr
        wavs = sorted((path / "generated").glob("*.wav"))
        clips[path] = np.stack([soundfile.read(wav)[0] for wav in wavs])
    assert clips[moved].shape == (3, 256)
    scale = np.abs(clips[trained]).max()
    np.testing.assert_allclose(
        clips[moved], clips[trained], atol=0.01 * scale + 1e-4
    )


def test_weights_pack_and_unpack(tmp_path: pathlib.Path) -> None:
    ours, theirs = small_gan.build(init=1), small_gan.build(init=2)
    path = tmp_path / "g.npz"
    path.write_bytes(weights_lib.pack(ours.generator, 7))
    assert weights_lib.unpack(theirs.generator, path) == 7
    np.testing.assert_array_equal(
        small_gan.flat(theirs.generator),
        small_gan.flat(ours.generator).astype(np.float16).astype(np.float32),
    )


@pytest.mark.parametrize(
    ("theirs", "rows"),
    [(3, [2, None]), (3, []), (0, [None, None])],
    ids=["other words", "no words asked for", "no words in the file"],
)
def test_words_take_their_own_weights_along(
    tmp_path: pathlib.Path, theirs: int, rows: list[int | None]
) -> None:
    def build(num_labels: int, init: int) -> keras.Model:
        config = dataclasses.replace(small_gan.SMALL, num_labels=num_labels)
        return small_gan.build(config=config, init=init).generator

    source, target = build(theirs, init=1), build(len(rows), init=2)
    path = tmp_path / "g.npz"
    path.write_bytes(weights_lib.pack(source, 7))
    before = {w.path: np.array(w) for w in target.weights}
    assert weights_lib.unpack(target, path, rows) == 7
    given = {
        w.path: np.asarray(w, np.float16).astype(np.float32)
        for w in source.weights
    }
    for weight in target.weights:
        expected = before[weight.path]
        if weight.path != weights_lib.LABELS:
            expected = given[weight.path]
        for label, row in enumerate(rows):
            if weight.path == weights_lib.LABELS and row is not None:
                expected[label] = given[weight.path][row]
        np.testing.assert_array_equal(weight, expected, err_msg=weight.path)
    if rows:
        with pytest.raises(ValueError, match="g.npz does not fit"):
            weights_lib.unpack(target, path, [3, 3])


@pytest.mark.parametrize("fault", ["cut", "text", "shape", "absent"])
def test_weights_that_do_not_fit_are_named(
    tmp_path: pathlib.Path, fault: str
) -> None:
    model = small_gan.build()
    path = tmp_path / "g.npz"
    content = weights_lib.pack(model.generator, 7)
    if fault == "cut":
        path.write_bytes(content[: len(content) // 2])
    if fault == "text":
        path.write_text("not found")
    if fault == "shape":
        path.write_bytes(weights_lib.pack(model.discriminator, 7))
    with pytest.raises(ValueError, match="g.npz does not fit"):
        weights_lib.unpack(model.generator, path)


# What comes with the program -------------------------------------------------

FOLDER = weights_lib.FOLDER
CONFIG = train_dir.TrainDir(FOLDER).read_config(wavegan.WaveGANConfig)
WORDS = CONFIG.data.words
GAN = train_wavegan.MODEL.build(train_dir.TrainDir(FOLDER))


def test_its_files_are_small_and_all_there() -> None:
    common = {
        weights_lib.GENERATOR,
        "discriminator.npz",
        "config.json",
        "README.md",
        "samples.wav",
        "samples.png",
    }
    spectral = {f"{critic.name}.npz" for critic in GAN.spectral_critics}
    for folder, expected in (
        (FOLDER, common | spectral | {"specgan", "classifier", "drums"}),
        (FOLDER / "drums", common | spectral),
        (FOLDER / "specgan", common | {"moments.npz"}),
        (
            classifier.SHIPPED,
            {"classifier.keras", "card.json", "confusion.png", "README.md"},
        ),
    ):
        assert {path.name for path in folder.iterdir()} == expected
        sizes = [p.stat().st_size for p in folder.iterdir() if p.is_file()]
        assert max(sizes) < 16 * 2**20
        card = (folder / "README.md").read_text()
        assert "CC BY-SA 4.0" in card and "Free Spoken Digit Dataset" in card


def test_the_shipped_classifier_has_the_fingerprint_of_its_card() -> None:
    shipped = classifier.load(classifier.SHIPPED)
    assert shipped.name == "e5cb43e2 (99.7% on valid)"
    weights = shipped.model.get_weights()
    assert classifier.fingerprint(weights) == shipped.card["fingerprint"]
    sizes = [path.stat().st_size for path in classifier.SHIPPED.iterdir()]
    assert sum(sizes) < 4e6


def test_it_says_the_same_in_another_process(tmp_path: pathlib.Path) -> None:
    hashes = []
    for folder in ("a", "b"):
        done = command_runner.run(
            *("generate", "--pretrained", "--n=4", "--seed=3"),
            f"--out_dir={tmp_path / folder}",
        )
        assert done.returncode == 0, done.stderr
        request = request_lib.Request(num_clips=4, seed=3)
        wavs = [
            tmp_path / folder / f"{clip.name}.wav"
            for clip in request.clips(WORDS)
        ]
        hashes.append(
            [hashlib.sha256(wav.read_bytes()).hexdigest() for wav in wavs]
        )
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 4


def test_its_clips_are_words_not_hum(tmp_path: pathlib.Path) -> None:
    """Loud somewhere, silent after the word, and unlike one another."""
    weights_lib.load(GAN, FOLDER)
    z = latents.sample_z(16, GAN.latent_dim, seed=0)
    labels = dataset.labels_in_turn(16, GAN.num_labels)
    audio = render.generate_audio(GAN.generate, z, labels)
    clips = np.stack(list(audio))[..., 0]
    assert clips.shape == (16, CONFIG.model.slice_len)
    loudness = np.abs(clips).max(axis=1)
    assert np.median(loudness) > 0.3
    frames = clips.reshape(16, 32, -1).std(axis=2)
    assert np.median(frames[:, -4:] / frames.max(axis=1, keepdims=True)) < 0.1
    likeness = np.corrcoef(np.abs(np.fft.rfft(clips)))
    assert np.median(likeness[~np.eye(16, dtype=bool)]) < 0.9


@pytest.mark.slow
def test_training_goes_on_from_it(
    tmp_path: pathlib.Path, audio: pathlib.Path
) -> None:
    done = command_runner.run(
        *("train", tmp_path / "t", "--pretrained", f"--data_dir={audio}"),
        *("--train_max_steps=1", "--train_batch_size=2"),
    )
    assert done.returncode == 0, done.stderr
    assert f"starting from {FOLDER}" in done.stderr
    directory = train_dir.TrainDir(tmp_path / "t")
    config = directory.read_config(wavegan.WaveGANConfig)
    assert config.model == CONFIG.with_words(()).model
    assert config.train == CONFIG.replace(batch_size=2, max_steps=1).train
    ours = command_runner.weights(tmp_path / "t")
    with np.load(FOLDER / weights_lib.GENERATOR, allow_pickle=False) as packed:
        for name in set(packed.files) - {"step", weights_lib.LABELS}:
            key = name.replace("/", ".S")
            moved = ours[f"generator/{key}/.ATTRIBUTES/VARIABLE_VALUE"]
            # One step of Adam moves no weight by much more than its rate.
            np.testing.assert_allclose(moved, packed[name], atol=4e-3)


def test_the_clearest_of_eight_voices_says_a_phrase(
    tmp_path: pathlib.Path,
) -> None:
    """The shipped classifier chooses, unless --n or --best is given."""
    say = "generate", "--pretrained", "--say=three one four", "--seed=7"
    done = command_runner.run(*say, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "generated/phrases").iterdir()
    assert 7 <= int(path.stem.removeprefix("three_one_four_")) < 15
    assert f"{path.name}, the best of 8: heard as" in done.stdout
    done = command_runner.run(*say, "--n=1", "--out_dir=one", cwd=tmp_path)
    assert done.stdout.endswith(": one/phrases/three_one_four_00007.wav\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("preview", "--pretrained"), ("--pretrained", "preview")),
        (("generate", "t", "--pretrained"), ("t and --pretrained",)),
        (
            ("train", "t", "--pretrained", "--wavegan_dim=3"),
            ("--wavegan_dim is 3",),
        ),
    ],
)
def test_odd_uses_end_in_one_line(
    args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    command_runner.assert_one_line(command_runner.run(*args), *words)


def test_drums_are_asked_for_by_name(tmp_path: pathlib.Path) -> None:
    done = command_runner.run(
        *("generate", "--pretrained", "drums", "--word=hat,bd", "--n=24"),
        f"--out_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    bright = {}  # share of the power above 4 kHz, by kind
    for kind in ("Hat", "Bd"):
        files = sorted(tmp_path.glob(f"{kind}_*.wav"))
        assert len(files) == 12
        clips = [soundfile.read(file)[0] for file in files]
        power = np.abs(np.fft.rfft(clips)) ** 2
        assert power.shape == (12, 4097)
        share = power[:, 2048:].sum(axis=1) / power.sum(axis=1)
        bright[kind] = np.median(share)
    assert bright["Hat"] > 0.4 > 0.1 > bright["Bd"]


def test_specgans_own_weights_say_words_too(tmp_path: pathlib.Path) -> None:
    done = command_runner.run(
        *("generate", "--pretrained", "--word=seven", "--n=2"),
        program="train_specgan.py",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    clips = [
        soundfile.read(path)[0]
        for path in sorted((tmp_path / "generated").glob("Seven_*.wav"))
    ]
    assert [len(clip) for clip in clips] == [16384, 16384]
    assert min(np.abs(clip).max() for clip in clips) > 0.05


@pytest.mark.slow
def test_a_specgan_that_starts_from_them_keeps_their_moments(
    tmp_path: pathlib.Path, audio: pathlib.Path
) -> None:
    done = command_runner.run(
        *("train", tmp_path / "t", "--pretrained", f"--data_dir={audio}"),
        *("--train_max_steps=1", "--train_batch_size=2"),
        program="train_specgan.py",
    )
    assert done.returncode == 0, done.stderr
    assert f"starting from {FOLDER / 'specgan'}" in done.stderr
    ours, theirs = (
        (folder / "moments.npz").read_bytes()
        for folder in (tmp_path / "t", FOLDER / "specgan")
    )
    assert ours == theirs
