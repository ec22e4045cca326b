"""Tests the train dir: whole files, one trainer at a time, nothing lost."""

import json
import pathlib
import shutil

import pytest
import tensorflow as tf

import specgan
import wavegan
from training import config as config_lib
from training import train_dir

KIND = wavegan.WaveGANConfig
CONFIG = config_lib.RunConfig(KIND(dim=3)).with_words(("a", "b"))


def test_config_round_trips_with_versions(tmp_path: pathlib.Path) -> None:
    directory = train_dir.TrainDir(tmp_path)
    assert not directory.exists()
    directory.write_config(CONFIG)
    assert directory.exists()
    assert directory.read_config(KIND) == CONFIG
    values = json.loads((tmp_path / "config.json").read_text())
    assert values.pop("versions")["tensorflow"] == tf.__version__
    assert list(values) == ["data", "model", "train"]
    assert values["data"]["words"] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": {}}', "3"])
def test_a_damaged_config_is_named(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is .* damaged"):
        train_dir.TrainDir(tmp_path).read_config(KIND)


def test_a_missing_config_names_the_next_mode(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="mode `train`"):
        train_dir.TrainDir(tmp_path).read_config(KIND)


def test_a_config_of_another_model_names_the_remedy(
    tmp_path: pathlib.Path,
) -> None:
    directory = train_dir.TrainDir(tmp_path)
    directory.write_config(config_lib.RunConfig(specgan.SpecGANConfig()))
    with pytest.raises(ValueError, match="iterations.*program that made it"):
        directory.read_config(KIND)


def test_the_lock_keeps_a_second_trainer_out(tmp_path: pathlib.Path) -> None:
    directory = train_dir.TrainDir(tmp_path / "new")
    other = train_dir.TrainDir(tmp_path / "new")
    with (
        directory.lock(),
        pytest.raises(ValueError, match="being trained by process"),
        other.lock(),
    ):
        pass
    with other.lock():
        pass


def test_a_removed_train_dir_is_noticed_even_if_made_anew(
    tmp_path: pathlib.Path,
) -> None:
    directory = train_dir.TrainDir(tmp_path / "t")
    with directory.lock():
        directory.check_place()
        shutil.rmtree(directory.path)
        with pytest.raises(FileNotFoundError, match="removed or replaced"):
            directory.check_place()
        with (
            train_dir.TrainDir(directory.path).lock(),
            pytest.raises(FileNotFoundError, match="removed or replaced"),
        ):
            directory.check_place()


def test_the_same_config_is_not_written_again(tmp_path: pathlib.Path) -> None:
    directory = train_dir.TrainDir(tmp_path)
    directory.write_config(CONFIG)
    before = (tmp_path / "config.json").stat().st_ino
    directory.write_config(CONFIG)
    assert (tmp_path / "config.json").stat().st_ino == before
