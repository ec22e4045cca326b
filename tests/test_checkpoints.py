"""Tests checkpoints: whole, intact, newest first, no silent restart at 0."""

from __future__ import annotations

import errno
import functools
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import small_gan
import tensorflow as tf

import gan
import wavegan
from system import atomic
from training import checkpoints


@functools.cache
def build(
    slice_len: int = 64, init: int = 0, ema_decay: float = 0.0
) -> gan.GAN:
    """A GAN; tests that ask for the same one share it."""
    config = wavegan.WaveGANConfig(slice_len=slice_len, dim=1, latent_dim=3)
    return small_gan.build(config=config, init=init, ema_decay=ema_decay)


def fill(model: gan.GAN, step: int) -> None:
    """Gives every weight the step as its value."""
    model.step.assign(step)
    for weight in model.generator.weights:
        weight.assign(tf.fill(weight.shape, float(step)))


def state(model: gan.GAN) -> list[np.ndarray]:
    """All that a run is."""
    optimizers = (model.generator_optimizer, model.discriminator_optimizer)
    return [
        np.asarray(variable)
        for part in (
            *(
                network.weights
                for network in (
                    model.generator,
                    model.discriminator,
                    model.ema_generator,
                )
            ),
            *(optimizer.variables for optimizer in optimizers),
            [model.step, model.seed],
        )
        for variable in part
    ]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with checkpoints of the steps 3, 20 and 100."""
    made = checkpoints.Checkpoints(tmp_path_factory.mktemp("saved") / "c")
    model = build()
    for step in (3, 20, 100):
        fill(model, step)
        made.save(model, step)
    return made.folder


@pytest.fixture
def store(
    saved: pathlib.Path, tmp_path: pathlib.Path
) -> checkpoints.Checkpoints:
    """Those checkpoints, for one test to harm; the GAN has other weights."""
    shutil.copytree(saved, tmp_path / "checkpoints")
    fill(build(), 0)
    return checkpoints.Checkpoints(tmp_path / "checkpoints")


def test_steps_are_numbers_of_complete_checkpoints(
    tmp_path: pathlib.Path,
) -> None:
    store = checkpoints.Checkpoints(tmp_path)
    assert checkpoints.Checkpoints(tmp_path / "none").latest_step() is None
    assert store.latest_step() is None
    for name in (
        "ckpt-9.index",
        "ckpt-100.index",
        "ckpt-101.index.corrupt",
        "ckpt-200.data-00000-of-00001",
        "ckpt-x.index",
    ):
        (tmp_path / name).touch()
    assert store.steps() == [9, 100]
    assert store.latest_step() == 100


def test_restore_takes_the_newest_and_tensorflow_finds_it_too(
    store: checkpoints.Checkpoints,
) -> None:
    model = build()
    assert store.restore(model) == 100
    assert int(model.step) == 100
    assert all(np.all(w == 100) for w in model.generator.get_weights())
    assert tf.train.latest_checkpoint(store.folder) == store.path(100)


def test_every_variable_comes_back_bit_by_bit(tmp_path: pathlib.Path) -> None:
    store = checkpoints.Checkpoints(tmp_path / "c")
    model = build(ema_decay=0.5)
    small_gan.train(model, 2)
    store.save(model, 2)
    other = build(ema_decay=0.5, init=1)
    store.restore(other)
    for ours, theirs in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_only_the_newest_are_kept(store: checkpoints.Checkpoints) -> None:
    model = build()
    for step in (101, 102):
        store.save(model, step)
    assert store.steps() == [100, 101, 102]
    steps = {file.stem for file in store.folder.glob("ckpt-*")}
    assert steps == {"ckpt-100", "ckpt-101", "ckpt-102"}


def test_checksums_are_those_of_sha256sum(
    store: checkpoints.Checkpoints,
) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "ckpt-100.sha256"],
        cwd=store.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("OK") == 2


SUFFIXES = ("index", "data-00000-of-00001", "sha256")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_newest_gives_way_to_the_one_before(
    store: checkpoints.Checkpoints,
    warnings: list[str],
    suffix: str,
    harm: str,
) -> None:
    path = store.folder / f"ckpt-100.{suffix}"
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(
        content[: {"cut": len(content) // 2, "empty": 0}.get(harm)]
    )
    model = build()
    assert store.restore(model) == 20
    assert all(np.all(w == 20) for w in model.generator.get_weights())
    assert len(warnings) == 1
    assert "ckpt-100 is damaged" in warnings[0]
    assert store.steps() == [3, 20, 100]  # whoever looks on changes nothing
    assert store.restore(model, repair=True) == 20
    assert store.steps() == [3, 20]
    assert (store.folder / f"ckpt-100.{suffix}.corrupt").exists()
    assert store.restore(model) == 20
    assert len(warnings) == 2  # no more of it


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_files_are_damage_and_missing_checksums_are_not(
    store: checkpoints.Checkpoints, warnings: list[str], suffix: str
) -> None:
    (store.folder / f"ckpt-100.{suffix}").unlink()
    wanted = 100 if suffix == "sha256" else 20
    assert store.restore(build()) == wanted
    assert len(warnings) == (wanted == 20)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_without_checksums_tensorflow_finds_the_damage(
    store: checkpoints.Checkpoints, place: float
) -> None:
    (store.folder / "ckpt-100.sha256").unlink()
    path = store.folder / "ckpt-100.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    assert store.restore(build()) == 20


def test_if_all_are_damaged_nothing_starts_from_zero(
    store: checkpoints.Checkpoints,
) -> None:
    for path in store.folder.glob("*.index"):
        path.write_bytes(b"")
    with pytest.raises(checkpoints.CorruptError, match="no checkpoint .* can"):
        store.restore(build())


def test_a_folder_that_cannot_be_read_is_not_empty(
    store: checkpoints.Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: pathlib.Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
    with pytest.raises(PermissionError):
        store.restore(build())


def test_restore_without_a_checkpoint_says_what_to_do(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="train first"):
        checkpoints.Checkpoints(tmp_path).restore(build())


def test_restore_refuses_another_shape(store: checkpoints.Checkpoints) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        store.restore(build(slice_len=256))


def test_a_checkpoint_that_its_trainer_drops_meanwhile_is_no_damage(
    store: checkpoints.Checkpoints,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find, model, todo = store._find_steps, build(), [103, 102, 101]

    def go_on(ending: str) -> list[int]:
        found = find(ending)
        while todo:  # what was found is gone before it is read
            store.save(model, todo.pop())
        return found

    other = build()
    monkeypatch.setattr(store, "_find_steps", go_on)
    assert store.restore(other) == 103
    assert not warnings


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_save_that_was_killed_is_ended_or_undone(
    store: checkpoints.Checkpoints, warnings: list[str], moved: int
) -> None:
    model = build()
    fill(model, 200)
    store.save(model, 200)
    draft = store.folder / ".part"
    draft.mkdir()
    order = ("data-00000-of-00001", "sha256", "index")
    for suffix in order[moved:]:
        name = f"ckpt-200.{suffix}"
        (store.folder / name).rename(draft / name)
    store.recover()
    assert store.restore(model) == (200 if moved else 100)
    assert not warnings
    assert not draft.exists()


def test_a_folder_removed_during_a_save_is_not_made_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_dir = tmp_path / "t"
    train_dir.mkdir()
    write = tf.train.Checkpoint.write

    def move_and_write(checkpoint: tf.train.Checkpoint, path: str) -> None:
        train_dir.rename(tmp_path / "away")
        write(checkpoint, path)  # which makes the folders of its path

    monkeypatch.setattr(tf.train.Checkpoint, "write", move_and_write)
    with pytest.raises(FileNotFoundError, match="was removed"):
        checkpoints.Checkpoints(train_dir / "checkpoints").save(build(), 7)
    assert not train_dir.exists()


def test_a_save_that_was_killed_while_it_wrote_is_undone(
    store: checkpoints.Checkpoints,
) -> None:
    before = {file.name for file in store.folder.iterdir()}
    (store.folder / ".part" / "ckpt-200_temp").mkdir(parents=True)
    (store.folder / ".part" / "ckpt-200.index").touch()
    store.recover()
    assert {file.name for file in store.folder.iterdir()} == before


def test_without_any_index_nothing_starts_from_zero(
    store: checkpoints.Checkpoints,
) -> None:
    for path in store.folder.glob("*.index"):
        path.unlink()
    store.recover()
    for _ in range(2):  # not the next time either
        with pytest.raises(checkpoints.CorruptError, match="index is missing"):
            store.restore(build(), repair=True)


def test_a_failed_save_leaves_what_was_there(
    store: checkpoints.Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in store.folder.iterdir()}

    def refuse(self: tf.train.Checkpoint, path: str) -> None:
        pathlib.Path(f"{path}.index").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left\n?")

    before = contents()
    monkeypatch.setattr(tf.train.Checkpoint, "write", refuse)
    with pytest.raises(OSError, match="No space left"):
        store.save(build(), 200)
    assert contents() == before


def test_a_list_that_finds_no_room_costs_no_checkpoint(
    store: checkpoints.Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: pathlib.Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "write", refuse)
    store.save(build(), 200)
    assert store.steps() == [20, 100, 200]


def test_a_small_disk_keeps_the_newest_alone(
    store: checkpoints.Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(store.folder)
    model = build()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9))
    store.save(model, 200)
    assert store.steps() == [100, 200]
    store.check_room(build(ema_decay=0.0))


def test_a_disk_too_small_is_reported_at_the_start(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = checkpoints.Checkpoints(tmp_path / "c")
    model = build()
    usage = shutil.disk_usage(tmp_path)
    for free, fits in ((1, False), (2, True)):
        room = usage._replace(free=free * checkpoints.size(model))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, room=room: room)
        if fits:
            store.check_room(model)
        else:
            with pytest.raises(OSError, match="free some space"):
                store.check_room(model)


def test_the_size_is_that_of_the_file(store: checkpoints.Checkpoints) -> None:
    data = store.folder / "ckpt-100.data-00000-of-00001"
    size = checkpoints.size(build())
    # TensorFlow adds a description of the objects.
    assert size <= data.stat().st_size < size + 30_000


def test_checkpoints_name_variables_by_layer(tmp_path: pathlib.Path) -> None:
    store = checkpoints.Checkpoints(tmp_path)
    model = build(ema_decay=0.5)
    store.save(model, 1)
    names = {
        name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace(".S", "/")
        for name, _ in tf.train.list_variables(store.path(1))
    }
    for network in ("generator", "ema_generator"):
        assert f"{network}/z_project/kernel" in names
        assert f"{network}/upconv_0/kernel" in names
    assert {"discriminator/output/bias", "step", "seed"} <= names
    moments = 2 + 2 * len(model.generator.trainable_variables)
    for i in range(moments):
        assert f"generator_optimizer/{i}" in names
