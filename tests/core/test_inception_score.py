"""Inception Score: exact cases, merging, weights, bad input."""

import functools
import itertools

import numpy as np
import pytest
from scipy.special import softmax

from lfiw_ray.core import inception_score
from lfiw_ray.errors import NonFiniteError


def _probabilities(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.asarray(softmax(3 * np.random.default_rng(seed).standard_normal((n, k)), axis=1))


def test_known_scores() -> None:
    certain = np.eye(5)
    assert inception_score.finish(inception_score.of(certain)) == pytest.approx(5)
    assert inception_score.finish(inception_score.of(np.full((7, 5), 0.2))) == pytest.approx(1)
    two_of_five = np.array([0.0, 0.0, -np.inf, -np.inf, -np.inf])
    assert inception_score.finish(inception_score.of(certain, two_of_five)) == pytest.approx(2)


@pytest.mark.parametrize("spread", [1.0, 1_000.0])
def test_merged_equals_whole_equals_formula(spread: float) -> None:
    p, log_w = _probabilities(300, 6), np.random.default_rng(1).normal(0, spread, 300)
    parts = [inception_score.of(a, b) for a, b in zip(np.split(p, [10, 200]), np.split(log_w, [10, 200]), strict=True)]
    w = softmax(log_w)
    expected = np.exp(w @ (p * np.log(p / (w @ p))).sum(axis=1))
    for order in (parts, parts[::-1]):
        merged = functools.reduce(inception_score.merge, order, inception_score.init(6))
        assert merged.num_rows == 300
        assert inception_score.finish(merged) == pytest.approx(expected, rel=1e-10)


def test_integer_weights_are_repetitions() -> None:
    p, times = _probabilities(50, 4), np.random.default_rng(2).integers(1, 6, 50)
    weighted = inception_score.finish(inception_score.of(p, np.log(times)))
    assert weighted == pytest.approx(inception_score.finish(inception_score.of(np.repeat(p, times, axis=0))))


def test_splits_are_scores_of_parts() -> None:
    p, log_w = _probabilities(103, 4), np.random.default_rng(3).normal(0, 1, 103)
    order = np.random.default_rng(4).permutation(103)
    ends = [10 * i * 103 // 100 for i in range(11)]
    parts = [order[a:b] for a, b in itertools.pairwise(ends)]
    expected = [inception_score.finish(inception_score.of(p[rows], log_w[rows])) for rows in parts]
    found = inception_score.over_splits(p, log_w, rng=np.random.default_rng(4))
    assert found == (pytest.approx(np.mean(expected), rel=1e-12), pytest.approx(np.std(expected), rel=1e-9), 10)
    in_order = inception_score.over_splits(p[order], log_w[order])
    assert in_order == pytest.approx(found, rel=1e-12)


def test_one_split_is_the_score_and_more_are_lower() -> None:
    p = _probabilities(500, 20)
    whole = inception_score.finish(inception_score.of(p))
    assert inception_score.over_splits(p, num_splits=1) == (pytest.approx(whole), 0, 1)
    assert inception_score.over_splits(p).mean < whole


def test_bad_splits() -> None:
    p = _probabilities(9, 3)
    for num_splits in (0, 10):
        with pytest.raises(ValueError, match=f"got {num_splits}"):
            inception_score.over_splits(p, num_splits=num_splits)
    with pytest.raises(ValueError, match="weight above zero"):
        inception_score.over_splits(p, np.where(np.arange(9) < 3, -np.inf, 0.0), num_splits=3)


def test_bad_input() -> None:
    p = _probabilities(5, 3)
    with pytest.raises(NonFiniteError, match="row 4"):
        inception_score.of(np.where(np.arange(5)[:, None] == 4, np.nan, p))
    with pytest.raises(ValueError, match="row 1 is no probability distribution"):
        inception_score.of(np.where(np.arange(5)[:, None] == 1, 2 * p, p))
    with pytest.raises(ValueError, match="weight above zero"):
        inception_score.finish(inception_score.of(p, np.full(5, -np.inf)))
    with pytest.raises(ValueError, match="weight above zero"):
        inception_score.finish(inception_score.init(3))
    with pytest.raises(ValueError, match="3 and 4 classes"):
        inception_score.merge(inception_score.init(3), inception_score.init(4))
