"""Tests whole runs: graphs, `fit`, XLA, checkpoints."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import reference
import small_gan
import tensorflow as tf

import gan
import losses


def test_a_step_is_traced_once() -> None:
    model = small_gan.build(ema_decay=0.9)
    step = tf.function(model.train_step)
    for seed in range(3):
        step(tf.constant(small_gan.batches_of(model, seed)))
        assert step.experimental_get_tracing_count() == 1


def dataset(model: gan.GAN, steps: int) -> tf.data.Dataset:
    """Elements `[critic_steps, batch, slice_len, channels]`."""
    elements = np.stack(
        [small_gan.batches_of(model, seed) for seed in range(steps)]
    )
    return tf.data.Dataset.from_tensor_slices(elements)


def test_fit_makes_the_steps_that_train_step_makes() -> None:
    by_fit, by_hand = small_gan.build(), small_gan.build()
    before = small_gan.flat(by_fit.generator)
    history = by_fit.fit(dataset(by_fit, 2), verbose=0).history
    assert set(history) == {"d_loss", "g_loss"}
    assert np.all(np.isfinite([*history["d_loss"], *history["g_loss"]]))
    assert int(by_fit.step) == 2
    assert np.any(small_gan.flat(by_fit.generator) != before)
    small_gan.train(by_hand, 2)
    for a, b in (
        (by_fit.generator, by_hand.generator),
        (by_fit.discriminator, by_hand.discriminator),
    ):
        error = reference.relative_error(small_gan.flat(a), small_gan.flat(b))
        assert error < 1e-6


@pytest.mark.slow
def test_compiled_by_xla_it_trains() -> None:
    model = small_gan.build(critic_steps=1, jit_compile=True, ema_decay=0.9)
    before = (
        small_gan.flat(model.generator),
        small_gan.flat(model.discriminator),
    )
    history = model.fit(dataset(model, 2), verbose=0).history
    assert np.all(np.isfinite([*history["d_loss"], *history["g_loss"]]))
    assert int(model.step) == 2
    for network, weights in zip(
        (model.generator, model.discriminator), before, strict=True
    ):
        assert np.all(np.isfinite(small_gan.flat(network)))
        assert np.any(small_gan.flat(network) != weights)


def test_only_the_training_step_is_compiled_by_xla() -> None:
    model = small_gan.build(jit_compile=True)
    z = np.ones((1, 3), np.float32)
    twin = reference.generator(
        model.generator.get_weights(), small_gan.SMALL, z
    )
    assert reference.relative_error(model.generator(z), twin) < 1e-5
    assert not getattr(model.generator, "jit_compile", False)


def checkpoint_of(model: gan.GAN) -> tf.train.Checkpoint:
    """All that a run is, beside its seed."""
    return tf.train.Checkpoint(
        generator=model.generator,
        discriminator=model.discriminator,
        ema_generator=model.ema_generator,
        generator_optimizer=model.generator_optimizer,
        discriminator_optimizer=model.discriminator_optimizer,
        step=model.step,
    )


@pytest.mark.parametrize(
    ("objective", "fields"),
    [
        ("wgan-gp", {}),
        ("dcgan", {"batchnorm": True, "dropout": 0.5}),
        ("lsgan", {"upsample": "nn", "post_filter_len": 8}),
    ],
)
def test_a_restored_run_goes_on_bit_for_bit(
    objective: str,
    fields: dict[str, Any],
    tmp_path: pathlib.Path,
    request: pytest.FixtureRequest,
) -> None:
    if objective != "wgan-gp":  # graphs are slow to make: one is enough
        request.getfixturevalue("eagerly")
    config = dataclasses.replace(small_gan.SMALL, **fields)
    fields = {"config": config, "ema_decay": 0.9, "seed": 5}
    straight = small_gan.build(objective, **fields)
    small_gan.train(straight, 2)
    path = checkpoint_of(straight).write(str(tmp_path / "checkpoint"))
    reports = small_gan.train(straight, 2, first=2)
    assert np.all(np.isfinite([list(r.values()) for r in reports]))
    again = small_gan.build(objective, init=77, **fields)
    status = checkpoint_of(again).read(path)
    status.assert_existing_objects_matched()
    assert int(again.step) == 2
    assert small_gan.train(again, 2, first=2) == reports
    for a, b in (
        (straight.generator, again.generator),
        (straight.discriminator, again.discriminator),
        (straight.ema_generator, again.ema_generator),
    ):
        np.testing.assert_array_equal(small_gan.flat(a), small_gan.flat(b))


def test_unknown_objectives_are_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="wgan_gp") as error:
        small_gan.build("wgan_gp")
    assert all(name in str(error.value) for name in losses.OBJECTIVES)
