"""Sums over parts of a set are those of the whole, with and without classes."""

import numpy as np
import pytest

from lfiw_ray.core import inception_score, moments, set_sums

RNG = np.random.default_rng(0)
FEATURES, P, LOG_W = RNG.normal(5, 1, (300, 4)), RNG.dirichlet(np.ones(3), 300), RNG.normal(300, 1, 300)


def test_two_parts_are_the_whole() -> None:
    parts = [set_sums.of(FEATURES[rows], P[rows], LOG_W[rows]) for rows in (slice(0, 100), slice(100, 300))]
    found = set_sums.merge(*parts)
    mean, covariance = moments.finish(moments.of(FEATURES, LOG_W))
    for value, direct in zip(moments.finish(found.moments), (mean, covariance), strict=True):
        assert np.allclose(value, direct, rtol=1e-12)
    assert found.score is not None
    assert inception_score.finish(found.score) == pytest.approx(inception_score.finish(inception_score.of(P, LOG_W)))


def test_without_classes_there_is_no_score() -> None:
    part = set_sums.of(FEATURES, None, None)
    assert part.score is None
    assert set_sums.merge(part, part).score is None
    assert set_sums.merge(part, part).moments.num_rows == 600
