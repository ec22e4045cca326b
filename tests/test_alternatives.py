"""Tests what all models of train_alternative.py have in common."""

from __future__ import annotations

import pathlib
from typing import Any

import command_runner
import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from absl import flags

import train_alternative
from commandline import program as program_lib
from commandline import run_config
from modes import keras_twin, latents, play, recipes
from networks import audio_model as audio_model_lib
from training import checkpoints, train_dir
from training import config as config_lib

PROGRAM = "train_alternative.py"
ALTERNATIVES = {each.name: each for each in train_alternative.ALTERNATIVES}
WORDS = ("one", "three", "two")
COMMON = ("--train_batch_size=4", "--train_ema_decay=0.9")
# Flags that make a model small enough for a test.
SMALL = {
    "vae": ("--data_slice_len=256", "--vae_dim=2", "--vae_latent_dim=4"),
    "vqvae": (
        "--data_slice_len=256",
        "--vqvae_dim=2",
        "--vqvae_latent_dim=4",
        "--vqvae_codebook_size=8",
        "--vqvae_code_dim=3",
        "--vqvae_prior_dim=5",
    ),
    "gansynth": ("--gansynth_dim=2", "--gansynth_kernel_len=3"),
    "diffusion": (
        "--data_slice_len=2048",
        "--diffusion_dim=8",
        "--diffusion_steps=3",
    ),
}
LONG = ("diffusion", "gansynth")
each_model = pytest.mark.parametrize(
    "name",
    [
        # Many layers, or clips of fixed length, take long.
        pytest.param(name, marks=[pytest.mark.slow] * (name in LONG))
        for name in ALTERNATIVES
    ],
)
with_and_without_words = pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="plain", marks=pytest.mark.slow),
        pytest.param(WORDS, id="words"),
    ],
)


def small(name: str) -> tuple[str, ...]:
    """The flags of a small model and short steps."""
    return (*COMMON, *SMALL[name])


def config_of(
    name: str, words: tuple[str, ...] = (), seed: int = 0, channels: int = 1
) -> config_lib.RunConfig:
    """The config of a run of a small model."""
    command_line = train_alternative.COMMAND_LINES[name]
    values = flags.FlagValues()
    program_lib.define(command_line, values)
    more = (f"--seed={seed}", f"--data_num_channels={channels}")
    values(["", *small(name), *more])
    return run_config.read_flags(command_line, values).with_words(words)


def build(config: config_lib.RunConfig, name: str) -> Any:
    """A compiled model with the fresh weights of its seed."""
    alternative = ALTERNATIVES[name]
    model = alternative.build(train_dir.TrainDir("nowhere"), config)
    alternative.compile(model, config.train)
    return model


def batches(config: config_lib.RunConfig, seed: int) -> Any:
    """Noise, and labels if the model knows words: what a step takes."""
    rng = np.random.default_rng(seed)
    steps = config.train.batches_per_step
    shape = (steps, 4, config.model.slice_len, config.model.channels)
    audio = tf.constant(rng.normal(0, 0.2, shape), tf.float32)
    if not config.model.num_labels:
        return audio
    labels = rng.integers(0, config.model.num_labels, shape[:2])
    return audio, tf.constant(labels, tf.int32)


def train(
    model: Any, config: config_lib.RunConfig, first: int, last: int
) -> None:
    """Trains from one step to another, each on its own noise."""
    for i in range(first, last):
        for name, loss in model.train_step(batches(config, i)).items():
            assert loss.shape == [] and np.isfinite(loss), name


def state_of(model: audio_model_lib.AudioModel) -> list[np.ndarray]:
    """All that a checkpoint holds."""
    parts = checkpoints._parts(model)
    return [np.array(value) for value in tf.nest.flatten(parts)]


def inputs_of(config: config_lib.RunConfig, count: int = 3) -> list[np.ndarray]:
    """Latent vectors, and labels if the model knows words."""
    z = latents.sample_z(count, config.model.latent_dim, seed=0)
    if not config.model.num_labels:
        return [z]
    return [z, np.arange(count, dtype=np.int32) % config.model.num_labels]


@each_model
def test_training_is_a_function_of_the_seed(name: str) -> None:
    states = []
    for seed in (0, 0, 1):
        config = config_of(name, seed=seed)
        model = build(config, name)
        train(model, config, 0, 2)
        states.append(state_of(model))
    for first, second in zip(states[0], states[1], strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(
        np.any(a != b) for a, b in zip(states[0], states[2], strict=True)
    )
    weights = build(config_of(name), name).generating_networks.values()
    assert all(network.count_params() for network in weights)


@each_model
@with_and_without_words
def test_a_restored_run_goes_on_bit_for_bit(
    name: str, words: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    config = config_of(name, words)
    whole = build(config, name)
    train(whole, config, 0, 4)
    half = build(config, name)
    train(half, config, 0, 2)
    store = checkpoints.Checkpoints(tmp_path)
    store.save(half, 2)
    rest = build(config_of(name, words, seed=5), name)
    assert store.restore(rest) == 2
    train(rest, config, 2, 4)
    for ours, theirs in zip(state_of(rest), state_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@each_model
@with_and_without_words
def test_stock_layers_give_the_same_audio(
    name: str, words: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    config = config_of(name, words, channels=2 if words else 1)
    model = build(config, name)
    train(model, config, 0, 3)
    inputs = inputs_of(config)
    ours = model.generate(*inputs).numpy()
    assert ours.shape == (3, config.model.slice_len, config.model.channels)
    assert np.all(np.isfinite(ours)) and np.ptp(ours) > 1e-4
    twin = keras_twin.build(model)
    for layer in twin.layers:
        assert type(layer).__module__.startswith("keras."), layer
    twin.save(tmp_path / "twin.keras")
    opened = keras.saving.load_model(tmp_path / "twin.keras", safe_mode=True)
    theirs = opened(inputs if words else inputs[0])
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)
    one = [each[:1] for each in inputs]
    alone = opened(one if words else one[0])
    np.testing.assert_allclose(alone, ours[:1], rtol=0, atol=1e-4)


@each_model
@with_and_without_words
def test_pads_play_what_is_generated(name: str, words: tuple[str, ...]) -> None:
    config = config_of(name, words)
    model = build(config, name)
    instrument = play.Instrument(model, 16000, words)
    for label, word in enumerate(words or [""]):
        recipe = recipes.Recipe(seed=3, word=word)
        inputs = [recipe.z(config.model.latent_dim)]
        if words:
            inputs.append(np.array([label], np.int32))
        np.testing.assert_allclose(
            instrument.audio(recipe), model.generate(*inputs)[0], atol=1e-4
        )


@each_model
def test_wrong_flags_end_in_one_line(
    name: str, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "t"
    for flag in ("--train_batch_size=0", f"--{name}_loudness=3"):
        done = run(name, "train", path, f"--data_dir={audio}", flag)
        assert_one_line(done, name, flag.split("=")[0].lstrip("-"))
    assert_one_line(run(name, "import", path), name, "expected MODE")
    assert_one_line(run(name, "generate", "--pretrained"), name, "FOLDER")
    assert not path.exists()


def run(name: str, *args: object) -> Any:
    """Runs a command of a model."""
    return command_runner.run(name, *args, program=PROGRAM)


def assert_one_line(done: Any, name: str, *words: str) -> None:
    """Asserts that a command of a model was refused in one line."""
    command_runner.assert_one_line(done, *words, program=f"{PROGRAM} {name}")


def run_well(name: str, *args: object) -> str:
    """Runs a command of a model that must end well; returns what it printed."""
    done = run(name, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def words_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Twelve short sounds, each named by a word."""
    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    for i in range(12):
        samples = 0.3 * rng.standard_normal(200 + 40 * i)
        path = folder / f"{WORDS[i % 3].title()}_a_{i}.wav"
        soundfile.write(path, samples, 16000)
    return folder


@pytest.fixture(scope="module", params=ALTERNATIVES)
def trained(
    request: pytest.FixtureRequest,
    words_dir: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, pathlib.Path]:
    """A model's name, and the train dir of a run, killed and resumed."""
    name = request.param
    path = tmp_path_factory.mktemp(name) / "t"
    process = command_runner.start(
        *(name, "train", path, *flags_of_run(name, words_dir)),
        *("--train_max_steps=0", "--train_save_secs=0"),
        program=PROGRAM,
    )
    step = command_runner.wait_for_checkpoint(process, path, beyond=1)
    process.kill()
    process.communicate()
    run_well(name, "train", path, f"--train_max_steps={step + 20}")
    return name, path


def flags_of_run(name: str, words_dir: pathlib.Path) -> tuple[str, ...]:
    """The flags of a run of a small model that learns words."""
    return (f"--data_dir={words_dir}", "--data_labels=words", *small(name))


def last_step(path: pathlib.Path) -> int:
    """The step of the newest checkpoint of a train dir."""
    step = train_dir.TrainDir(path).checkpoints.latest_step()
    assert step is not None
    return step


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been(
    trained: tuple[str, pathlib.Path],
    words_dir: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    name, path = trained
    run_well(
        name,
        *("train", tmp_path, *flags_of_run(name, words_dir)),
        f"--train_max_steps={last_step(path)}",
    )
    command_runner.assert_same_run(path, tmp_path)


@pytest.mark.distributed
@pytest.mark.parametrize("name", ALTERNATIVES)
def test_training_on_two_devices_equals_that_on_one(
    name: str, words_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = (*flags_of_run(name, words_dir), "--train_max_steps=3")
    run_well(name, "train", tmp_path / "one", *flags)
    done = command_runner.run(
        *(name, "train", tmp_path / "two", *flags),
        program="tests/two_devices.py",
    )
    assert done.returncode == 0, done.stderr
    one = command_runner.weights(tmp_path / "one")
    two = command_runner.weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for key, value in two.items():
        np.testing.assert_allclose(value, one[key], atol=1e-3, err_msg=key)


@pytest.mark.slow
def test_every_mode_works(
    trained: tuple[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    name, path = trained
    config = train_dir.TrainDir(path).read_config(ALTERNATIVES[name].config)
    slice_len = config.model.slice_len
    run_well(name, "preview", path, "--once", "--preview_n=3")
    wav = path / f"preview/{last_step(path):08d}.wav"
    samples, rate = soundfile.read(wav)
    assert (len(samples), rate) == (3 * (slice_len + 8000), 16000)
    assert wav.with_suffix(".png").exists()
    run_well(name, "incept", path, "--once", "--incept_n=20", "--incept_k=2")
    run_well(name, "plot", path)
    assert (path / "curves.png").exists()
    run_well(name, "release", path, "--preview_n=3", f"--out_dir={tmp_path}/r")
    for form in ("savedmodel", "keras"):
        out = (f"--format={form}", f"--out_dir={tmp_path}")
        run_well(name, "export", path, *out)
    z = latents.sample_z(3, config.model.latent_dim, seed=0)
    label = np.arange(3, dtype=np.int32)
    saved = tf.saved_model.load(str(tmp_path / "saved_model"))
    served = saved.signatures["serving_default"](
        z=tf.constant(z), label=tf.constant(label)
    )["G_z"].numpy()
    opened = keras.saving.load_model(tmp_path / "keras/generator.keras")
    np.testing.assert_allclose(opened([z, label]), served, atol=1e-4)
    run_well(name, "generate", path, "--n=3", f"--out_dir={tmp_path}/a")
    run_well(
        name, "generate", tmp_path / "r", "--n=3", f"--out_dir={tmp_path}/b"
    )
    assert np.std(served) > 1e-4
    for folder, tolerance in (("a", 1e-4), ("b", 0.02)):
        files = sorted((tmp_path / folder).glob("*.wav"))
        assert len(files) == 3
        for i, file in enumerate(files):
            clip, _ = soundfile.read(file)
            error = clip - served[i, :, 0]
            if (name, folder) == ("gansynth", "b"):
                # Errors of frequencies that are rounded to float16 add up.
                assert np.std(error) < 0.3 * np.std(served[i]), file
            else:
                assert np.abs(error).max() < tolerance, file
