"""core/topk.py: exact, the same for every sharding, and statistically what it claims to be."""

from functools import reduce
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from topk_toys import equal, leading, plain

from lfiw_ray.core import inclusion, topk
from lfiw_ray.core.weights import self_normalised_mean
from lfiw_ray.errors import ConfigError, NonFiniteError

TEN = np.log([8.0, 4, 2, 1, 1, 1, 1, 1, 1, 1])
WEIGHTS = st.lists(st.one_of(st.floats(-30, 30), st.sampled_from([-np.inf, 0.0, 700.0, -745.0])), max_size=60)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("offset", [0.0, 1e9, -1e15])
def test_the_threshold_form_is_the_plain_form(seed, scale, offset, monkeypatch):
    """Also where log_w is so large that its last bit is coarse and keys tie."""
    monkeypatch.setattr(topk, "_CHUNK", 768)
    monkeypatch.setattr(topk, "_SPARE", 64)
    log_w = offset + scale * np.random.default_rng(seed).standard_normal(2000)
    keys, ids = plain(log_w, 12_345, 50, seed)
    got = topk.init(log_w, 12_345, 50, seed)
    assert np.array_equal(got.sample_ids, ids)
    assert np.array_equal(got.keys, keys)
    assert np.array_equal(got.log_w, log_w[ids - 12_345])


@settings(max_examples=300)
@given(
    log_w=st.lists(st.floats(allow_nan=False, max_value=1e300), min_size=1, max_size=30).map(np.array),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1.0, 1e-3, 2.0**-53, 0.0]),
)
def test_no_row_that_reaches_the_bar_is_filtered_away(log_w, seed, scale):
    """The bar is one of the computed keys, the hardest case: it must be reached by its own row."""
    log_w = np.where(log_w == np.inf, 0.0, log_w)
    u = np.maximum(scale * np.random.default_rng(seed).random(len(log_w)), 2.0**-65)
    keys = topk.keys_of(log_w, u)
    for bar in keys[keys > -np.inf]:
        missed = np.setdiff1d(np.flatnonzero(keys >= bar), topk.contenders(log_w, leading(u), bar))
        assert len(missed) == 0


def test_few_rows_pass_the_filter():
    """The filter is worth having: beside rows over the bar, it lets through those of the last cell of 1 / 256."""
    log_w, u = np.random.default_rng(0).standard_normal(100_000), np.random.default_rng(1).random(100_000)
    keys = topk.keys_of(log_w, u)
    bar = np.sort(keys)[-1000]
    assert 1000 <= len(topk.contenders(log_w, leading(u), bar)) < 1010 + len(u) / 256


def test_the_ends_of_the_uniforms_give_finite_keys():
    keys = topk.keys_of(np.zeros(3), np.array([2.0**-65, 2.0**-53, 1 - 2.0**-53]))
    assert np.isfinite(keys).all()
    assert keys[0] == pytest.approx(65 * np.log(2))
    assert keys[0] > keys[1] > keys[2]
    assert topk.contenders(np.array([0.0, -np.inf]), np.zeros(2, np.uint8), 30.0).tolist() == [0]


def test_the_winning_tail_keeps_its_resolution():
    """Keys of the 10^4 smallest 53-bit uniforms above 0 are all different."""
    assert len(np.unique(topk.keys_of(np.zeros(10_000), np.arange(1, 10_001) * 2.0**-53))) == 10_000


def test_ties_go_to_the_smaller_id():
    part = topk.TopK(1, np.zeros(2), np.array([7, 9]), np.zeros(2))
    other = topk.TopK(1, np.zeros(2), np.array([3, 8]), np.zeros(2))
    assert topk.merge(part, other).sample_ids.tolist() == [3, 7]
    assert topk.merge(other, part).sample_ids.tolist() == [3, 7]


@settings(max_examples=200)
@given(a=WEIGHTS, b=WEIGHTS, c=WEIGHTS, k=st.integers(0, 70), seed=st.integers(0, 100))
def test_merge_is_associative_commutative_idempotent_and_the_whole(a, b, c, k, seed):
    starts = np.cumsum([10**9, len(a), len(b)])
    x, y, z = (topk.init(np.array(part), int(s), k, seed) for part, s in zip((a, b, c), starts, strict=True))
    whole = topk.init(np.array(a + b + c), 10**9, k, seed)
    for got in (topk.merge(topk.merge(x, y), z), topk.merge(x, topk.merge(y, z)), topk.merge(z, topk.merge(y, x))):
        assert equal(got, whole)
    assert equal(topk.merge(whole, whole), whole)
    assert equal(topk.merge(whole, x), whole)
    running = topk.extend(topk.extend(z, np.array(a), int(starts[0]), seed), np.array(b), int(starts[1]), seed)
    assert equal(running, whole)


@pytest.mark.parametrize("cuts", [[], [8192], [5, 6, 7, 40_000], list(range(0, 100_003, 9973))])
def test_the_same_for_every_sharding_order_and_tree(cuts):
    log_w = (2 * np.random.default_rng(5).standard_normal(100_003)).astype(np.float32)
    edges = [0, *cuts, len(log_w)]
    shards = [topk.init(log_w[a:b], a, 500, 9) for a, b in pairwise(edges)]
    keys, ids = plain(log_w, 0, 500, 9)
    forward = np.arange(len(shards))
    for order in (forward, forward[::-1], np.random.default_rng(0).permutation(forward)):
        states = [shards[i] for i in order]
        while len(states) > 1:  # a tree: neighbours first
            states = [reduce(topk.merge, states[i : i + 2]) for i in range(0, len(states), 2)]
        assert np.array_equal(states[0].keys, keys)
        assert np.array_equal(states[0].sample_ids, ids)


def test_budgets_are_nested():
    log_w = np.random.default_rng(0).standard_normal(5000)
    large, small = topk.init(log_w, 0, 1000, 3), topk.init(log_w, 0, 100, 3)
    assert all(np.array_equal(a[:101], b) for a, b in zip(large[1:4], small[1:4], strict=True))
    assert set(small.sample_ids[:100]) < set(large.sample_ids[:1000])


def _inclusion(w, k):
    """Exact, by enumeration of every order of draws (weighted draws one by one without replacement)."""
    out = np.zeros(len(w))
    for order in permutations(range(len(w)), k):
        left, chance = w.sum(), 1.0
        for i in order:
            chance *= w[i] / left
            left -= w[i]
        out[list(order)] += chance
    return out


def test_inclusion_probabilities():
    """5,000 seeds against exhaustive enumeration; |z| < 4.5 for each of 10 rows, false alarm 7e-5."""
    exact = _inclusion(np.exp(TEN), 4)
    np.testing.assert_allclose(exact[:4], [0.90974, 0.72978, 0.47860, 0.26884], atol=5e-6)
    assert exact.sum() == pytest.approx(4)
    hits = np.zeros(10)
    for seed in range(5000):
        hits[topk.finish(topk.init(TEN, 0, 4, seed)).sample_ids] += 1
    z = (hits / 5000 - exact) / np.sqrt(exact * (1 - exact) / 5000)
    assert np.abs(z).max() < 4.5
    as_if_sir = 4 * np.exp(TEN) / np.exp(TEN).sum()
    assert as_if_sir[0] == pytest.approx(1.524, abs=1e-3)  # top-k is not SIR, and cannot be


def test_first_draw_follows_the_weights():
    """Chi-square over 5,000 seeds, 9 degrees of freedom, p > 1e-5."""
    first = [topk.init(TEN, 10**6, 1, seed).sample_ids[0] - 10**6 for seed in range(5000)]
    expected = 5000 * np.exp(TEN) / np.exp(TEN).sum()
    assert stats.chisquare(np.bincount(first, minlength=10), expected).pvalue > 1e-5


@pytest.mark.parametrize("sigma", [1.0, 2.0])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_weights_recover_the_target_where_the_bare_set_fails(sigma, share):
    """Mean of log w under w, log-normal weights, N = 20,000, 40 seeds.

    |z| < 4.5 over the seeds (false alarm 7e-6), plus the self-normalised estimate's bias of order 1 / ESS.
    """
    log_w = sigma * np.random.default_rng(1).standard_normal(20_000)
    target = self_normalised_mean(log_w, log_w).mean
    k = int(share * len(log_w))
    chosen = [topk.finish(topk.init(log_w, 0, k, seed)) for seed in range(40)]
    weighted = np.array([np.average(log_w[s.sample_ids], weights=s.weight) for s in chosen])
    bare = np.array([log_w[s.sample_ids].mean() for s in chosen])
    bias = 2 * sigma**2 * np.mean([(s.weight**2).sum() / s.weight.sum() ** 2 for s in chosen])
    assert abs(weighted.mean() - target) < 4.5 * weighted.std() / np.sqrt(40) + bias
    if (sigma, share) != (1.0, 0.01):  # there the bare set is nearly right, as k / N is small
        assert target - bare.mean() > 0.1


def test_horvitz_thompson_sums_are_unbiased():
    """Sum of f w / pi over the set against sum of f w over all rows, 4,000 seeds, |z| < 4.5 (7e-6)."""
    f, log_w = np.arange(10.0), TEN
    sums = []
    for seed in range(4000):
        state = topk.init(log_w, 0, 4, seed)
        rows = state.sample_ids[:4]
        sums.append((f[rows] * np.exp(log_w[rows] - inclusion.log_inclusion(log_w[rows], topk.kappa(state)))).sum())
    z = (np.mean(sums) - f @ np.exp(log_w)) / (np.std(sums) / np.sqrt(4000))
    assert abs(z) < 4.5


def test_finish():
    state = topk.init(TEN, 100, 4, 0)
    got = topk.finish(state)
    assert np.all(np.diff(got.sample_ids) > 0)
    assert set(got.sample_ids) == set(state.sample_ids[:4])
    assert got.multiplicity.tolist() == [1] * 4
    assert got.weight.sum() == pytest.approx(4)
    rank = dict(zip(state.sample_ids, state.keys, strict=True))
    assert [rank[i] for i in got.sample_ids] == got.keys.tolist()
    w = np.exp(TEN[got.sample_ids - 100])
    expected = w / (1 - np.exp(-w * np.exp(-state.keys[4])))
    np.testing.assert_allclose(got.weight, 4 * expected / expected.sum(), rtol=1e-12)


def test_all_rows_are_taken_with_weights_proportional_to_w():
    got = topk.finish(topk.init(TEN, 0, 10, 0))
    assert got.sample_ids.tolist() == list(range(10))
    np.testing.assert_allclose(got.weight, 10 * np.exp(TEN) / np.exp(TEN).sum(), rtol=1e-12)


@pytest.mark.parametrize("log_w", [np.zeros(1), np.array([-np.inf, 5.0, -np.inf])])
def test_one_row(log_w):
    got = topk.finish(topk.init(log_w, 0, 1, 0))
    assert (got.sample_ids.tolist(), got.weight.tolist()) == ([int(np.argmax(log_w))], [1])


def test_k_of_zero_selects_nothing():
    got = topk.finish(topk.init(TEN, 0, 0, 0))
    assert len(got.sample_ids) == len(got.weight) == len(got.multiplicity) == 0


def test_one_weight_dominates_by_e_700():
    log_w = np.append(np.zeros(999), 700.0)
    for seed in range(50):
        got = topk.finish(topk.init(log_w, 0, 10, seed))
        assert got.sample_ids[-1] == 999
        assert got.weight[-1] == pytest.approx(10)
        assert np.isfinite(got.weight).all()


def test_denormal_weights_are_as_good_as_any():
    for seed in range(20):
        low, high = topk.init(TEN - 743, 0, 4, seed), topk.init(TEN, 0, 4, seed)
        assert np.array_equal(low.sample_ids, high.sample_ids)
        np.testing.assert_allclose(topk.finish(low).weight, topk.finish(high).weight, rtol=1e-9)


def test_rows_without_weight_are_never_selected():
    log_w = np.where(np.arange(1000) % 2, -np.inf, 0.0)
    got = topk.finish(topk.init(log_w, 0, 500, 0))
    assert np.array_equal(got.sample_ids, np.arange(0, 1000, 2))
    with pytest.raises(ConfigError, match=r"k = 501 .* only 500 rows"):
        topk.finish(topk.init(log_w, 0, 501, 0))


def test_refusals():
    with pytest.raises(NonFiniteError, match="sample id 70001"):
        topk.init(np.append(np.zeros(70_001), np.nan), 0, 5, 0)
    with pytest.raises(NonFiniteError, match="sample id 11"):
        topk.init(np.array([0, np.inf]), 10, 5, 0)
    with pytest.raises(ValueError, match="-1"):
        topk.empty(-1)
    with pytest.raises(ValueError, match="4 and 5"):
        topk.merge(topk.empty(4), topk.empty(5))
