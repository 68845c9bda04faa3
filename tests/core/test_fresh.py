"""core/fresh.py: every group is settled once, whole, whatever the shards."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfiw_ray.core import fresh, poolwise, rivals_mh
from lfiw_ray.errors import ConfigError, NonFiniteError

LOG_W = 2 * np.random.default_rng(3).standard_normal(420)


def heaviest(log_w, _start):
    """A rule without noise."""
    return np.argmax(log_w, axis=1)


def test_the_rows_of_a_small_case():
    got = fresh.finish(fresh.init(np.array([1.0, 3, 2, 9, 8, 7]), 100, 3, heaviest, first=100))
    assert got.sample_ids.tolist() == [101, 103]
    assert (got.keys, got.multiplicity.tolist(), got.weight.tolist()) == (None, [1, 1], [1.0, 1.0])


def test_groups_start_at_first():
    state = fresh.init(np.arange(7.0), 5, 3, heaviest, first=3)  # groups 3-5, 6-8, 9-11
    assert state.sample_ids.tolist() == [8, 11]
    assert state.loose_ids.tolist() == [5]
    assert state.loose_log_w.tolist() == [0.0]


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 420), max_size=6),
    m=st.sampled_from([1, 2, 3, 7, 10, 60, 420]),
    first=st.integers(0, 20),
    order=st.randoms(use_true_random=False),
    rule=st.sampled_from([poolwise.drawn, rivals_mh.walked]),
)
def test_the_same_for_every_sharding_and_order(cuts, m, first, order, rule):
    edges = [0, *sorted(cuts), 420]
    parts = [fresh.init(LOG_W[a:b], first + a, m, rule(4), first=first) for a, b in pairwise(edges)]
    order.shuffle(parts)
    got = parts[0]
    for part in parts[1:]:
        got = fresh.merge(got, part, rule(4))
    whole = fresh.finish(fresh.init(LOG_W, first, m, rule(4), first=first))
    assert np.array_equal(fresh.finish(got).sample_ids, whole.sample_ids)
    assert np.array_equal((whole.sample_ids - first) // m, np.arange(420 // m))


def test_rows_wait_only_at_the_edges():
    state = fresh.init(LOG_W, 1003, 10, heaviest, first=0)
    assert state.loose_ids.tolist() == [*range(1003, 1010), *range(1420, 1423)]
    assert len(state.sample_ids) == 41
    inside = fresh.init(LOG_W[:4], 1003, 10, heaviest)
    assert inside.loose_ids.tolist() == [1003, 1004, 1005, 1006]
    with pytest.raises(ValueError, match="sample id 1003 and 9 more"):
        fresh.finish(state)


@pytest.mark.parametrize("rule", [poolwise.drawn, rivals_mh.walked])
def test_a_group_without_weight_is_named(rule):
    log_w = np.zeros(30)
    log_w[10:20] = -np.inf
    with pytest.raises(ConfigError, match=r"all 10 candidates of group 1 \(sample ids 110 to 119\) have weight zero"):
        fresh.init(log_w, 100, 10, rule(0), first=100)
    parts = fresh.init(log_w[:15], 100, 10, rule(0), first=100), fresh.init(log_w[15:], 115, 10, rule(0), first=100)
    with pytest.raises(ConfigError, match="group 1"):
        fresh.merge(*parts, rule(0))


@pytest.mark.parametrize("rule", [poolwise.drawn, rivals_mh.walked])
def test_extremes(rule):
    """Rows without weight never, a row of e^700 always, denormal weights as any; k = 0 rows of no rows."""
    rng = np.random.default_rng(0)
    log_w = np.where(rng.random((1000, 5)) < 0.7, -np.inf, 0.0)
    log_w[:, 4] = 0.0
    chosen = fresh.finish(fresh.init(log_w.ravel(), 0, 5, rule(1))).sample_ids
    assert (log_w.ravel()[chosen] == 0).all()
    log_w[:, 2] = 700.0
    assert (fresh.finish(fresh.init(log_w.ravel(), 0, 5, rule(1))).sample_ids % 5 == 2).all()
    low, high = (fresh.finish(fresh.init(LOG_W + shift, 0, 10, rule(1))).sample_ids for shift in (-743, 0))
    assert np.array_equal(low, high)
    assert len(fresh.finish(fresh.init(np.empty(0), 50, 10, rule(1))).sample_ids) == 0
    assert fresh.finish(fresh.init(LOG_W, 0, 1, rule(1))).sample_ids.tolist() == list(range(420))


def test_refusals():
    with pytest.raises(NonFiniteError, match="sample id 12"):
        fresh.init(np.array([0.0, 0, np.nan, 0]), 10, 2, poolwise.drawn(0))
    with pytest.raises(NonFiniteError, match="sample id 11"):
        fresh.init(np.array([0.0, np.inf]), 10, 2, rivals_mh.walked(0))
    with pytest.raises(ValueError, match="m = 0"):
        fresh.init(LOG_W, 0, 0, poolwise.drawn(0))
    with pytest.raises(ValueError, match="start at least 5"):
        fresh.init(LOG_W, 4, 2, poolwise.drawn(0), first=5)
    with pytest.raises(ValueError, match=r"\(2, 0\) and \(3, 0\)"):
        fresh.merge(
            fresh.init(LOG_W, 0, 2, poolwise.drawn(0)), fresh.init(LOG_W, 420, 3, poolwise.drawn(0)), poolwise.drawn(0)
        )
