"""Tests released weights of models with labels, and training from them."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import command_runner
import numpy as np
import pytest
import wavs

import gan as gan_lib
import train_wavegan
import wavegan
from modes import export
from modes import release as release_lib
from training import config as config_lib
from training import gan_model as model_lib
from training import train_dir
from training import weights as weights_lib

WORDS = ("nine", "three", "zero")
CRITIC = "spectral_critic_256"


def config_of(directory: train_dir.TrainDir) -> config_lib.RunConfig:
    """The config of a train dir."""
    return directory.read_config(wavegan.WaveGANConfig)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[train_dir.TrainDir, gan_lib.GAN]:
    """A train dir of step 3, as `train` would leave it, and its GAN."""
    directory = train_dir.TrainDir(tmp_path_factory.mktemp("trained") / "t")
    config = config_lib.RunConfig(
        wavegan.WaveGANConfig(slice_len=256, dim=2),
        config_lib.DataConfig(labels="words"),
        config_lib.TrainConfig(
            ema_decay=0.9, spectral_critics=1, spectral_dim=2, batch_size=4
        ),
    ).with_words(WORDS)
    gan = train_wavegan.MODEL.build(directory, config)
    weights = gan.generator.get_weights()
    gan.ema_generator.set_weights([3 * weight for weight in weights])
    model_lib.compile_gan(gan, config.train)
    with directory.lock():
        directory.write_config(config)
        directory.checkpoints.save(gan, 3)
    return directory, gan


@pytest.fixture(scope="module")
def released(
    trained: tuple[train_dir.TrainDir, gan_lib.GAN],
    tmp_path_factory: pytest.TempPathFactory,
) -> train_dir.TrainDir:
    """A release of that train dir, moved to another folder."""
    directory, _ = trained
    folder = tmp_path_factory.mktemp("released") / "r"
    gan = train_wavegan.MODEL.build(directory)
    config = config_of(directory)
    release_lib.release(
        gan,
        directory,
        config,
        model=train_wavegan.MODEL,
        num_clips=3,
        out_dir=folder,
    )
    return train_dir.TrainDir(
        shutil.copytree(folder, folder.with_name("moved"))
    )


def critics_of(gan: gan_lib.GAN) -> dict[str, Any]:
    """Its spectral critics by name."""
    return {critic.name: critic for critic in gan.spectral_critics}


def float16(weight: Any) -> np.ndarray:
    """A weight as a release keeps it."""
    return np.asarray(weight, np.float16).astype(np.float32)


def test_a_release_holds_all_networks_and_the_words(
    trained: tuple[train_dir.TrainDir, gan_lib.GAN],
    released: train_dir.TrainDir,
) -> None:
    assert {path.name for path in released.path.iterdir()} == {
        "config.json",
        weights_lib.GENERATOR,
        "discriminator.npz",
        f"{CRITIC}.npz",
        "samples.wav",
        "samples.png",
        "README.md",
    }
    config = json.loads((released.path / "config.json").read_text())
    assert config["data"]["words"] == list(WORDS)
    _, ours = trained
    theirs = train_wavegan.MODEL.build(released)
    assert train_dir.restore(theirs, released) == 3
    for before, after in (
        (ours.ema_generator, theirs.ema_generator),
        (ours.discriminator, theirs.discriminator),
        (critics_of(ours)[CRITIC], critics_of(theirs)[CRITIC]),
    ):
        for old, new in zip(before.weights, after.weights, strict=True):
            assert old.path == new.path
            np.testing.assert_array_equal(float16(old), new, err_msg=new.path)


def test_an_export_of_a_release_names_the_same_words(
    released: train_dir.TrainDir, tmp_path: pathlib.Path
) -> None:
    gan = train_wavegan.MODEL.build(released)
    export.export(
        gan,
        released,
        config_of(released),
        model=train_wavegan.MODEL,
        form="keras",
        out_dir=tmp_path,
    )
    description = json.loads(
        (tmp_path / "keras" / export.DESCRIPTION).read_text()
    )
    assert description["words"] == list(WORDS)
    assert description["step"] == 3


def damage(
    released: train_dir.TrainDir, path: pathlib.Path, fault: str
) -> None:
    """Copies a release, and breaks the copy."""
    shutil.copytree(released.path, path)
    file = path / "config.json"
    config = json.loads(file.read_text())
    if fault == "critic":
        (path / f"{CRITIC}.npz").unlink()
    if fault == "words":
        config["data"]["words"].pop()
    if fault == "labels":
        config["data"]["words"].pop()
        config["model"]["num_labels"] -= 1
    file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("critic", f"{CRITIC}.npz does not fit"),
        ("words", "config.json is .*damaged .*labels"),
        ("labels", "generator.npz does not fit"),
    ],
)
def test_a_damaged_release_is_refused(
    released: train_dir.TrainDir, tmp_path: pathlib.Path, fault: str, name: str
) -> None:
    damage(released, tmp_path / "r", fault)
    directory = train_dir.TrainDir(tmp_path / "r")
    with pytest.raises(ValueError, match=name):
        train_dir.restore(train_wavegan.MODEL.build(directory), directory)


# Training goes on ------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Files that say a word of the release, and one that it does not know."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(4):
        for word in ("Zero", "Two"):
            wavs.write(folder / f"{word}_{i}.wav", wavs.noise(300, seed=i))
    return folder


def train(
    released: train_dir.TrainDir,
    path: pathlib.Path,
    data: pathlib.Path,
    *flags: str,
) -> dict[str, np.ndarray]:
    """Trains a step, starting from a release; returns all variables."""
    done = command_runner.run(
        *(released.path, "train", path, "--pretrained", f"--data_dir={data}"),
        *("--train_max_steps=1", *flags),
        program="tests/program_with_weights.py",
    )
    assert done.returncode == 0, done.stderr
    assert f"starting from {released.path}, step 3" in done.stderr
    return command_runner.weights(path)


def assert_starts_from(
    variables: dict[str, np.ndarray], part: str, file: pathlib.Path
) -> None:
    """Weights are a release's, but for one step and for those of labels."""
    with np.load(file, allow_pickle=False) as packed:
        names = {*packed.files} - {"step", weights_lib.LABELS}
        for name in names:
            key = f"{part}/{name.replace('/', '.S')}"
            ours = variables[f"{key}/.ATTRIBUTES/VARIABLE_VALUE"]
            # One step of Adam moves no weight by much more than its rate.
            np.testing.assert_allclose(ours, packed[name], atol=4e-3)


@pytest.mark.slow
def test_training_from_a_release_keeps_common_words_and_critics(
    released: train_dir.TrainDir, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    variables = train(
        released,
        tmp_path / "t",
        data,
        "--data_labels=words",
        "--wavegan_spectral_critics=2",
    )
    config = config_of(train_dir.TrainDir(tmp_path / "t"))
    assert config.data.words == ("two", "zero")
    folder = released.path
    assert_starts_from(variables, "generator", folder / weights_lib.GENERATOR)
    critic = next(k for k in variables if CRITIC in k).partition("/")[0]
    assert_starts_from(variables, critic, folder / f"{CRITIC}.npz")
    assert_words_are_kept(variables, folder)


def assert_words_are_kept(
    variables: dict[str, np.ndarray], folder: pathlib.Path
) -> None:
    """Checks that the common word keeps its weights, and others are new."""
    rows = variables[
        "generator/label_project.Sembeddings/.ATTRIBUTES/VARIABLE_VALUE"
    ]
    with np.load(folder / weights_lib.GENERATOR, allow_pickle=False) as packed:
        before = packed[weights_lib.LABELS]
    np.testing.assert_allclose(rows[1], before[WORDS.index("zero")], atol=4e-3)
    assert np.abs(rows[0] - before).max(axis=1).min() > 0.1


@pytest.mark.slow
def test_a_run_without_a_checkpoint_starts_from_the_release_again(
    released: train_dir.TrainDir, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    labels = "--data_labels=words"
    train(released, tmp_path / "t", data, labels)
    shutil.rmtree(tmp_path / "t/checkpoints")
    variables = train(released, tmp_path / "t", data)
    assert_words_are_kept(variables, released.path)


@pytest.mark.slow
def test_critics_of_another_width_start_from_random_weights(
    released: train_dir.TrainDir, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    variables = train(
        released, tmp_path / "t", data, "--wavegan_spectral_dim=3"
    )
    folder = released.path
    assert_starts_from(variables, "generator", folder / weights_lib.GENERATOR)
    assert config_of(train_dir.TrainDir(tmp_path / "t")).data.words == ()
