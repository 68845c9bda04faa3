"""Sums over parts of a set are those of the whole, however it is cut."""

from functools import reduce

import numpy as np
import pytest

from lfiw_ray.core import frechet, inception_score, moments
from lfiw_ray.engine.measure import reference_of
from lfiw_ray.engine.whole_set import finish, merge, of_shard
from lfiw_ray.models.extractors import Extracted

RNG = np.random.default_rng(0)
ROWS, LOG_W = 2_000, RNG.normal(0, 1, 2_000) + 300.0
FOUND = Extracted(RNG.normal(5, 1, (ROWS, 8)).astype(np.float32), RNG.dirichlet(np.ones(4), ROWS).astype(np.float32))
REAL = Extracted(RNG.normal(4, 1.5, (500, 8)).astype(np.float32), None)


@pytest.mark.parametrize("cuts", [[], [1, 2, 1999], [700, 1400], list(range(100, 2000, 100))])
def test_any_cut_gives_the_direct_computation(cuts: list[int]) -> None:
    rows = np.split(np.arange(ROWS), cuts)
    parts = [of_shard(Extracted(FOUND.features[r], FOUND.probabilities[r]), LOG_W[r]) for r in rows]
    for both in (reduce(merge, parts), reduce(merge, reversed(parts))):
        for sums, log_w in ((both.raw, None), (both.weighted, LOG_W)):
            found = finish(reference_of({}, REAL, REAL, 3), sums)
            direct = frechet.distance(moments.of(REAL.features), moments.of(FOUND.features, log_w))
            score = inception_score.finish(inception_score.of(FOUND.probabilities, log_w))
            assert found["fid"] == pytest.approx(direct, rel=1e-10)
            assert found["inception_score"] == pytest.approx(score, rel=1e-12)
            assert found["num_rows"] == ROWS
            w = np.ones(ROWS) if log_w is None else np.exp(log_w - log_w.max())
            assert found["ess"] == pytest.approx(w.sum() ** 2 / (w**2).sum())


def test_the_weights_count() -> None:
    both = of_shard(FOUND, np.where(FOUND.features[:, 0] < 5, 2.0, 0.0))
    real = reference_of({}, REAL, REAL, 3)
    assert finish(real, both.weighted)["fid"] < finish(real, both.raw)["fid"]


def test_without_classes_there_is_no_score() -> None:
    both = of_shard(Extracted(FOUND.features, None), LOG_W)
    assert "inception_score" not in finish(reference_of({}, REAL, REAL, 3), merge(both, both).raw)
