"""Tests phase shuffle by its properties and against a NumPy reference."""

from __future__ import annotations

import pathlib
from typing import Any

import hypothesis
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import strategies as st

import phaseshuffle
from networks import replicas


def ramp(batch: int = 3, time: int = 16, channels: int = 2) -> np.ndarray:
    """x[t] = t in every example and channel, so that samples show the shift."""
    line = np.arange(time, dtype=np.float32)
    return np.tile(line[None, :, None], (batch, 1, channels))


def shifts_of(y: np.ndarray) -> np.ndarray:
    """The shifts by which a ramp became y, `[batch, channels]`."""
    middle = y.shape[1] // 2
    return middle - y[:, middle].astype(int)


def test_radius_zero_is_identity(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 9, 3)).astype(np.float32)
    for per_example in (False, True):
        y = phaseshuffle.phase_shuffle(x, 0, per_example=per_example)
        np.testing.assert_array_equal(y, x)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    batch=st.integers(1, 3),
    time=st.integers(6, 20),
    channels=st.integers(1, 3),
    radius=st.integers(1, 5),
    data=st.data(),
)
def test_a_given_shift_equals_the_reference(
    batch: int, time: int, channels: int, radius: int, data: st.DataObject
) -> None:
    x = np.random.default_rng(time).normal(size=(batch, time, channels))
    x = x.astype(np.float32)
    one = st.integers(-radius, radius)
    shift = data.draw(one)
    y = phaseshuffle.phase_shuffle(x, radius, shift=shift)
    np.testing.assert_array_equal(y, reference.phase_shuffle(x, shift))
    many = data.draw(st.lists(one, min_size=batch, max_size=batch))
    y = phaseshuffle.phase_shuffle(
        x, radius, shift=np.array(many, np.int32), per_example=True
    )
    np.testing.assert_array_equal(y, reference.phase_shuffle(x, many))


def test_positive_shift_is_later_and_the_gap_is_a_mirror() -> None:
    x = np.array([10, 11, 12, 13, 14, 15], np.float32)[None, :, None]
    later = phaseshuffle.phase_shuffle(x, 2, shift=2)
    sooner = phaseshuffle.phase_shuffle(x, 2, shift=-2)
    np.testing.assert_array_equal(
        np.ravel(later), [12, 11, 10, 11, 12, 13], "the edge is not repeated"
    )
    np.testing.assert_array_equal(np.ravel(sooner), [12, 13, 14, 15, 14, 13])


@pytest.mark.parametrize("shift", [-3, -1, 0, 2, 3])
def test_inner_samples_are_only_moved(
    shift: int, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(2, 12, 2)).astype(np.float32)
    y = np.asarray(phaseshuffle.phase_shuffle(x, 3, shift=shift))
    inner = slice(3, -3)
    moved = np.roll(x, shift, axis=1)
    np.testing.assert_array_equal(y[:, inner], moved[:, inner])


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_draws_are_uniform_over_the_whole_radius(radius: int) -> None:
    tf.random.set_seed(3)
    x = ramp(batch=4000, channels=1)
    y = phaseshuffle.phase_shuffle(x, radius, per_example=True)
    values, counts = np.unique(shifts_of(np.asarray(y)), return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-radius, radius + 1))
    expected = 4000 / (2 * radius + 1)
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))


def test_one_draw_serves_the_whole_call() -> None:
    tf.random.set_seed(5)
    seen = set()
    for _ in range(60):
        y = np.asarray(phaseshuffle.phase_shuffle(ramp(), 2))
        shifts = shifts_of(y)
        assert np.all(shifts == shifts[0, 0]), "shared by batch and channels"
        np.testing.assert_array_equal(
            y, reference.phase_shuffle(ramp(), shifts[0, 0])
        )
        seen.add(int(shifts[0, 0]))
    assert seen == {-2, -1, 0, 1, 2}


def test_per_example_draws_differ_but_channels_share_them() -> None:
    tf.random.set_seed(5)
    y = phaseshuffle.phase_shuffle(ramp(batch=64), 2, per_example=True)
    shifts = shifts_of(np.asarray(y))
    np.testing.assert_array_equal(shifts[:, 0], shifts[:, 1])
    assert len(np.unique(shifts[:, 0])) == 5


def test_equal_seeds_draw_equal_shifts() -> None:
    draws = []
    for seed in (11, 11, 12):
        tf.random.set_seed(seed)
        y = phaseshuffle.phase_shuffle(ramp(batch=32), 3, per_example=True)
        draws.append(shifts_of(np.asarray(y))[:, 0].tolist())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("shift", [-2, 0, 1])
def test_gradient_is_the_adjoint_of_the_reference(
    shift: int, rng: np.random.Generator
) -> None:
    x = tf.constant(rng.normal(size=(2, 8, 3)), tf.float32)
    dy = rng.normal(size=(2, 8, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = phaseshuffle.phase_shuffle(x, 2, shift=shift)
    dx = tape.gradient(y, x, output_gradients=tf.constant(dy))
    dx = tf.convert_to_tensor(dx)
    twin = reference.phase_shuffle_adjoint(dy, shift)
    assert reference.relative_error(dx, twin) < 1e-6


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("per_example", [False, True])
def test_graphs_of_unknown_batch_give_the_same_shuffle(
    jit_compile: bool, per_example: bool
) -> None:
    shapes = []

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec([None, 16, 2], tf.float32),
            tf.TensorSpec([None] if per_example else [], tf.int32),
        ],
    )
    def shuffle(x: tf.Tensor, shift: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = phaseshuffle.phase_shuffle(
                x, 2, shift=shift, per_example=per_example
            )
        shapes.append(y.shape.as_list())
        return y, tf.convert_to_tensor(tape.gradient(y, x))

    for shift in (-2, 1):
        shifts = [shift, 0, -shift] if per_example else shift
        y, dx = shuffle(ramp(), np.array(shifts, np.int32))
        twin = reference.phase_shuffle(ramp(), shifts)
        np.testing.assert_array_equal(y, twin)
        assert float(tf.reduce_sum(dx)) == twin.size, "all of y comes from x"
    assert all(shape[1:] == [16, 2] for shape in shapes), "static shape kept"


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_draw_anew_at_each_call(jit_compile: bool) -> None:
    tf.random.set_seed(1)

    @tf.function(jit_compile=jit_compile)
    def shuffle(x: tf.Tensor) -> tf.Tensor:
        return phaseshuffle.phase_shuffle(x, 1)

    x = tf.constant(ramp())
    seen = {int(shifts_of(shuffle(x).numpy())[0, 0]) for _ in range(40)}
    assert seen == {-1, 0, 1}


def test_layer_shuffles_in_training_only(rng: np.random.Generator) -> None:
    layer = phaseshuffle.PhaseShuffle(2)
    x = ramp()
    for y in (layer(x), layer(x, training=False)):
        np.testing.assert_array_equal(y, x)
    shifts = [shifts_of(np.asarray(layer(x, training=True))) for _ in range(60)]
    assert {int(shift[0, 0]) for shift in shifts} == {-2, -1, 0, 1, 2}
    assert all(np.all(shift == shift[0, 0]) for shift in shifts)


def test_layer_draws_per_example_where_asked(rng: np.random.Generator) -> None:
    layer = phaseshuffle.PhaseShuffle(2, per_example=True)
    shifts = shifts_of(np.asarray(layer(ramp(batch=64), training=True)))
    assert len(np.unique(shifts)) == 5


@pytest.mark.parametrize("per_example", [False, True])
def test_layer_round_trips_through_its_config(per_example: bool) -> None:
    layer = phaseshuffle.PhaseShuffle(3, per_example=per_example, name="p")
    again = phaseshuffle.PhaseShuffle.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    plain = keras.layers.deserialize(keras.layers.serialize(layer))
    assert isinstance(plain, phaseshuffle.PhaseShuffle)
    assert plain.get_config()["radius"] == 3
    assert plain.get_config()["per_example"] is per_example


def test_model_with_the_layer_loads_in_safe_mode(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    inputs = keras.Input((16, 2))
    shuffled = phaseshuffle.PhaseShuffle(2)(inputs)
    outputs = keras.layers.Conv1D(1, 3)(shuffled)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    x = rng.normal(size=(2, 16, 2)).astype(np.float32)
    np.testing.assert_array_equal(again(x), model(x))
    # The loaded layer still shuffles: 60 draws are not all the identity.
    different = [
        not np.array_equal(again(x, training=True), again(x)) for _ in range(60)
    ]
    assert any(different)


@pytest.mark.parametrize("per_example", [False, True])
def test_parts_are_shuffled_as_in_calls_of_their_own(per_example: bool) -> None:
    x = tf.constant(ramp(batch=6))
    apart = phaseshuffle.PhaseShuffle(5, per_example, seed=3)
    want = [apart(part, training=True) for part in tf.split(x, 3)]
    together = phaseshuffle.PhaseShuffle(5, per_example, seed=3)
    with replicas.in_parts(3):
        got = together(x, training=True)
    np.testing.assert_array_equal(got, tf.concat(want, 0))
    assert len(np.unique(shifts_of(np.asarray(got)))) > 1, "all moved alike"
    np.testing.assert_array_equal(  # after the block, all is as before
        together(x, training=True), apart(x, training=True)
    )


@pytest.mark.parametrize("time", [3, 5, 6, 7, 16])
@pytest.mark.parametrize("per_example", [False, True])
def test_gradients_of_any_order_are_adjoints(
    rng: np.random.Generator, time: int, per_example: bool
) -> None:
    """<P x, y> = <x, P'y> for each shift, and P'' is P again."""
    for shift in range(-2, 3):
        x, y, z = (
            tf.constant(rng.standard_normal((3, time, 2))) for _ in range(3)
        )
        given = tf.fill([3], shift) if per_example else shift

        def shuffle(x: tf.Tensor, given: Any = given) -> tf.Tensor:
            return phaseshuffle.phase_shuffle(
                x, 2, shift=given, per_example=per_example
            )

        with tf.GradientTape() as outer:
            outer.watch(y)
            with tf.GradientTape() as inner:
                inner.watch(x)
                moved = shuffle(x)
            dx = inner.gradient(moved, x, y)
        np.testing.assert_allclose(
            tf.reduce_sum(moved * y), tf.reduce_sum(x * dx), rtol=1e-6
        )
        np.testing.assert_allclose(
            outer.gradient(dx, y, z), shuffle(z), rtol=1e-6
        )
