"""Tests properties of the scores, and compares them with NumPy references."""

from collections.abc import Callable

import numpy as np
import pytest
import reference_eval
from hypothesis import given
from hypothesis import strategies as st

from eval import (
    bootstrap,
    clips,
    coverage,
    frechet,
    inception,
    similarity,
)

seeds = st.integers(0, 2**31)


def draw_probs(rng: np.random.Generator, num_clips: int = 200) -> np.ndarray:
    """Sure and unsure predictions of four words."""
    logits = rng.normal(0, 3, [num_clips, 4])
    exp = np.exp(logits)
    return exp / exp.sum(1, keepdims=True)


@pytest.mark.parametrize("splits", [1, 10])
def test_unsure_predictions_score_1(splits: int) -> None:
    probs = np.full([100, 10], 0.1)
    assert inception.inception_score(probs, splits) == pytest.approx((1, 0))


def test_balanced_one_hot_predictions_score_the_number_of_words() -> None:
    probs = np.tile(np.eye(10), [100, 1])
    assert inception.inception_score(probs) == pytest.approx((10, 0))


def test_one_word_alone_scores_1() -> None:
    probs = np.tile(np.eye(10)[3], [100, 1])
    assert inception.inception_score(probs) == pytest.approx((1, 0))


@given(seeds)
def test_inception_score_does_not_depend_on_the_order_of_words(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    probs = draw_probs(rng)
    assert inception.inception_score(probs) == pytest.approx(
        inception.inception_score(probs[:, rng.permutation(4)])
    )


@given(seeds)
def test_inception_score_is_between_1_and_the_number_of_words(
    seed: int,
) -> None:
    mean, _ = inception.inception_score(draw_probs(np.random.default_rng(seed)))
    assert 1 <= mean <= 4


def test_inception_score_is_the_mean_over_splits_with_their_own_marginals(
    rng: np.random.Generator,
) -> None:
    probs = draw_probs(rng, 203)
    parts = [
        reference_eval.inception_score(part)
        for part in np.array_split(probs, 10)
    ]
    mean, std = inception.inception_score(probs, 10)
    assert mean == pytest.approx(np.mean(parts))
    assert std == pytest.approx(np.std(parts))


def test_certain_predictions_of_zero_do_not_become_nan() -> None:
    probs = np.array([[1.0, 0.0], [0.0, 1.0]] * 10)
    assert np.isfinite(inception.modified_inception_score(probs))
    assert inception.am_score(probs, probs) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bad", [np.ones([4, 3]), np.ones(3), np.zeros([0, 3])])
def test_values_that_are_no_probabilities_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="probs"):
        inception.inception_score(bad, 1)


def test_more_splits_than_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="splits is 10"):
        inception.inception_score(np.full([5, 2], 0.5))


def test_modified_score_is_over_all_pairs(rng: np.random.Generator) -> None:
    probs = draw_probs(rng, 30)
    assert inception.modified_inception_score(probs) == pytest.approx(
        reference_eval.modified_inception_score(probs)
    )


def test_am_adds_entropy_and_divergence_of_the_marginals() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4]])
    real = np.array([[0.5, 0.5]])
    entropy = -np.mean(np.sum(probs * np.log(probs), 1))
    spread = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert inception.am_score(probs, real) == pytest.approx(entropy + spread)


def test_frechet_distance_of_a_set_to_itself_is_0(
    rng: np.random.Generator,
) -> None:
    a = rng.normal(size=[300, 16])
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@given(seeds)
def test_frechet_distance_is_symmetric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=[50, 5]), rng.normal(1, 2, size=[40, 5])
    assert frechet.frechet_distance(a, b) == pytest.approx(
        frechet.frechet_distance(b, a)
    )


def test_frechet_distance_of_gaussians_has_a_closed_form(
    rng: np.random.Generator,
) -> None:
    a = rng.normal(size=[200, 3])
    # Exactly these moments: mean 0 and covariance 1, then moved and stretched.
    a = (a - a.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(a.T))).T
    scales, move = np.array([1.0, 2.0, 5.0]), np.array([3.0, 0.0, -4.0])
    turn = np.linalg.qr(rng.normal(size=[3, 3]))[0]
    b = (a * scales + move) @ turn
    expected = 25 + np.sum((scales - 1) ** 2)
    assert frechet.frechet_distance(a @ turn, b) == pytest.approx(expected)


def test_frechet_distance_takes_fewer_clips_than_dimensions(
    rng: np.random.Generator,
) -> None:
    a = rng.normal(size=[10, 64])
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet.frechet_distance(a, a + 1) == pytest.approx(64, rel=1e-6)


def test_kernel_distance_is_the_unbiased_estimate(
    rng: np.random.Generator,
) -> None:
    a, b = rng.normal(size=[12, 5]), rng.normal(1, 1, size=[9, 5])
    assert frechet.kernel_distance(a, b) == pytest.approx(
        reference_eval.kernel_distance(a, b)
    )


def test_kernel_distance_of_two_halves_is_0_on_average() -> None:
    rng = np.random.default_rng(0)
    values = [
        frechet.kernel_distance(*np.split(rng.normal(size=[200, 8]), 2))
        for _ in range(100)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0
    far = frechet.kernel_distance(
        rng.normal(size=[100, 8]), rng.normal(1, 1, size=[100, 8])
    )
    assert far > 10 * np.std(values)


@pytest.mark.parametrize(
    "distance", [frechet.frechet_distance, frechet.kernel_distance]
)
def test_features_that_do_not_fit_are_refused(
    distance: Callable[[np.ndarray, np.ndarray], float],
) -> None:
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(5, 4\)"):
        distance(np.ones([5, 3]), np.ones([5, 4]))


def test_precision_recall_density_coverage_of_a_set_to_itself_are_1(
    rng: np.random.Generator,
) -> None:
    a = rng.normal(size=[700, 6])
    values = coverage.precision_recall_density_coverage(a, a)
    assert values.precision.all() and values.recall.all()
    assert values.coverage.all()
    # A ball holds its centre and its k neighbours.
    assert values.density.mean() == pytest.approx(
        (coverage.NEAREST_K + 1) / coverage.NEAREST_K
    )


def test_precision_recall_density_coverage_are_as_defined(
    rng: np.random.Generator,
) -> None:
    a, b = rng.normal(size=[40, 3]), rng.normal(0.7, 0.6, size=[55, 3])
    values = coverage.precision_recall_density_coverage(a, b, nearest_k=3)
    slow = reference_eval.prdc(a, b, 3)
    assert {k: v.mean() for k, v in vars(values).items()} == pytest.approx(slow)


def test_far_clips_have_no_precision_and_no_recall(
    rng: np.random.Generator,
) -> None:
    a = rng.normal(size=[60, 3])
    values = coverage.precision_recall_density_coverage(a + 100, a)
    assert not any(value.any() for value in vars(values).values())


def test_bins_of_one_kind_differ_as_seldom_as_the_level_says(
    rng: np.random.Generator,
) -> None:
    a, b = rng.normal(size=[2, 2000, 4])
    ndb = coverage.different_bins(*coverage.bin_features(a, b))
    assert ndb < 0.2
    one = coverage.bin_features(np.repeat(a[:1], 500, 0), b)
    assert coverage.different_bins(*one) > 0.6


@pytest.mark.parametrize("exclude_self", [False, True])
def test_nearest_neighbours_are_those_of_a_slow_search(
    rng: np.random.Generator, exclude_self: bool
) -> None:
    b = 100 + rng.normal(size=[50, 4, 3])
    a = b if exclude_self else rng.normal(100, 1, size=[20, 4, 3])
    slow = reference_eval.nearest(a, b, exclude_self)
    mean, std = similarity.nearest_neighbor_distance(a, b, exclude_self)
    assert mean == pytest.approx(slow.mean(), rel=1e-5)
    assert std == pytest.approx(slow.std(), rel=1e-4)


def test_the_set_of_references_may_come_in_parts(
    rng: np.random.Generator,
) -> None:
    b = rng.normal(size=[50, 6])
    whole = similarity.nearest(b, [b], exclude_self=True)
    parts = similarity.nearest(b, iter([b[:7], b[7:9], b[9:]]), True)
    np.testing.assert_allclose(whole[0], parts[0], rtol=1e-5)
    np.testing.assert_array_equal(whole[1], parts[1])


def test_copies_are_at_distance_0(rng: np.random.Generator) -> None:
    b = rng.normal(-8, 4, size=[300, 16384]).astype(np.float32)
    distances, indices = similarity.nearest(b[40:60], [b])
    assert not distances.any()
    np.testing.assert_array_equal(indices, np.arange(40, 60))


def test_a_copy_with_quiet_noise_sounds_near_and_is_far(
    rng: np.random.Generator,
) -> None:
    at = np.arange(6000) / 16000
    pitches = np.array([[440], [523], [660]])
    sounds = np.zeros([3, 16384], np.float32)  # digital silence after them
    sounds[:, :6000] = 0.3 * np.sin(2 * np.pi * pitches * at)
    noise = 1e-4 * rng.normal(size=sounds.shape)
    copies = (0.5 * sounds + noise).astype(np.float32)
    clean, noisy = similarity.embed(sounds), similarity.embed(copies)
    far = np.linalg.norm(noisy - clean, axis=1)
    clean, noisy = similarity.audible(clean), similarity.audible(noisy)
    near, found = similarity.nearest(noisy, [clean])
    np.testing.assert_array_equal(found, [0, 1, 2])
    others, _ = similarity.nearest(clean, [clean], exclude_self=True)
    assert near.max() < others.min() / 5
    assert near.max() < far.min() / 20


def test_no_clips_have_features_of_the_same_length() -> None:
    assert similarity.embed(np.zeros([0, 16384])).shape == (0, 16384)
    assert similarity.embed(np.zeros([2, 16384])).shape == (2, 16384)


def test_a_repeated_clip_is_its_own_twins_neighbour(
    rng: np.random.Generator,
) -> None:
    b = np.repeat(rng.normal(size=[10, 5]), 2, axis=0)
    assert similarity.nearest_neighbor_distance(b, b, True) == (0, 0)


def test_one_clip_has_no_neighbour_but_itself() -> None:
    with pytest.raises(ValueError, match="no neighbour"):
        similarity.nearest_neighbor_distance(
            np.ones([1, 3]), np.ones([1, 3]), exclude_self=True
        )


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(100):
        values = rng.exponential(size=80)

        def mean(i: np.ndarray, values: np.ndarray = values) -> float:
            return float(values[i].mean())

        low, high = bootstrap.interval(values.mean(), mean, 80, trial)
        held += low <= 1 <= high
    assert 85 <= held <= 99


def test_an_interval_of_a_biased_statistic_is_around_the_value(
    rng: np.random.Generator,
) -> None:
    values = rng.normal(size=100)
    low, high = bootstrap.interval(
        100, lambda i: float(len(np.unique(values[i]))), 100
    )
    assert low < 100 < high  # repeats leave about 63 of them


def test_normalized_clips_peak_at_1_and_silence_stays_silent(
    rng: np.random.Generator,
) -> None:
    audio = rng.uniform(-1, 1, [5, 16384]).astype(np.float32)
    audio *= np.array([1, 0.3, 1e-3, 0, 1e-9], np.float32)[:, None]
    source = clips.Source("a", 5, lambda start, stop: audio[start:stop])
    ours = clips.normalized(source)
    peaks = np.abs(ours.load(0, 5)).max(axis=1)
    np.testing.assert_allclose(peaks, [1, 1, 1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(
        ours.load(1, 3), audio[1:3] / np.abs(audio[1:3]).max(1)[:, None]
    )
    assert (ours.name, ours.num_clips) == ("a", 5)
