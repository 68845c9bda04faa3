"""core/sir.py: draws with replacement follow the weights, whatever the shards."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lfiw_ray.core import blocks, noise, sir
from lfiw_ray.core.blocks import WEIGHT_BLOCK
from lfiw_ray.errors import NonFiniteError

TEN = np.log([8.0, 4, 2, 1, 1, 1, 1, 1, 1, 1])
MANY = 2 * np.random.default_rng(4).standard_normal(4 * WEIGHT_BLOCK + 77)


def _resample(log_w, k, seed, scheme="multinomial", cuts=()):
    """All steps as a cluster does them: statistics by shard, draws by shard."""
    edges = [0, *(c * WEIGHT_BLOCK for c in cuts), len(log_w)]
    shards = list(pairwise(edges))
    sums = blocks.concatenate([blocks.block_stats(log_w[a:b], a) for a, b in shards]).log_sum
    certain = np.empty(0, np.int64)
    if scheme == "residual" and k:
        unit = sir.log_unit_of(sums, k)
        certain = np.concatenate([a + sir.copies(log_w[a:b], unit) for a, b in shards])
        log_w = sir.residual(log_w, unit)
        sums = blocks.concatenate([blocks.block_stats(log_w[a:b], a) for a, b in shards]).log_sum
    draws = sir.allocate(sums, k - len(certain), seed, scheme)
    ids = [certain]
    for a, b in shards:
        ids.append(sir.draw_rows(log_w[a:b], draws.within(a // WEIGHT_BLOCK, -(-b // WEIGHT_BLOCK)), a))
    return sir.collect(np.concatenate(ids))


SCHEMES = get_args(sir.Scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_hand_or_in_shards(scheme, dtype):
    log_w = MANY.astype(dtype)
    for got, cut in zip(sir.resample(log_w, 999, 5, scheme), _resample(log_w, 999, 5, scheme, (1, 3)), strict=True):
        assert np.array_equal(got, cut)


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_less_variance_than_multinomial(scheme):
    """Mean of log w over 200 sets of 100 from ordered rows; variance ratios of 200 values vary by 15 % (one sigma)."""
    log_w = np.sort(MANY[:2000])
    means = {
        s: [
            np.average(log_w[d.sample_ids], weights=d.weight)
            for d in (sir.resample(log_w, 100, i, s) for i in range(200))
        ]
        for s in ("multinomial", scheme)
    }
    share = {"stratified": 0.1, "systematic": 0.1, "residual": 0.8}[scheme]
    assert np.var(means[scheme]) < share * np.var(means["multinomial"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_expected_counts(scheme):
    """Multiplicities over 5,000 seeds; |z| < 4.5 for each of 10 rows, false alarm 7e-5."""
    expected = 4 * np.exp(TEN) / np.exp(TEN).sum()
    np.testing.assert_allclose(expected[:4], [1.524, 0.762, 0.381, 0.190], atol=5e-4)
    counts = np.zeros((5000, 10))
    for seed in range(5000):
        got = _resample(TEN, 4, seed, scheme)
        counts[seed, got.sample_ids] = got.multiplicity
    z = (counts.mean(0) - expected) / (counts.std(0) / np.sqrt(5000))
    assert np.abs(z).max() < 4.5
    if scheme == "systematic":  # each row is drawn floor or ceil of its expected count
        assert np.all(np.abs(counts - expected) < 1)
    if scheme == "residual":  # at least floor of it
        assert np.all(counts >= np.floor(expected))


def test_multinomial_counts_over_many_blocks():
    """10^6 draws in 200 groups of rows that straddle blocks; chi-square p > 1e-5."""
    got = _resample(MANY, 1_000_000, 11)
    w = np.exp(MANY)
    edges = np.linspace(0, len(MANY), 201).astype(int)[:-1]
    counts = np.bincount(got.sample_ids, weights=got.multiplicity, minlength=len(MANY))
    expected = 1e6 * np.add.reduceat(w, edges) / w.sum()
    assert stats.chisquare(np.add.reduceat(counts, edges), expected).pvalue > 1e-5


def test_target_mean_is_recovered():
    """Mean of log w under w by 100 sets of 1,000; |z| < 4.5, false alarm 7e-6."""
    p = np.exp(MANY - MANY.max())
    means = [np.average(MANY[s.sample_ids], weights=s.weight) for s in (_resample(MANY, 1000, i) for i in range(100))]
    assert abs(np.mean(means) - MANY @ p / p.sum()) < 4.5 * np.std(means) / 10


def test_the_plain_form_gives_the_same_rows():
    """One inversion over all rows at once, in double precision, agrees with blocks, parts and positions.

    Of 10,000 draws those that fall within 1e-6 of a row's end may go to its neighbour.
    """
    ends = np.cumsum(np.exp(MANY - MANY.max()))
    rows = np.searchsorted(ends, np.sort(noise.uniforms(3, "sir", 0, 10_000)) * ends[-1], side="right")
    got = _resample(MANY, 10_000, 3)
    other = np.flatnonzero(np.repeat(got.sample_ids, got.multiplicity) != rows)
    targets = np.sort(noise.uniforms(3, "sir", 0, 10_000))[other]
    assert np.all(np.min(np.abs(targets[:, None] - ends / ends[-1]), axis=1) < 1e-6)
    assert len(other) < 100


@pytest.mark.parametrize("cuts", [(1,), (2,), (1, 2, 3, 4), (1, 3)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_bit_identical_for_every_sharding(cuts, scheme):
    for got, whole in zip(_resample(MANY, 999, 5, scheme, cuts), _resample(MANY, 999, 5, scheme), strict=True):
        assert np.array_equal(got, whole)


@settings(max_examples=200)
@given(
    log_sums=st.lists(st.one_of(st.floats(-800, 800), st.just(-np.inf)), min_size=1, max_size=20).map(np.array),
    k=st.integers(0, 50),
    seed=st.integers(0, 1000),
    scheme=st.sampled_from(SCHEMES),
)
def test_draws_are_sorted_inside_and_on_blocks_with_weight(log_sums, k, seed, scheme):
    if np.all(log_sums == -np.inf):
        log_sums[0] = 0
    blocks_, positions = sir.allocate(log_sums, k, seed, scheme)
    assert len(blocks_) == len(positions) == k
    assert blocks_.dtype == np.int64
    assert np.all((positions >= 0) & (positions < 1))
    assert np.all(log_sums[blocks_] > -np.inf)
    assert np.all((np.diff(blocks_) > 0) | ((np.diff(blocks_) == 0) & (np.diff(positions) >= 0)))


@given(
    log_w=st.lists(st.one_of(st.floats(-800, 800), st.just(-np.inf)), min_size=1, max_size=30).map(np.array),
    positions=st.lists(st.floats(0, 1, exclude_max=True), max_size=20).map(np.array),
)
def test_rows_without_weight_are_never_drawn(log_w, positions):
    if np.all(log_w == -np.inf):
        log_w[-1] = 0
    edges = np.array([0.0, 2.0**-1074, 1 - 2.0**-53])
    positions = np.sort(np.concatenate([positions, edges]))
    rows = sir.draw_rows(log_w, sir.Draws(np.zeros(len(positions), np.int64), positions))
    assert np.all(log_w[rows] > -np.inf)


def test_uniforms_that_meet_an_end_exactly(monkeypatch):
    """u = 0 must skip blocks without weight in front; u at an inner end opens the next block that has weight."""
    monkeypatch.setattr(noise, "uniforms", lambda *_: np.array([0.0, 0.5]))
    draws = sir.allocate(np.array([-np.inf, 0.0, -np.inf, 0.0, -np.inf]), 2, 0)
    assert draws.blocks.tolist() == [1, 3]
    assert draws.positions.tolist() == [0, 0]


def test_nested_in_k():
    assert set(_resample(MANY, 100, 2).sample_ids) <= set(_resample(MANY, 200, 2).sample_ids)


def test_extremes():
    dominating = np.append(np.zeros(999), 700.0)
    assert _resample(dominating, 50, 0)[:3:2][0].tolist() == [999]
    assert _resample(dominating, 50, 0).multiplicity.tolist() == [50]
    equal = _resample(np.zeros(1000), 1000, 0, "systematic")
    assert equal.multiplicity.tolist() == [1] * 1000  # systematic draws of equal weights are a permutation
    assert len(_resample(TEN, 0, 0).sample_ids) == 0
    one = _resample(TEN, 1, 0)
    assert (one.multiplicity.tolist(), one.weight.tolist(), one.keys) == ([1], [1.0], None)
    low, high = _resample(TEN - 743, 1000, 0), _resample(TEN, 1000, 0)
    assert np.array_equal(low.sample_ids, high.sample_ids)


def test_collect_counts():
    got = sir.collect(np.array([5, 3, 5, 2**40, 5]))
    assert got.sample_ids.tolist() == [3, 5, 2**40]
    assert got.multiplicity.tolist() == [1, 3, 1]
    assert got.weight.sum() == 5


def test_refusals():
    with pytest.raises(NonFiniteError, match="block 1"):
        sir.allocate(np.array([0, np.nan]), 1, 0)
    with pytest.raises(NonFiniteError, match="all 2 blocks"):
        sir.allocate(np.full(2, -np.inf), 1, 0)
    with pytest.raises(NonFiniteError, match="sample id 8193"):
        sir.draw_rows(np.array([0, np.inf]), sir.Draws(np.ones(1, np.int64), np.zeros(1)), start=8192)
    with pytest.raises(NonFiniteError, match="8192"):
        sir.draw_rows(np.full(2, -np.inf), sir.Draws(np.ones(1, np.int64), np.zeros(1)), start=8192)
    with pytest.raises(ValueError, match="-1"):
        sir.allocate(np.zeros(2), -1, 0)
    with pytest.raises(ValueError, match="'killing'"):
        sir.allocate(np.zeros(2), 1, 0, "killing")
