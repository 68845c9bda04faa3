"""core/rivals.py: every rival under the same demands, and the same as its mergeable states."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest

from lfiw_ray.core import (
    fresh,
    poolwise,
    ranks,
    rejection,
    rivals,
    rivals_drs,
    rivals_mh,
    rivals_obrs,
    score_counts,
)
from lfiw_ray.errors import ConfigError, NonFiniteError

N = 2003
LOG_W = (1.5 * np.random.default_rng(0).standard_normal(N)).astype(np.float32)
EVERY = pytest.mark.parametrize("name", rivals.RIVALS)


@EVERY
@pytest.mark.parametrize("k", [0, 1, 7, 200, N])
@pytest.mark.parametrize(
    "log_w", [LOG_W, np.zeros(N), LOG_W - 743.0, LOG_W * 50], ids=["normal", "equal", "tiny", "wild"]
)
def test_k_distinct_rows_of_weight_one(name, k, log_w):
    got = rivals.select(name, log_w, 10**10, k, 5)
    assert got.sample_ids.dtype == got.multiplicity.dtype == np.int64
    assert len(got.sample_ids) == k
    assert (np.diff(got.sample_ids) > 0).all()
    assert ((got.sample_ids >= 10**10) & (got.sample_ids < 10**10 + N)).all()
    assert (got.multiplicity == 1).all()
    assert (got.weight == 1).all()


@EVERY
def test_rows_without_weight_are_never_selected(name):
    log_w = np.where(np.arange(N) % 2, LOG_W, -np.inf)
    for seed in range(20):
        assert (rivals.select(name, log_w, 0, 100, seed).sample_ids % 2 == 1).all()


@pytest.mark.parametrize("name", ["pool", "mh", "obrs", "drs", "top_k"])
def test_one_weight_that_dominates_is_always_selected(name):
    log_w = np.zeros(N)
    log_w[3] = 700.0
    for seed in range(20):
        assert 3 in rivals.select(name, log_w, 0, 100, seed).sample_ids


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_weight_is_refused_by_name(name, bad):
    log_w = LOG_W.copy()
    log_w[70] = bad
    with pytest.raises(NonFiniteError, match="sample id 1070"):
        rivals.select(name, log_w, 1000, 10, 0)


@EVERY
def test_too_few_rows(name):
    with pytest.raises(ConfigError, match=r"k = 2,004 .*lower k"):
        rivals.select(name, LOG_W, 0, N + 1, 0)
    with pytest.raises(ConfigError):
        rivals.select(name, np.full(10, -np.inf), 0, 1, 0)
    with pytest.raises(ValueError, match="-1"):
        rivals.select(name, LOG_W, 0, -1, 0)


def test_streams_and_seeds():
    for name in ("pool", "mh", "drs", "obrs", "uniform"):
        sets = [rivals.select(name, LOG_W, 0, 100, *rest).sample_ids for rest in ((1,), (2,), (1, "other"), (1, name))]
        assert not np.array_equal(sets[0], sets[1])
        assert not np.array_equal(sets[0], sets[2])
        assert np.array_equal(sets[0], sets[3])
    with pytest.raises(ValueError, match="'best'"):
        rivals.select("best", LOG_W, 0, 1, 0)


def test_the_methods_by_themselves_use_the_same_noise():
    for name, rule in (("pool", poolwise.drawn), ("mh", rivals_mh.walked)):
        got = fresh.finish(fresh.init(LOG_W[:2000], 0, 20, rule(5)))
        assert np.array_equal(got.sample_ids, rivals.select(name, LOG_W, 0, 100, 5).sample_ids)
    got = ranks.finish(ranks.uniform(LOG_W, 0, 100, 5))
    assert np.array_equal(got.sample_ids, rivals.select("uniform", LOG_W, 0, 100, 5).sample_ids)


@pytest.mark.parametrize("cuts", [(), (1,), (512, 513, 1900)])
def test_rejection_by_shards_is_rejection_of_the_whole(cuts):
    """Peak, constant and first k each from merged states, in reverse order."""
    parts = [(a, LOG_W[a:b]) for a, b in pairwise([0, *cuts, N])][::-1]
    peak = max(float(part.max()) for _, part in parts)
    expected = rejection.expected_for(100)
    seen = reduce(score_counts.merge, (score_counts.of(rivals_drs.scores(part, peak)) for _, part in parts))
    gamma = rivals_drs.gamma_for(seen, expected)
    drs = reduce(rejection.merge, (rivals_drs.draw(part, a, 100, 5, peak, gamma) for a, part in parts))
    log_c = rivals_obrs.log_c_for(reduce(score_counts.merge, (score_counts.of(part) for _, part in parts)), expected)
    obrs = reduce(rejection.merge, (rivals_obrs.draw(part, a, 100, 5, log_c) for a, part in parts))
    assert np.array_equal(rejection.finish(drs).sample_ids, rivals.select("drs", LOG_W, 0, 100, 5).sample_ids)
    assert np.array_equal(rejection.finish(obrs).sample_ids, rivals.select("obrs", LOG_W, 0, 100, 5).sample_ids)
