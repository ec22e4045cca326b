"""Tests that Keras's own saving keeps a run's draws, or says what to use."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
import small_gan
import tensorflow as tf


def test_weights_saved_by_keras_continue_with_the_same_draws(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "gan.weights.h5"
    straight, resumed = small_gan.build(), small_gan.build(init=1)
    small_gan.train(straight, 2)
    straight.save_weights(path)
    resumed.load_weights(path)
    assert int(resumed.step) == 2
    for model in (straight, resumed):
        small_gan.train(model, 2)
    assert int(resumed.step) == 4
    for ours, theirs in zip(
        straight.get_weights(), resumed.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_whole_gan_is_not_saved_but_its_remedy_is_named(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(NotImplementedError, match="save_weights"):
        small_gan.build().save(tmp_path / "gan.keras")


def test_model_checkpoint_saves_weights(tmp_path: pathlib.Path) -> None:
    model = small_gan.build()
    batches = tf.data.Dataset.from_tensors(small_gan.batches_of(model))
    callback = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5", save_weights_only=True
    )
    model.fit(batches, epochs=2, verbose=0, callbacks=[callback])
    other = small_gan.build(init=1)
    other.load_weights(tmp_path / "2.weights.h5")
    assert int(other.step) == int(model.step) == 2


def test_a_dataset_without_batches_for_each_update_is_named() -> None:
    model = small_gan.build()
    clips = tf.data.Dataset.from_tensors(small_gan.batches_of(model)[0])
    with pytest.raises(ValueError, match=r"expected .*\.batch\(2\)"):
        model.fit(clips, verbose=0)
