"""The train dir: whole files, one trainer, nothing lost."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import gan
import traindir
import wavegan

CONFIG = {
    "model": dataclasses.asdict(wavegan.WaveGANConfig()),
    "data": dataclasses.asdict(traindir.DataConfig()),
    "train": dataclasses.asdict(traindir.TrainConfig()),
}


def build(**kwargs: float) -> gan.GAN:
    config = wavegan.WaveGANConfig(slice_len=64, dim=1, latent_dim=3)
    return gan.GAN(
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
        latent_dim=3,
        **kwargs,  # type: ignore[arg-type]
    )


def save(model: gan.GAN, directory: traindir.TrainDir, step: int) -> None:
    model.step.assign(step)
    traindir.checkpoint(model).write(directory.checkpoint(step))


def test_config_round_trips_with_versions(tmp_path: pathlib.Path) -> None:
    directory = traindir.TrainDir(tmp_path)
    assert not directory.exists()
    directory.write_config(CONFIG)
    assert directory.exists()
    config = directory.read_config()
    assert config.pop("versions")["tensorflow"] == tf.__version__
    assert config == CONFIG


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": {}}', "3"])
def test_a_damaged_config_is_named(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        traindir.TrainDir(tmp_path).read_config()


def test_a_missing_config_names_the_next_command(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(FileNotFoundError, match=r"train_wavegan\.py train"):
        traindir.TrainDir(tmp_path).read_config()


def test_resumable_fields_exist() -> None:
    for section, field in traindir.RESUMABLE:
        assert field in CONFIG[section]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    traindir.write_atomically(path, b"old")

    def fail(self: pathlib.Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError("disk full")

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        traindir.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_steps_are_numbers_of_complete_checkpoints(
    tmp_path: pathlib.Path,
) -> None:
    directory = traindir.TrainDir(tmp_path)
    assert directory.latest_step() is None
    directory.checkpoints.mkdir()
    for name in (
        "ckpt-9.index",
        "ckpt-100.index",
        "ckpt-200.data-00000-of-00001",
        "ckpt-x.index",
    ):
        (directory.checkpoints / name).touch()
    assert directory.steps() == [9, 100]
    assert directory.latest_step() == 100


def test_the_lock_keeps_a_second_trainer_out(tmp_path: pathlib.Path) -> None:
    directory = traindir.TrainDir(tmp_path / "new")
    other = traindir.TrainDir(tmp_path / "new")
    with (
        directory.lock(),
        pytest.raises(ValueError, match="being trained by process"),
        other.lock(),
    ):
        pass
    with other.lock():
        pass


def test_restore_takes_the_newest(tmp_path: pathlib.Path) -> None:
    directory = traindir.TrainDir(tmp_path)
    model = build()
    for step in (20, 3):
        for weight in model.generator.weights:
            weight.assign(tf.fill(weight.shape, float(step)))
        save(model, directory, step)
    other = build()
    assert traindir.restore(other, directory) == 20
    assert int(other.step) == 20
    assert all(np.all(w == 20) for w in other.generator.get_weights())


def test_restore_without_a_checkpoint_says_what_to_do(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="train first"):
        traindir.restore(build(), traindir.TrainDir(tmp_path))


def test_restore_refuses_another_shape(tmp_path: pathlib.Path) -> None:
    directory = traindir.TrainDir(tmp_path)
    save(build(), directory, 1)
    config = wavegan.WaveGANConfig(slice_len=256, dim=1, latent_dim=3)
    other = gan.GAN(
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
        latent_dim=3,
    )
    with pytest.raises(ValueError, match="shape|does not fit"):
        traindir.restore(other, directory)


def test_checkpoints_name_variables_by_layer(tmp_path: pathlib.Path) -> None:
    directory = traindir.TrainDir(tmp_path)
    model = build(ema_decay=0.5)
    model.compile()
    save(model, directory, 1)
    names = {
        name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace(".S", "/")
        for name, _ in tf.train.list_variables(directory.checkpoint(1))
    }
    for network in ("generator", "ema_generator"):
        assert f"{network}/z_project/kernel" in names
        assert f"{network}/upconv_0/kernel" in names
    assert {"discriminator/output/bias", "step", "seed"} <= names
    moments = 2 + 2 * len(model.generator.trainable_variables)
    for i in range(moments):
        assert f"generator_optimizer/{i}" in names
