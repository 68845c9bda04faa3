"""core/diagnostics.py: figures against direct formulas, and merged = whole."""

import tracemalloc
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp, softmax

from lfiw_ray.core import pareto
from lfiw_ray.core.diagnostics import diagnose, empty, extend, finish, merge, of
from lfiw_ray.errors import NonFiniteError

LOG_W = 1.5 * np.random.default_rng(3).standard_normal(4001)
VALUES = st.lists(st.one_of(st.floats(-800, 800), st.just(-np.inf)), max_size=40).map(np.array)


def test_agrees_with_scipy_and_the_definitions():
    got = diagnose(LOG_W)
    w, p = np.exp(LOG_W), softmax(LOG_W)
    assert got.n == 4001
    assert got.mean_w == pytest.approx(w.mean(), rel=1e-12)
    assert got.mean_w_se == pytest.approx(stats.sem(w), rel=1e-9)
    assert got.log_mean_w == pytest.approx(logsumexp(LOG_W) - np.log(4001), rel=1e-12)
    assert got.ess == pytest.approx(1 / (p**2).sum(), rel=1e-12)
    assert got.ess_fraction == pytest.approx(got.ess / 4001)
    assert got.max_share == pytest.approx(p.max(), rel=1e-12)
    assert got.entropy_nats == pytest.approx(stats.entropy(p), rel=1e-12)
    assert got.perplexity == pytest.approx(np.exp(stats.entropy(p)), rel=1e-11)
    assert got.top1pct_share == pytest.approx(np.sort(p)[-40:].sum(), rel=5e-3)
    assert got.k_hat == pareto.k_hat(np.sort(LOG_W)[::-1][: pareto.tail_rows(4001) + 1])


@pytest.mark.parametrize("cuts", [[0], [1, 2, 3], [1000, 2000, 3000], list(range(0, 4001, 97))])
def test_merged_is_whole(cuts):
    states = [of(part, len(LOG_W)) for part in np.split(LOG_W, cuts)]
    forward = finish(reduce(merge, states))
    backward = finish(reduce(merge, states[::-1]))
    np.testing.assert_allclose(forward, diagnose(LOG_W), rtol=1e-12)
    np.testing.assert_allclose(backward, diagnose(LOG_W), rtol=1e-12)
    assert forward.k_hat == backward.k_hat == diagnose(LOG_W).k_hat


@settings(max_examples=200)
@given(a=VALUES, b=VALUES, c=VALUES)
def test_merge_is_associative_and_commutative(a, b, c):
    n = len(a) + len(b) + len(c)
    x, y, z = (of(part, n) for part in (a, b, c))
    whole = of(np.concatenate([a, b, c]), n)
    for got in (merge(merge(x, y), z), merge(x, merge(y, z)), merge(z, merge(y, x))):
        assert (got.rows_seen, got.peak) == (n, whole.peak)
        assert np.array_equal(got.top, whole.top)
        np.testing.assert_allclose(got[3:5], whole[3:5], rtol=1e-12)
        np.testing.assert_allclose(got.sum_w_log_w, whole.sum_w_log_w, rtol=1e-9, atol=1e-12)


@settings(max_examples=50)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]), ties=st.booleans())
def test_any_cut_in_any_order_is_the_whole(data, dtype, ties):
    log_w = (np.round(LOG_W) if ties else LOG_W).astype(dtype)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log_w)), max_size=6)))
    parts = data.draw(st.permutations(np.split(log_w, cuts)))
    whole = of(log_w, len(log_w))
    merged = reduce(merge, [of(part, len(log_w)) for part in parts])
    extended = reduce(extend, parts, empty(len(log_w)))
    for got in (merged, extended):
        assert (got.rows_seen, got.peak) == (whole.rows_seen, whole.peak)
        assert np.array_equal(got.top, whole.top)
        assert np.array_equal(got.histogram.counts, whole.histogram.counts)
        np.testing.assert_allclose(got.histogram.mass, whole.histogram.mass, rtol=1e-12)
        np.testing.assert_allclose(got[3:6], whole[3:6], rtol=1e-12)
        assert finish(got).k_hat == finish(whole).k_hat


def test_more_rows_than_one_chunk():
    log_w = np.tile(LOG_W, 20).astype(np.float32)  # 80,020 rows: three chunks
    got, w = diagnose(log_w), np.exp(log_w.astype(np.float64))
    assert got.mean_w == pytest.approx(w.mean(), rel=1e-12)
    assert got.ess == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
    assert got.entropy_nats == pytest.approx(stats.entropy(w), rel=1e-12)
    assert np.array_equal(of(log_w, len(log_w)).top, np.sort(log_w)[::-1][: pareto.tail_rows(80_020) + 1])


def test_equal_weights():
    got = diagnose(np.full(1000, 1000.0))
    assert got.ess == got.n == 1000
    assert (got.k_hat, got.max_share, got.mean_w, got.mean_w_se) == (None, 1e-3, np.inf, 0)
    assert got.log_mean_w == 1000
    assert got.perplexity == pytest.approx(1000)
    assert got.top1pct_share == pytest.approx(0.01)


def test_one_weight_dominates_by_e_700():
    got = diagnose(np.append(np.zeros(999), 700.0))
    assert (got.ess, got.max_share, got.top1pct_share, got.k_hat) == (1, 1, 1, np.inf)
    assert got.entropy_nats == pytest.approx(0, abs=1e-200)


def test_rows_of_weight_zero_count_as_rows():
    got = diagnose(np.array([0.0, 0.0, -np.inf, -np.inf]))
    assert (got.n, got.ess, got.mean_w, got.entropy_nats) == (4, 2, 0.5, pytest.approx(np.log(2)))


def test_one_row():
    got = diagnose(np.array([2.0]))
    assert (got.n, got.ess, got.mean_w_se, got.max_share) == (1, 1, np.inf, 1)


def test_large_weights_that_come_late_are_kept():
    """Dense values in random order: a bar that is a little too high would lose some."""
    log_w = np.random.default_rng(0).permutation(np.linspace(0, 1, 200_000))
    top = np.sort(log_w)[::-1][: pareto.tail_rows(200_000) + 1]
    assert np.array_equal(of(log_w, 200_000).top, top)
    assert np.array_equal(reduce(extend, np.split(log_w, 40), empty(200_000)).top, top)


def test_memory_is_bounded():
    log_w = np.random.default_rng(0).standard_normal(1_000_000, np.float32)
    tracemalloc.start()
    state = of(log_w, len(log_w))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 3e6  # a float64 copy of the weights alone is 8e6
    assert len(state.top) == pareto.tail_rows(1_000_000) + 1 == 3_001


def test_refusals():
    with pytest.raises(NonFiniteError, match="sample id 7"):
        of(np.array([0, np.nan]), 2, start=6)
    with pytest.raises(NonFiniteError, match="all 3 weights are zero"):
        diagnose(np.full(3, -np.inf))
    with pytest.raises(ValueError, match="3 rows, but 2 have been merged"):
        finish(of(np.zeros(2), 3))
    with pytest.raises(ValueError, match="2 and 3 rows"):
        merge(of(np.zeros(2), 2), of(np.zeros(2), 3))
