"""Tests class labels: in the networks, in training and on disk."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import small_gan
import tensorflow as tf
import untrained_gans

import gan
import losses
import specgan
import wavegan
from networks import augmentation, dcgan
from training import checkpoints
from training import config as config_lib
from training import gan_model as model_lib
from training import weights as weights_lib

Random = np.random.Generator
NUM_LABELS = 3
SMALL = dataclasses.replace(small_gan.SMALL, num_labels=NUM_LABELS)
LABELS = np.array([2, 0, 1, 2], np.int32)


def build(objective: Any = "wgan-gp", **fields: Any) -> gan.GAN:
    """A small compiled GAN with labels; fields of its networks or of it."""
    names = {field.name for field in dataclasses.fields(SMALL)}
    own = {name: fields.pop(name) for name in names & fields.keys()}
    config = dataclasses.replace(SMALL, **own)
    return small_gan.build(objective, config, **fields)


# The networks ----------------------------------------------------------------


def features_of(network: keras.Model) -> keras.Model:
    """What the last layers of a discriminator get."""
    flat = next(
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Flatten)
    )
    return keras.Model(network.inputs[0], flat.output)


@pytest.mark.parametrize("kind", [wavegan, specgan])
def test_a_score_is_linear_in_the_features_and_in_their_product_with_a_label(
    kind: Any, rng: Random, randomize: Any
) -> None:
    config: Any = SMALL
    shape: tuple[int, ...] = (4, 128, 1)
    if kind is specgan:
        config = specgan.SpecGANConfig(dim=1, num_labels=NUM_LABELS)
        shape = (4, 128, 128, 1)
    network = randomize(kind.build_discriminator(config))
    x = rng.normal(size=shape).astype(np.float32)
    scores = network([x, LABELS]).numpy()
    h = features_of(network)(x).numpy().astype(np.float64)
    kernel, bias = network.get_layer("output").get_weights()
    (vectors,) = network.get_layer("label_project").get_weights()
    assert vectors.shape == (NUM_LABELS, h.shape[1])
    expected = (h @ kernel + bias)[:, 0] + np.sum(h * vectors[LABELS], axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [wavegan, specgan])
def test_a_label_moves_the_generators_first_map(
    kind: Any, rng: Random, randomize: Any
) -> None:
    """As if z had a bias of each label's own."""
    fields: dict[str, Any] = {"latent_dim": 3, "dim": 1}
    if kind is wavegan:
        fields |= {"slice_len": 128}
    configs = [
        (wavegan.WaveGANConfig if kind is wavegan else specgan.SpecGANConfig)(
            num_labels=n, **fields
        )
        for n in (NUM_LABELS, 0)
    ]
    labelled, plain = (kind.build_generator(config) for config in configs)
    randomize(labelled)
    z = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    found = labelled([z, LABELS]).numpy()
    kernel, bias, vectors, *others = labelled.get_weights()
    assert vectors.shape == (NUM_LABELS, bias.size)
    for i, label in enumerate(LABELS):
        plain.set_weights([kernel, bias + vectors[label], *others])
        np.testing.assert_allclose(found[i], plain(z)[i], atol=1e-5)


def test_a_fresh_generator_hears_a_label_as_much_as_z() -> None:
    network = wavegan.build_generator(
        wavegan.WaveGANConfig(dim=8, num_labels=200)
    )
    kernel = network.get_layer("z_project").get_weights()[0]
    (vectors,) = network.get_layer("label_project").get_weights()
    of_z = kernel.shape[0] * kernel.var() / 3  # z is uniform in [-1, 1)
    assert vectors.var() == pytest.approx(of_z, rel=0.02)


def test_an_embedding_is_a_lookup_with_a_dense_gradient(rng: Random) -> None:
    layer = dcgan.LabelEmbedding(NUM_LABELS, 5)
    with tf.GradientTape() as tape:
        found = layer(tf.constant(LABELS))
    upstream = rng.normal(size=(4, 5)).astype(np.float32)
    gradient = tape.gradient(found, layer.embeddings.value, upstream)
    np.testing.assert_array_equal(found, layer.get_weights()[0][LABELS])
    expected = np.zeros((NUM_LABELS, 5))
    np.add.at(expected, LABELS, upstream)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_labelled_networks_save_and_load_in_safe_mode(
    tmp_path: pathlib.Path, rng: Random
) -> None:
    x = tf.constant(rng.uniform(-1, 1, (4, 3)), tf.float32)
    label = tf.constant(LABELS)
    for make in (wavegan.build_generator, wavegan.build_discriminator):
        network = make(SMALL)
        network.save(tmp_path / "network.keras")
        again = keras.models.load_model(
            tmp_path / "network.keras", safe_mode=True
        )
        y = network([x, label])
        np.testing.assert_array_equal(again([x, label]), y)
        x = y


def test_without_labels_the_networks_take_one_input() -> None:
    model = small_gan.build()
    assert model.num_labels == 0
    assert len(model.generator.inputs) == len(model.discriminator.inputs) == 1
    assert build().num_labels == NUM_LABELS
    with pytest.raises(ValueError, match="num_labels is -1"):
        dataclasses.replace(SMALL, num_labels=-1)


# A step ----------------------------------------------------------------------

# Of the networks or of the GAN.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in losses.OBJECTIVES},
    "batch norm": ("dcgan", {"batchnorm": True}),
    "average": ("wgan-gp", {"ema_decay": 0.9}),
    "lazy": ("r3gan", {"penalty_interval": 2}),
    "all": (
        "r3gan",
        {"augment": ("shift", "noise"), "num_spectral": 1, "ema_decay": 0.9},
    ),
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_networks_learn_what_labels_mean(variant: str) -> None:
    name, fields = VARIANTS[variant]
    objective = losses.OBJECTIVES[name]
    if objective.clip:  # by 0.01 the generator's gradients vanish
        objective = dataclasses.replace(objective, clip=0.2)
    model = build(objective, **fields)
    embeddings = [
        network.get_layer("label_project")
        for network in (
            *(model.generator, model.discriminator),
            *model.spectral_critics,
        )
    ]
    before = [layer.get_weights()[0] for layer in embeddings]
    reports = small_gan.train(model, 2)
    assert np.all(np.isfinite([[*report.values()] for report in reports]))
    for layer, weights in zip(embeddings, before, strict=True):
        assert np.any(layer.get_weights()[0] != weights)
    if model.ema_decay:
        average = model.ema_generator.get_layer("label_project")
        assert np.any(average.get_weights()[0] != before[0])


class Calls:
    """What a network is called with, and what it returns, in eager mode."""

    def __init__(self, network: keras.Model) -> None:
        self.x: list[np.ndarray] = []
        self.label: list[np.ndarray] = []
        self.y: list[np.ndarray] = []
        call = network.call

        def note(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            y = call(inputs, *args, **kwargs)
            for kept, array in zip(
                (self.x, self.label, self.y), (*inputs, y), strict=True
            ):
                kept.append(array.numpy())
            return y

        network.call = note


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("objective", ["dcgan", "wgan-gp", "r3gan"])
def test_fakes_have_the_labels_of_the_real_batch(objective: str) -> None:
    model = build(objective, critic_steps=2)
    generator, discriminator = (
        Calls(model.generator),
        Calls(model.discriminator),
    )
    audio, labels = map(np.asarray, small_gan.inputs_of(model, seed=3))
    assert len({row.tobytes() for row in labels}) == 2
    model.train_step((tf.constant(audio), tf.constant(labels)))
    np.testing.assert_array_equal(
        np.concatenate(generator.label), [*labels.ravel(), *labels[-1]]
    )
    # Whatever is scored, its label is that of its place in the batch.
    per_update = (len(discriminator.label) - 1 - (objective == "r3gan")) // 2
    for i, label in enumerate(discriminator.label):
        wanted = labels[min(i // per_update, 1)]
        repeats = len(label) // len(wanted)
        np.testing.assert_array_equal(label, np.tile(wanted, repeats))
    both = discriminator.x[0]
    fakes = generator.y[0][: len(audio[0])]
    np.testing.assert_array_equal(both, [*audio[0], *fakes])


def test_labels_make_a_difference_that_is_learnt() -> None:
    """Sounds of one label, silence of the other: the critic asks for both."""
    model = build("dcgan", critic_steps=1, phaseshuffle=0, num_labels=2)
    model.compile("dcgan", learning_rate=1e-9, disc_learning_rate=1e-2)
    wave = np.sin(np.arange(128) / 3)[:, np.newaxis]
    labels = np.array([[0, 1, 0, 1, 0, 1]], np.int32)
    audio = ((1 - labels[..., None, None]) * wave).astype(np.float32)
    step = tf.function(model.train_step)
    for _ in range(60):
        step((tf.constant(audio), tf.constant(labels)))
    right = model.discriminator([audio[0], labels[0]]).numpy()
    wrong = model.discriminator([audio[0], 1 - labels[0]]).numpy()
    assert np.all(right > wrong)


@pytest.mark.usefixtures("eagerly")
def test_labels_are_learnt_in_bfloat16() -> None:
    settings = config_lib.TrainConfig(
        precision="bf16", spectral_critics=1, critic_steps=1
    )
    model = model_lib.build_gan(
        settings,
        lambda: (
            wavegan.build_generator(SMALL),
            wavegan.build_discriminator(SMALL),
        ),
        SMALL.latent_dim,
    )
    model_lib.compile_gan(model, settings)
    layer = model.generator.get_layer("label_project")
    assert layer.compute_dtype == "bfloat16"
    before = layer.get_weights()[0]
    (report,) = small_gan.train(model, 1)
    assert np.all(np.isfinite([*report.values()]))
    after = layer.get_weights()[0]
    assert after.dtype == np.float32 and np.any(after != before)
    scores = model.discriminator([small_gan.batches_of(model)[0], LABELS])
    assert scores.dtype == tf.float32


def dataset(model: gan.GAN, steps: int) -> tf.data.Dataset:
    """Elements of audio and labels."""
    rows = [small_gan.inputs_of(model, seed) for seed in range(steps)]
    audio, labels = (np.stack(column) for column in zip(*rows, strict=True))
    return tf.data.Dataset.from_tensor_slices((audio, labels.astype(np.int64)))


def test_fit_takes_audio_and_labels() -> None:
    by_fit, by_hand = build(), build()
    history = by_fit.fit(dataset(by_fit, 2), verbose=0).history
    assert set(history) == {"d_loss", "g_loss"}
    assert int(by_fit.step) == 2
    small_gan.train(by_hand, 2)
    for a, b in (
        (by_fit.generator, by_hand.generator),
        (by_fit.discriminator, by_hand.discriminator),
    ):
        np.testing.assert_allclose(
            small_gan.flat(a), small_gan.flat(b), atol=1e-6
        )


@pytest.mark.slow
def test_compiled_by_xla_all_of_it_trains() -> None:
    model = build(
        "r3gan",
        critic_steps=1,
        jit_compile=True,
        num_spectral=1,
        augment=augmentation.KINDS,
    )
    before = small_gan.flat(model.generator)
    history = model.fit(dataset(model, 2), verbose=0).history
    assert np.all(np.isfinite([*history["d_loss"], *history["g_loss"]]))
    assert np.any(small_gan.flat(model.generator) != before)


def test_a_clip_is_made_by_its_label() -> None:
    model = build(ema_decay=0.9)
    z = np.ones((NUM_LABELS, 3), np.float32)
    clips = model.generate(z, np.arange(NUM_LABELS)).numpy()
    assert clips.shape == (NUM_LABELS, 128, 1)
    assert len({clip.tobytes() for clip in clips}) == NUM_LABELS


def test_specgan_learns_labels(rng: Random) -> None:
    config = specgan.SpecGANConfig(
        latent_dim=3, dim=1, kernel_len=3, num_labels=NUM_LABELS
    )
    model = specgan.SpecGAN(
        specgan.build_generator(config),
        specgan.build_discriminator(config),
        latent_dim=3,
        critic_steps=1,
        moments=untrained_gans.MOMENTS,
        iterations=1,
        ema_decay=0.9,
    )
    model.compile("wgan-gp")
    audio = rng.normal(0, 0.1, (1, 4, 16384, 1)).astype(np.float32)
    before = [
        network.get_layer("label_project").get_weights()[0]
        for network in (model.generator, model.discriminator)
    ]
    step = tf.function(model.train_step)
    report = step((tf.constant(audio), tf.constant(LABELS[np.newaxis])))
    assert np.isfinite(float(report["d_loss"]))
    for network, weights in zip(
        (model.generator, model.discriminator), before, strict=True
    ):
        after = network.get_layer("label_project").get_weights()[0]
        assert np.any(after != weights)
    clips = model.generate(np.ones((4, 3), np.float32), LABELS).numpy()
    assert clips.shape == (4, 16384, 1)
    np.testing.assert_array_equal(clips[0], clips[3])
    assert np.any(clips[0] != clips[1])


# On disk ---------------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("num_spectral", [0, 1])
def test_a_restored_run_goes_on_bit_for_bit(
    num_spectral: int, tmp_path: pathlib.Path
) -> None:
    fields: dict[str, Any] = {
        "ema_decay": 0.9,
        "seed": 5,
        "penalty_interval": 3,
    }
    if num_spectral:
        fields["num_spectral"] = num_spectral
        fields["augment"] = augmentation.KINDS
    straight = build("r3gan", **fields)
    small_gan.train(straight, 2)
    store = checkpoints.Checkpoints(tmp_path / "c")
    store.save(straight, 2)
    reports = small_gan.train(straight, 2, first=2)
    again = build("r3gan", init=77, **fields)
    assert store.restore(again) == 2
    assert small_gan.train(again, 2, first=2) == reports
    for a, b in zip(straight.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_released_weights_hold_the_labels(tmp_path: pathlib.Path) -> None:
    model, other = build(init=1), build(init=2)
    for name, network in (
        (weights_lib.GENERATOR, model.generator),
        ("discriminator.npz", model.discriminator),
    ):
        (tmp_path / name).write_bytes(weights_lib.pack(network, 7))
    assert weights_lib.load(other, tmp_path) == 7
    for ours, theirs in (
        (model.generator, other.generator),
        (model.discriminator, other.discriminator),
    ):
        np.testing.assert_allclose(
            small_gan.flat(ours), small_gan.flat(theirs), atol=1e-3
        )
    with pytest.raises(ValueError, match=r"generator\.npz does not fit"):
        weights_lib.load(build(num_labels=2), tmp_path)
