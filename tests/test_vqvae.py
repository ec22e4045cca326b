"""Tests the VQ-VAE: codebook, gradients, prior and sampling."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tones

from alternatives import code_prior, vqvae
from system import settings

Random = np.random.Generator
SMALL: dict[str, Any] = {
    "slice_len": 256,
    "latent_dim": 8,
    "dim": 2,
    "codebook_size": 6,
    "code_dim": 3,
    "prior_dim": 5,
}


def build(seed: int = 0, **fields: Any) -> vqvae.VQVAE:
    """A compiled VQ-VAE of small networks."""
    keras.utils.set_random_seed(seed)
    model = vqvae.VQVAE(vqvae.VQVAEConfig(**{**SMALL, **fields}), seed=seed)
    model.compile()
    return model


def codebook_of(model: vqvae.VQVAE) -> tuple[np.ndarray, np.ndarray]:
    """The vectors, `[codebook_size, code_dim]`, and how often each is used."""
    (vectors,) = model.networks["generator"].get_layer("codebook").get_weights()
    (usage,) = model.networks["usage"].get_weights()
    return vectors, usage[:, 0]


def set_codebook(
    model: vqvae.VQVAE, vectors: np.ndarray, usage: np.ndarray
) -> None:
    """Gives a model these vectors, as often used as said."""
    layer = model.networks["generator"].get_layer("codebook")
    layer.set_weights([vectors])
    model.networks["usage"].set_weights([usage[:, np.newaxis]])


def test_codes_are_those_of_the_nearest_vectors(rng: Random) -> None:
    model = build()
    book = rng.normal(size=(6, 3)).astype(np.float32)
    set_codebook(model, book, np.ones(6, np.float32))
    vectors = rng.normal(size=(4, 8, 3)).astype(np.float32)
    distances = np.linalg.norm(vectors[:, :, np.newaxis] - book, axis=-1)
    codes = model.quantise(vectors)
    assert codes.dtype == tf.int32
    np.testing.assert_array_equal(codes, distances.argmin(axis=-1))


def test_gradients_pass_straight_through() -> None:
    vectors, nearest = tf.constant([1.0, -2.0]), tf.constant([0.5, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([vectors, nearest])
        passed = vqvae.straight_through(vectors, nearest)
        loss = tf.reduce_sum(passed**3)
    np.testing.assert_array_equal(passed, nearest)
    np.testing.assert_allclose(tape.gradient(loss, vectors), 3 * nearest**2)
    assert tape.gradient(loss, nearest) is None


def test_the_encoder_learns_from_decoder_and_commitment_alone() -> None:
    model = build()
    clips = tones.batch(4, 256)[0]
    model.losses(clips, None)  # starts the codebook
    encoder = model.networks["encoder"]
    with tf.GradientTape(persistent=True) as tape:
        losses = model.losses(clips, None)
    for name in ("reconstruction", "commitment"):
        gradients = tape.gradient(losses[name], encoder.trainable_variables)
        assert tf.linalg.global_norm(gradients) > 0, name
    for network in ("encoder", "generator"):
        variables = model.networks[network].trainable_variables
        assert not any(
            gradient is not None
            for gradient in tape.gradient(losses["prior"], variables)
        )
    names = {
        variable.path
        for network in model.networks.values()
        for variable in network.trainable_variables
    }
    assert not names & {"codebook/embeddings", "usage/embeddings"}


def test_codebook_is_the_running_average_of_its_vectors(rng: Random) -> None:
    model = build(codebook_decay=0.8, restart_below=0.0)
    book = rng.normal(size=(6, 3))
    usage = rng.uniform(0.5, 1.5, 6)
    set_codebook(model, book.astype(np.float32), usage.astype(np.float32))
    model.step.assign(7)
    sums = book * usage[:, np.newaxis]
    for _ in range(3):
        vectors = rng.normal(size=(4, 8, 3)).astype(np.float32)
        codes = model.quantise(vectors).numpy()
        shares = model._update_codebook(tf.constant(vectors), codes)
        for k in range(6):
            own = vectors[codes == k].astype(float)
            usage[k] = 0.8 * usage[k] + 0.2 * len(own) * 6 / 32
            sums[k] = 0.8 * sums[k] + 0.2 * own.sum(axis=0) * 6 / 32
        found = codebook_of(model)
        np.testing.assert_allclose(found[1], usage, rtol=1e-5)
        np.testing.assert_allclose(
            found[0], sums / usage[:, np.newaxis], rtol=1e-4, atol=1e-5
        )
        counts = np.bincount(codes.ravel(), minlength=6)
        np.testing.assert_allclose(shares, counts / 32, atol=1e-6)


def rows_in(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which vectors, `[count, dim]`, are among the rows, `[rows, dim]`."""
    same = np.isclose(vectors[:, np.newaxis], rows, atol=1e-6).all(axis=-1)
    return same.any(axis=1)


def test_unused_vectors_start_anew_as_vectors_of_the_batch(rng: Random) -> None:
    model = build(codebook_decay=0.9, restart_below=0.1)
    book = rng.normal(size=(6, 3)).astype(np.float32)
    book[4] = 100  # nothing is near it
    usage = np.array([1, 1, 1, 1, 0.1, 1], np.float32)
    set_codebook(model, book, usage)
    model.step.assign(7)
    vectors = rng.normal(size=(4, 8, 3)).astype(np.float32)
    codes = model.quantise(vectors)
    model._update_codebook(tf.constant(vectors), codes)
    found, now = codebook_of(model)
    is_new = rows_in(found, vectors.reshape(-1, 3))
    assert list(is_new) == [False, False, False, False, True, False]
    np.testing.assert_allclose(now[4], 0.2)  # twice the limit
    # The draw is a function of seed and step alone.
    set_codebook(model, book, usage)
    model._update_codebook(tf.constant(vectors), codes)
    np.testing.assert_array_equal(codebook_of(model)[0], found)
    again = set()
    for step in range(20):
        set_codebook(model, book, usage)
        model.step.assign(step + 8)
        model._update_codebook(tf.constant(vectors), codes)
        again.add(codebook_of(model)[0][4].tobytes())
    assert len(again) > 5


def test_the_first_step_fills_the_codebook_from_its_batch() -> None:
    model = build()
    clips = tones.batch(4, 256)[0]
    vectors = (
        model.networks["encoder"](clips, training=True).numpy().reshape(-1, 3)
    )
    assert not np.any(rows_in(codebook_of(model)[0], vectors))
    model.losses(clips, None)
    found, usage = codebook_of(model)
    is_new = usage == np.float32(0.2)
    assert is_new.sum() >= 3
    np.testing.assert_array_equal(rows_in(found, vectors), is_new)
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    assert np.all((found >= low - 1e-6) & (found <= high + 1e-6))


def test_losses_are_those_of_the_paper() -> None:
    model = build(commitment_weight=0.7)
    clips = tones.batch(4, 256)[0]
    model.losses(clips, None)
    book, _ = codebook_of(model)
    vectors = model.networks["encoder"](clips, training=True).numpy()
    codes = model.quantise(vectors).numpy()
    logits = model.networks["prior"](codes[:, :-1]).numpy().astype(float)
    found = {k: float(v) for k, v in model.losses(clips, None).items()}
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(log_probs, codes[..., np.newaxis], -1).mean()
    np.testing.assert_allclose(found["prior"], expected, rtol=1e-5)
    commitment = np.mean((vectors - book[codes]) ** 2)
    np.testing.assert_allclose(found["commitment"], commitment, rtol=1e-4)
    np.testing.assert_allclose(
        found["loss"],
        found["reconstruction"] + 0.7 * commitment + expected,
        rtol=1e-5,
    )
    shares = np.bincount(codes.ravel(), minlength=6) / codes.size
    entropy = -sum(share * np.log(share) for share in shares if share)
    np.testing.assert_allclose(found["perplexity"], np.exp(entropy), rtol=1e-4)


@pytest.mark.parametrize("num_codes", [1, 8, 64])
def test_the_prior_sees_all_codes_before_and_none_after(
    num_codes: int, rng: Random
) -> None:
    prior = code_prior.build(num_codes, 7, 6, 0)
    codes = rng.integers(0, 7, (1, num_codes))
    before = prior(codes).numpy()
    assert before.shape == (1, num_codes + 1, 7)
    for i in range(num_codes):
        changed = codes.copy()
        changed[0, i] = (codes[0, i] + 1) % 7
        differs = np.any(prior(changed).numpy() != before, axis=(0, 2))
        assert not np.any(differs[: i + 1])
        # The last of the model's own codes is predicted from all others.
        assert differs[i + 1]
        if i == 0:
            assert differs[num_codes - 1] or num_codes == 1


def test_codes_are_drawn_as_often_as_the_prior_says() -> None:
    prior = code_prior.build(2, 3, 4, 0)
    prior.set_weights([3 * weights for weights in prior.get_weights()])
    # A grid of equally likely numbers instead of random ones.
    grid = (np.arange(300) + 0.5) / 300 * 2 - 1
    z = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    codes = code_prior.sample(prior, tf.constant(z, tf.float32)).numpy()
    found = np.zeros((3, 3))
    np.add.at(found, (codes[:, 0], codes[:, 1]), 1 / len(codes))
    logits = prior(np.array([[0], [1], [2]])).numpy().astype(float)
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = probs[0, 0][:, np.newaxis] * probs[:, 1]
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert np.ptp(expected) > 0.05


def test_draws_invert_the_distribution_function(rng: Random) -> None:
    logits = rng.normal(0, 2, (50, 9)).astype(np.float32)
    uniform = rng.uniform(0, 1, (50, 1)).astype(np.float32)
    probs = np.exp(logits.astype(float))
    sums = np.cumsum(probs / probs.sum(axis=1, keepdims=True), axis=1)
    expected = [
        np.searchsorted(row, u, side="right")
        for row, u in zip(sums, uniform[:, 0], strict=True)
    ]
    np.testing.assert_array_equal(
        code_prior.draw(logits, uniform)[:, 0], expected
    )
    ends = np.array([[0.0], [np.nextafter(np.float32(1), np.float32(0))]])
    drawn = code_prior.draw(np.zeros((2, 9), np.float32), ends)
    np.testing.assert_array_equal(drawn, [[0], [8]])


def test_clips_are_decoded_draws_of_the_prior(rng: Random) -> None:
    model = build(channels=2)
    model.losses(tones.batch(4, 256, channels=2)[0], None)
    z = rng.uniform(-1, 1, (4, 8)).astype(np.float32)
    codes = code_prior.sample(model.networks["prior"], z)
    clips = model.generate(z)
    assert clips.shape == (4, 256, 2)
    np.testing.assert_array_equal(clips, model.networks["generator"](codes))
    # Later numbers do not change earlier codes.
    other = np.concatenate([z[:, :5], -z[:, 5:]], axis=1)
    np.testing.assert_array_equal(
        code_prior.sample(model.networks["prior"], other)[:, :5], codes[:, :5]
    )


def test_labels_reach_prior_and_decoder(rng: Random) -> None:
    model = build(num_labels=3)
    labels = tf.constant([[0, 1, 2, 0]])
    before = {name: weights_of_labels(model, name) for name in model.generating}
    model.train_step((tf.constant(tones.batch(4, 256)), labels))
    for name, weights in before.items():
        assert np.all(np.any(weights != weights_of_labels(model, name), axis=1))
    codes = np.zeros((2, 3), np.int32)
    for name, inputs in (("prior", codes), ("generator", np.zeros((2, 8)))):
        both = model.networks[name]([inputs, np.array([0, 1])]).numpy()
        assert np.any(both[0] != both[1])


def weights_of_labels(model: vqvae.VQVAE, network: str) -> np.ndarray:
    """The vectors of the labels, `[num_labels, size]`."""
    layer = model.networks[network].get_layer("label_project")
    return layer.get_weights()[0]


@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_it_learns_tones(jit: bool) -> None:
    model = build(dim=4, codebook_size=32, code_dim=8, prior_dim=16)
    model.compile(learning_rate=3e-3)
    step = tf.function(model.train_step, autograph=False, jit_compile=jit)
    losses = [
        {
            name: float(value)
            for name, value in step(tones.batch(16, 256, seed=i)).items()
        }
        for i in range(100)
    ]
    for name in ("reconstruction", "prior"):
        rows = [row[name] for row in losses]
        assert np.mean(rows[-10:]) < 0.9 * np.mean(rows[:10]), name
    assert losses[-1]["perplexity"] > 6
    assert model.first_nonfinite_step.numpy() == tf.int64.max


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("latent_dim", {"latent_dim": 48}),
        ("latent_dim", {"slice_len": 256, "latent_dim": 128}),
        ("dim", {"dim": 2**15}),
        ("dim", {"prior_dim": 2**15}),
        ("codebook_size", {"codebook_size": 1}),
        ("codebook_decay", {"codebook_decay": 1.0}),
        ("restart_below", {"restart_below": float("nan")}),
        ("commitment_weight", {"commitment_weight": -0.1}),
    ],
)
def test_invalid_settings_are_named(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(settings.SettingError) as error:
        vqvae.VQVAEConfig(**fields)
    assert error.value.field == field


def test_strides_follow_from_the_number_of_codes() -> None:
    def strides(**fields: int) -> tuple[int, ...]:
        return vqvae.VQVAEConfig(**fields).strides

    assert strides() == (4, 4, 4, 4)
    assert strides(latent_dim=128) == (4, 4, 4, 2)
    assert strides(slice_len=256, latent_dim=64) == (4,)
