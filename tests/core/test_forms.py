"""core/forms.py: resolved once, applied shard by shard."""

import json

import numpy as np
import pytest
from arviz_stats.base import array_stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from lfiw_ray.core import diagnostics, pareto
from lfiw_ray.core.forms import Form, resolve, transform
from lfiw_ray.core.weights import flatten
from lfiw_ray.errors import NonFiniteError

LOG_W = 2 * np.random.default_rng(0).standard_normal(3_000)
MIXED = np.concatenate([np.full(20, -np.inf), LOG_W, np.round(LOG_W, 1)])  # zeros, and ties in the tail
TAILS = ["none", "truncate", "psis"]


def _resolved(log_w, alpha, beta, tail):
    return resolve(alpha, beta, tail, diagnostics.of(flatten(log_w, alpha), len(log_w)))


def test_the_default_form_changes_nothing():
    assert np.array_equal(Form().apply(MIXED.astype(np.float32)), MIXED.astype(np.float32).astype(np.float64))
    assert Form().apply(np.zeros(2, np.float32)).dtype == np.float64


def test_a_tiny_case_by_hand():
    w = np.array([1.0, 4.0, 16.0, 0.0])  # square roots: 1, 2, 4, 0; their mean is 7 / 4
    with np.errstate(divide="ignore"):
        log_w = np.log(w)
    np.testing.assert_allclose(np.exp(transform(log_w, 0.5)), [1, 2, 4, 0])
    np.testing.assert_allclose(np.exp(transform(log_w, 0.5, 0.8)), [1.4, 2, 4, 1.4])
    np.testing.assert_allclose(np.exp(transform(log_w, 0.5, 0.8, "truncate")), [1.4, 2, 3.5, 1.4])
    np.testing.assert_allclose(np.exp(transform(log_w, 0.0)), [1, 1, 1, 0])


@pytest.mark.parametrize("n", [25, 100, 226, 1_000, 20_000])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0, 10.0])
def test_smoothing_agrees_with_arviz(n, sigma):
    log_w = sigma * np.random.default_rng(n).standard_normal(n) + 50
    found = transform(log_w, tail="psis")
    np.testing.assert_allclose(found - logsumexp(found), array_stats.psislw(-log_w)[0], atol=1e-9)


@settings(max_examples=60)
@given(
    cuts=st.lists(st.integers(0, len(MIXED)), max_size=5).map(sorted),
    alpha=st.sampled_from([0.0, 0.35, 1.0]),
    beta=st.sampled_from([0.0, 0.2, 3.0]),
    tail=st.sampled_from(TAILS),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_shards_are_the_whole_bit_by_bit(cuts, alpha, beta, tail, dtype):
    """The form comes from a state merged over the same cuts, whose sums may differ in the last bits."""
    log_w = MIXED.astype(dtype)
    parts = np.split(log_w, cuts)
    state = diagnostics.empty(len(log_w))
    for part in parts:
        state = diagnostics.merge(state, diagnostics.of(flatten(part, alpha), len(log_w)))
    form = resolve(alpha, beta, tail, state)
    assert np.array_equal(np.concatenate([form.apply(part) for part in parts]), form.apply(log_w))
    np.testing.assert_allclose(form.apply(log_w), transform(log_w, alpha, beta, tail), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 20.0])
@pytest.mark.parametrize("tail", TAILS)
def test_the_order_of_the_weights_stays(tail, beta):
    found = transform(np.sort(MIXED), 0.9, beta, tail)
    steps = np.diff(found[found > -np.inf])
    assert (steps >= 0).all()
    assert not np.isnan(found).any()


def test_equal_weights_in_the_tail_stay_equal_and_their_total_is_that_of_their_ranks():
    log_w = np.concatenate([LOG_W, np.full(5, 4.0), np.full(3, 5.0)])
    found = transform(log_w, tail="psis")
    assert len(np.unique(found[log_w == 4])) == len(np.unique(found[log_w == 5])) == 1
    nudged = log_w + 1e-12 * np.arange(len(log_w))  # the same without ties
    assert logsumexp(found) == pytest.approx(logsumexp(transform(nudged, tail="psis")), abs=1e-7)


def test_the_smoothed_tail_is_bounded_and_the_rest_untouched():
    found = transform(LOG_W, tail="psis")
    order = np.argsort(LOG_W)
    m = pareto.tail_rows(len(LOG_W))
    assert np.array_equal(found[order[:-m]], LOG_W[order[:-m]])
    assert not np.array_equal(found[order[-m:]], LOG_W[order[-m:]])
    assert found.max() <= LOG_W.max()


def test_rows_that_tie_with_the_cutoff_are_not_in_the_tail():
    log_w = np.concatenate([np.zeros(900), np.linspace(1, 2, 60)])  # M = 92 and only 60 rows stand out
    found = transform(log_w, tail="psis")
    assert np.array_equal(found[:900], np.zeros(900))
    assert len(np.unique(found[900:])) > 50


def test_a_clip_inside_the_tail_comes_before_the_smoothing():
    beta = 1.2 * np.exp(np.sort(LOG_W)[-100] - logsumexp(LOG_W)) * len(LOG_W)  # M is 164
    clipped = transform(LOG_W, beta=beta)
    assert 10 < np.sum(clipped > clipped.min()) < 100
    np.testing.assert_allclose(transform(LOG_W, beta=beta, tail="psis"), transform(clipped, tail="psis"), atol=1e-12)


def test_fewer_rows_of_positive_weight_than_the_tail_holds():
    log_w = np.concatenate([np.full(900, -np.inf), LOG_W[:60]])
    found = transform(log_w, tail="psis")
    assert (found[:900] == -np.inf).all()
    assert np.isfinite(found[900:]).all()
    assert not np.array_equal(found[900:], log_w[900:])
    least = LOG_W[:60].min()
    assert _resolved(log_w, 1.0, 0.0, "psis").apply(np.array([least - 1]))[0] == least - 1


@pytest.mark.parametrize("log_w", [np.full(1_000, 3.0), np.append(np.zeros(999), 700.0), np.arange(10.0)])
def test_a_tail_of_no_shape_stays_as_it_is(log_w):
    assert np.array_equal(transform(log_w, tail="psis"), log_w)


def test_truncation_is_at_root_n_times_the_mean():
    found, w = transform(3 * LOG_W, tail="truncate"), np.exp(3 * LOG_W)
    cap = w.mean() * np.sqrt(len(w))
    assert w.max() > cap
    np.testing.assert_allclose(np.exp(found), np.minimum(w, cap), rtol=1e-12)


def test_zero_stays_zero_unless_there_is_a_clip():
    zeros = np.isneginf(MIXED)
    for alpha in (0.0, 0.5, 1.0):
        for tail in TAILS:
            assert np.array_equal(transform(MIXED, alpha, 0.0, tail) == -np.inf, zeros)
            assert np.isfinite(transform(MIXED, alpha, 0.1, tail)).all()


@pytest.mark.parametrize("tail", TAILS)
def test_a_factor_on_all_weights_is_a_factor_on_all_results(tail):
    np.testing.assert_allclose(
        transform(LOG_W + 1_000, 0.5, 0.1, tail), transform(LOG_W, 0.5, 0.1, tail) + 500, atol=1e-9
    )


def test_weights_that_the_smoothing_has_not_seen_lie_between_their_neighbours():
    form = _resolved(LOG_W, 1.0, 0.0, "psis")
    raw, smoothed = form.smoothing
    between = form.apply((raw[1:] + raw[:-1]) / 2)
    assert ((between >= smoothed[:-1]) & (between <= smoothed[1:])).all()
    assert form.apply(np.array([1e3]))[0] == smoothed[-1] <= LOG_W.max()
    assert np.array_equal(form.apply(raw), smoothed)


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("tail", TAILS)
def test_json_is_exact(tail, beta):
    form = _resolved(MIXED, 0.7, beta, tail)
    again = Form.from_json(json.loads(json.dumps(form.to_json(), allow_nan=False)))
    assert again[:3] == form[:3]
    assert np.array_equal(again.apply(MIXED), form.apply(MIXED))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_weights_are_named(bad):
    with pytest.raises(NonFiniteError, match="sample id 1001"):
        Form(floor=0.0).apply(np.array([0.0, bad]), start=1_000)


def test_refusals():
    state = diagnostics.of(LOG_W, len(LOG_W))
    for alpha, beta, tail, message in [(-1, 0, "none", "alpha .*-1"), (1, -2, "none", "-2"), (1, 0, "x", "'x'")]:
        with pytest.raises(ValueError, match=message):
            resolve(alpha, beta, tail, state)
    with pytest.raises(ValueError, match="3,001 rows, but 3,000"):
        resolve(1, 0, "none", diagnostics.of(LOG_W, 3_001))
    with pytest.raises(NonFiniteError, match="all 2 weights are zero"):
        transform(np.full(2, -np.inf))
