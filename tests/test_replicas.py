"""Tests that training on several devices equals training on one."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import command_runner
import distributed_worker
import numpy as np
import pytest
import tensorflow as tf

from networks import dcgan

Found = dict[str, np.ndarray]
SGD = [
    case for case, (_, own, *_) in distributed_worker.CASES.items() if not own
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """Results of one device, and of two devices with half the batch each."""
    folder = tmp_path_factory.mktemp("replicated")
    for kind in ("one", "two"):
        process = distributed_worker.start(kind, folder / f"{kind}.npz")
        assert process.wait(900) == 0
    return {
        kind: dict(np.load(folder / f"{kind}.npz")) for kind in ("one", "two")
    }


@pytest.mark.distributed
@pytest.mark.parametrize("case", distributed_worker.CASES)
def test_losses_on_two_devices_equal_those_on_one(
    found: dict[str, Found], case: str
) -> None:
    one, two = (found[kind][f"{case}/losses"] for kind in ("one", "two"))
    assert np.ptp(one[:, 0]) > 1e-3, "nothing was learnt"
    np.testing.assert_allclose(two, one, atol=1e-5 if case in SGD else 1e-4)


@pytest.mark.distributed
@pytest.mark.parametrize("case", SGD)
def test_weights_after_training_on_two_devices_equal_those_on_one(
    found: dict[str, Found], case: str
) -> None:
    names = {name for name in found["one"] if name.startswith(f"{case}/")}
    names.remove(f"{case}/losses")
    assert len(names) > 10
    for name in names:
        np.testing.assert_allclose(
            found["two"][name], found["one"][name], atol=1e-6, err_msg=name
        )


@pytest.mark.distributed
def test_keras_fit_on_two_devices_equals_that_on_one(
    found: dict[str, Found],
) -> None:
    one, two = (found[kind]["fit/losses"] for kind in ("one", "two"))
    np.testing.assert_allclose(two, one, atol=1e-5)


def run_on_two(*args: object) -> subprocess.CompletedProcess[str]:
    """Runs the program on a machine that seems to have two devices."""
    return command_runner.run(*args, program="tests/two_devices.py")


@pytest.mark.distributed
def test_a_run_moves_from_one_device_to_two_and_back(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = (*command_runner.TINY, command_runner.EMA, f"--data_dir={audio}")
    command_runner.train(
        tmp_path / "one", audio, flags[-2], "--train_max_steps=9"
    )
    moved = tmp_path / "moved"
    command_runner.train(moved, audio, flags[-2], "--train_max_steps=3")
    done = run_on_two("train", moved, *flags, "--train_max_steps=6")
    assert done.returncode == 0, done.stderr
    assert "at step 3" in done.stderr
    assert "Traceback" not in done.stderr
    command_runner.train(moved, audio, flags[-2], "--train_max_steps=9")
    for step, losses in command_runner.losses(tmp_path / "one").items():
        if step in command_runner.losses(moved):
            np.testing.assert_allclose(
                command_runner.losses(moved)[step], losses, atol=1e-4
            )
    assert 9 in command_runner.losses(moved)
    one = command_runner.weights(tmp_path / "one")
    for name, value in command_runner.weights(moved).items():
        np.testing.assert_allclose(value, one[name], atol=1e-4, err_msg=name)


@pytest.mark.distributed
def test_training_with_labels_on_two_devices_equals_that_on_one(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for i, path in enumerate(sorted(audio.iterdir())):
        word = ("Cat", "Dog")[i % 2]
        shutil.copy(path, tmp_path / f"{word}_{path.name}")
    flags = (
        *(*command_runner.TINY, "--data_labels=words", "--train_max_steps=3"),
        *("--train_augment=shift,noise", "--wavegan_spectral_critics=1"),
        *("--wavegan_spectral_dim=1", f"--data_dir={tmp_path}"),
    )
    done = run_on_two("train", tmp_path / "t/two", *flags)
    assert done.returncode == 0, done.stderr
    done = command_runner.run("train", tmp_path / "t/one", *flags)
    assert done.returncode == 0, done.stderr
    one = command_runner.weights(tmp_path / "t/one")
    two = command_runner.weights(tmp_path / "t/two")
    assert one.keys() == two.keys()
    for name, value in two.items():
        np.testing.assert_allclose(value, one[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--train_batch_size=5"], "--train_batch_size is 5: expected a mult"),
        (["--train_jit"], "--train_jit is True: expected False"),
        (
            ["--train_penalty_interval=2", "--wavegan_batchnorm"],
            "--train_penalty_interval is 2: expected 1",
        ),
    ],
)
def test_settings_that_two_devices_do_not_support_end_in_one_line(
    audio: pathlib.Path, tmp_path: pathlib.Path, flags: list[str], said: str
) -> None:
    done = run_on_two(
        *("train", tmp_path / "t", *command_runner.TINY, f"--data_dir={audio}"),
        *("--train_max_steps=2", *flags),
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert said in last, done.stderr
    assert "Traceback" not in done.stderr


def test_second_derivative_of_the_critics_batch_norm(
    rng: np.random.Generator,
) -> None:
    """Compares the gradient of a squared slope with central differences."""
    norm = dcgan.BatchOnlyNormalization(dtype="float64")
    x = rng.normal(size=(5, 3))
    weights = tf.constant(rng.normal(size=(5, 3)))
    norm.build(x.shape)

    @tf.function
    def squared_slope(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = tf.reduce_sum(weights * tf.tanh(norm(x)))
        return tf.reduce_sum(tape.gradient(score, x) ** 2)

    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        slope = squared_slope(given)
    gradient = tape.gradient(slope, given).numpy()
    small = 1e-5
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = small
        up, down = (
            float(squared_slope(tf.constant(x + sign * step)))
            for sign in (1, -1)
        )
        np.testing.assert_allclose(
            gradient[place], (up - down) / (2 * small), rtol=1e-5, atol=1e-6
        )
