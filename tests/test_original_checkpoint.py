"""Tests checkpoints of the authors' code, by their networks in TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf1_wavegan as tf1

import gan as gan_lib
import specgan
import wavegan
from modes import original_checkpoint

CRITIC_STEPS = 2
SPEC = tf1.Shape(flat=False, kernel_len=5, dim=1)
# Networks and loss of each run.
RUNS: dict[str, tuple[tf1.Shape, str]] = {
    "plain": (tf1.Shape(), "wgan-gp"),
    "post_filter": (
        tf1.Shape(post_filter_len=512, latent_dim=7, batchnorm=True),
        "dcgan",
    ),
    "nn_stereo": (tf1.Shape(upsample="nn", channels=2, kernel_len=9), "wgan"),
    "32768": (
        tf1.Shape(slice_len=32768, dim=1, upsample="nn"),
        "wgan-gp",
    ),
    "65536": (tf1.Shape(slice_len=65536, dim=1, kernel_len=9), "lsgan"),
    "spec": (SPEC, "wgan-gp"),
    "spec_nn": (
        dataclasses.replace(SPEC, upsample="nn", batchnorm=True),
        "wgan-gp",
    ),
    "spec_cubic": (dataclasses.replace(SPEC, upsample="cubic"), "dcgan"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tf1.Run]:
    """Trains one of `RUNS`, once."""

    @functools.cache
    def train(name: str) -> tf1.Run:
        shape, loss = RUNS[name]
        return tf1.train(
            tmp_path_factory.mktemp(name),
            shape,
            loss,
            critic_steps=CRITIC_STEPS,
        )

    return train


def build(shape: tf1.Shape, loss: str, **fields: Any) -> gan_lib.GAN:
    """Our GAN of that shape."""
    model = wavegan if shape.flat else specgan
    kind = model.WaveGANConfig if shape.flat else model.SpecGANConfig
    known = {field.name for field in dataclasses.fields(kind)}
    values = dataclasses.asdict(shape)
    config = kind(**{k: v for k, v in values.items() if k in known})
    made = gan_lib.GAN(
        model.build_generator(config),
        model.build_discriminator(config),
        latent_dim=shape.latent_dim,
        critic_steps=CRITIC_STEPS,
        **fields,
    )
    made.compile(loss)
    return made


def update(gan: gan_lib.GAN, run: tf1.Run) -> None:
    """The updates before the checkpoint: of D, then of G."""
    z, real = tf.constant(run.z), tf.constant(run.real)

    def score(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(gan.discriminator(x, training=False))

    def d_loss() -> tf.Tensor:
        return score(gan.generator(z, training=False)) - 2 * score(real)

    def g_loss() -> tf.Tensor:
        return -score(gan.generator(z, training=False))

    for network, optimizer, loss in (
        (gan.discriminator, gan.discriminator_optimizer, d_loss),
        (gan.generator, gan.generator_optimizer, g_loss),
    ):
        variables = network.trainable_variables
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))


@pytest.mark.parametrize("name", RUNS)
def test_audio_scores_and_the_next_updates_are_theirs(
    name: str, run: Callable[[str], tf1.Run]
) -> None:
    shape, loss = RUNS[name]
    theirs = run(name)
    gan = build(shape, loss)
    assert (
        original_checkpoint.restore(gan, original_checkpoint.read(theirs.path))
        == []
    )
    examples = gan.generator(theirs.z, training=False)
    assert np.std(theirs.examples) > 0.05
    np.testing.assert_allclose(examples, theirs.examples, atol=1e-5)
    scores = gan.discriminator(theirs.real, training=False)
    assert np.std(theirs.scores) > 0.01
    np.testing.assert_allclose(scores, theirs.scores, rtol=1e-5, atol=1e-5)
    assert int(gan.step) == int(gan.generator_optimizer.iterations) == 2
    assert int(gan.discriminator_optimizer.iterations) == 2 * CRITIC_STEPS
    ours = dict(original_checkpoint.name_variables(gan.generator, "G"))
    ours |= dict(original_checkpoint.name_variables(gan.discriminator, "D"))
    before = {variable: ours[variable].numpy() for variable in theirs.weights}
    assert len(before) == len(gan.trainable_variables)
    update(gan, theirs)
    for variable, old in before.items():
        if shape.batchnorm and re.search(r"downconv_[1-9].*bias", variable):
            continue  # its gradient is rounding, which Adam magnifies
        new = theirs.weights[variable].reshape(old.shape)
        # So it does where a gradient happens to be nearly 0.
        error = np.mean(np.abs(ours[variable] - new))
        assert error < 0.05 * np.mean(np.abs(new - old)), variable


@pytest.mark.parametrize("name", RUNS)
def test_shapes_tell_the_settings(
    name: str, run: Callable[[str], tf1.Run]
) -> None:
    shape, loss = RUNS[name]
    checkpoint = original_checkpoint.read(run(name).path)
    model = "wavegan" if shape.flat else "specgan"
    assert original_checkpoint.model_of(checkpoint) == model
    fits = original_checkpoint.settings(checkpoint)
    several: dict[str, tuple[Any, ...]] = {
        "slice_len": {16384: (16384,)}.get(shape.slice_len, (32768, 65536)),
        "upsample": (shape.upsample,),
    }
    if not shape.flat and shape.upsample != "zeros":
        several["upsample"] = ("nn", "linear", "cubic")
    for field, values in fits.items():
        if field != "loss":
            wanted = several.get(field, (getattr(shape, field),))
            assert values == wanted, field
    # Young, Adam tells its decays; RMSProp has none.
    adam = loss in ("dcgan", "wgan-gp")
    assert fits["loss"] == ((loss,) if adam else ("wgan", "lsgan"))


def rewritten(
    run: tf1.Run,
    folder: pathlib.Path,
    change: Callable[[dict[str, Any]], Any],
) -> original_checkpoint.Checkpoint:
    """What another checkpoint holds."""
    return original_checkpoint.read(tf1.rewrite(run.path, folder, change))


def test_decays_that_are_used_up_fit_both_losses_of_adam(
    run: Callable[[str], tf1.Run], tmp_path: pathlib.Path
) -> None:
    def age(values: dict[str, Any]) -> None:
        values["global_step"] = np.int64(200_000)
        for name in values:
            if "_power" in name:
                values[name] = np.float32(0)

    checkpoint = rewritten(run("plain"), tmp_path, age)
    fits = original_checkpoint.settings(checkpoint)["loss"]
    assert fits == ("wgan-gp", "dcgan")
    gan = build(*RUNS["plain"])
    assert original_checkpoint.restore(gan, checkpoint) == []
    assert int(gan.step) == 200_000
    iterations = gan.discriminator_optimizer.iterations
    assert int(iterations) == 200_000 * CRITIC_STEPS


def test_a_generator_alone_leaves_the_rest_as_it_was(
    run: Callable[[str], tf1.Run], tmp_path: pathlib.Path
) -> None:
    shape, _ = RUNS["plain"]

    def keep_generator(values: dict[str, Any]) -> None:
        for name in list(values):
            if not name.startswith("G/") or "Adam" in name:
                del values[name]

    checkpoint = rewritten(run("plain"), tmp_path, keep_generator)
    assert "loss" not in original_checkpoint.settings(checkpoint)
    gan = build(shape, "r3gan", ema_decay=0.9)  # slots of another optimizer
    before = gan.discriminator.get_weights()
    slots = [v.numpy() for v in gan.generator_optimizer.variables]
    missing = original_checkpoint.restore(gan, checkpoint)
    assert missing == [
        "step",
        "generator's optimizer",
        "discriminator",
        "its optimizer",
    ]
    assert int(gan.step) == 0
    for old, new in zip(before, gan.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(slots, gan.generator_optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    theirs = run("plain")
    examples = gan.generate(tf.constant(theirs.z))
    np.testing.assert_allclose(examples, theirs.examples, atol=1e-5)


KERNEL = "G/upconv_2/conv2d_transpose/kernel"
ODD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a layer less": (lambda v: v.pop(KERNEL), "upconv_0"),
    "no bias": (lambda v: v.pop("D/output/dense/bias"), "D/output/dense/bias"),
    "no slot": (
        lambda v: v.pop("D/output/dense/bias/Adam_1"),
        "D/output/dense/bias/Adam_1",
    ),
    "no first layer": (
        lambda v: v.pop("G/z_project/dense/kernel"),
        "G/z_project/dense/kernel",
    ),
    "other widths": (
        lambda v: v.update({KERNEL: np.zeros((1, 25, 5, 8), np.float32)}),
        KERNEL,
    ),
    "a kernel of two axes": (
        lambda v: v.update({KERNEL: np.zeros((25, 5), np.float32)}),
        KERNEL,
    ),
    "empty": (
        lambda v: v.update({KERNEL: np.zeros((1, 25, 0, 8), np.float32)}),
        KERNEL,
    ),
    "text": (
        lambda v: v.update({"G/upconv_2/conv2d_transpose/bias": [b"a"] * 4}),
        "G/upconv_2/conv2d_transpose/bias is object",
    ),
    "NaN": (
        lambda v: v.update({KERNEL: v[KERNEL] * np.float32(np.nan)}),
        f"{KERNEL} is not finite",
    ),
    "a step that is none": (
        lambda v: v.update(global_step=np.zeros(2, np.int64)),
        "global_step",
    ),
    "a step below 0": (
        lambda v: v.update(global_step=np.int64(-1)),
        "global_step is -1",
    ),
    "more": (
        lambda v: v.update({"G/upconv_2/gru/kernel": np.float32(0)}),
        "G/upconv_2/gru/kernel",
    ),
    "two optimizers": (
        lambda v: v.update({f"{KERNEL}/RMSProp": v[KERNEL]}),
        "Adam and RMSProp",
    ),
    "other decays": (
        lambda v: v.update(beta2_power=np.float32(0.5)),
        "beta2_power is 0.5",
    ),
    "something else": (
        lambda v: [v.pop(n) for n in list(v) if "/" in n],
        "no G/upconv_0",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_missing_or_odd_is_named(
    name: str, run: Callable[[str], tf1.Run], tmp_path: pathlib.Path
) -> None:
    change, word = ODD[name]
    checkpoint = rewritten(run("plain"), tmp_path, change)
    with pytest.raises(ValueError, match="model.ckpt-7") as caught:
        take_all(checkpoint)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@functools.cache
def plain_gan() -> gan_lib.GAN:
    """A GAN to restore into."""
    return build(*RUNS["plain"])


def take_all(checkpoint: original_checkpoint.Checkpoint) -> None:
    """Does what the mode `import` does."""
    original_checkpoint.model_of(checkpoint)
    original_checkpoint.settings(checkpoint)
    original_checkpoint.restore(plain_gan(), checkpoint)


def test_damage_is_reported_or_harmless(
    run: Callable[[str], tf1.Run], tmp_path: pathlib.Path
) -> None:
    source = pathlib.Path(run("plain").path)
    for file in source.parent.glob(f"{source.name}.*"):
        shutil.copy(file, tmp_path)
    path = str(tmp_path / source.name)
    take_all(original_checkpoint.read(path))
    sound = plain_gan().get_weights()
    rng = np.random.default_rng(0)
    told = 0
    for ending, count in (("index", 40), ("data-00000-of-00001", 10)):
        file = pathlib.Path(f"{path}.{ending}")
        content = file.read_bytes()
        for place in rng.integers(len(content), size=count):
            damaged = bytearray(content)
            damaged[place] ^= 1 << rng.integers(8)
            file.write_bytes(damaged)
            try:
                take_all(original_checkpoint.read(path))
            except ValueError as error:
                assert path in str(error)
                told += 1
            else:
                for a, b in zip(sound, plain_gan().get_weights(), strict=True):
                    np.testing.assert_array_equal(a, b)
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="cannot be read"):
            take_all(original_checkpoint.read(path))
        file.write_bytes(content)
    assert told > 30
    file.unlink()
    with pytest.raises(ValueError, match="data-00000-of-00001"):
        take_all(original_checkpoint.read(path))


def test_a_checkpoint_is_found_by_its_files_and_its_folder(
    run: Callable[[str], tf1.Run], tmp_path: pathlib.Path
) -> None:
    path = run("plain").path
    names = [path, f"{path}.index", f"{path}.data-00000-of-00001"]
    for name in [*names, str(pathlib.Path(path).parent)]:
        assert original_checkpoint.read(name).path == path
    for nothing in (tmp_path, tmp_path / "model.ckpt-1"):
        with pytest.raises(FileNotFoundError, match="is missing"):
            original_checkpoint.read(str(nothing))
    other = tmp_path / "notes.index"
    other.write_text("no table")
    with pytest.raises(ValueError, match="cannot be read"):
        original_checkpoint.read(str(other))
