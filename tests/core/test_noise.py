"""core/noise.py: numbers depend on (seed, stream, sample id) alone and are what they claim to be."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lfiw_ray.core import noise


def _normal(rng, n):
    return rng.standard_normal((n, 2))


def test_known_answers_so_that_old_runs_can_be_resumed():
    assert noise.uniforms(0, "gumbel", 0, 2).tolist() == [0.3768043319720513, 0.3783151319744451]
    assert noise.generator(3, "s", 5).standard_normal(2).tolist() == [-1.319761046558312, 1.032594472623422]


def test_philox_has_the_published_answers():
    """Random123's known answers for Philox4x32-10 whose upper counter is 0, and NumPy's 64-bit one."""
    words = noise.philox4x32(np.zeros(1, np.uint64), 0)
    assert [int(w[0]) for w in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_known_answers_of_the_two_steps():
    leading = noise.coarse(0, "gumbel", 5, 9)
    assert leading.tolist() == [63, 118, 96, 128]
    assert noise.refined(0, "gumbel", np.arange(5, 9), leading).tolist() == [
        0.24693635347449597,
        0.46109134472266167,
        0.3777031975011957,
        0.5017018209515225,
    ]


@given(start=st.integers(0, 10**10), cuts=st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_both_steps_of_any_pieces_are_the_whole(start, cuts):
    edges = [start, *(start + cut for cut in sorted(cuts)), start + 300]
    whole = noise.coarse(1, "s", start, start + 300)
    assert np.array_equal(np.concatenate([noise.coarse(1, "s", low, high) for low, high in pairwise(edges)]), whole)
    u = noise.refined(1, "s", np.arange(start, start + 300), whole)
    assert np.array_equal(u[::-7], noise.refined(1, "s", np.arange(start, start + 300)[::-7], whole[::-7]))
    assert np.array_equal(np.floor(u * 256), whole)


def test_refined_uniforms_are_uniform_in_every_part():
    """Kolmogorov-Smirnov on 10^5 numbers, and on their last 56 bits alone; false alarm 1e-4 each."""
    start = 10**10
    leading = noise.coarse(7, "s", start, start + 100_000)
    u = noise.refined(7, "s", np.arange(start, start + 100_000), leading)
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    assert stats.kstest(u * 256 - leading, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(leading, u * 256 - leading)[0, 1]) * np.sqrt(len(u)) < 4.5


def test_the_ends_of_refined_uniforms(monkeypatch):
    """All bits 0 and all bits 1 stay inside (0, 1)."""
    for word, leading, expected in ((0, 0, 2.0**-65), (0xFFFFFFFF, 255, 1 - 2.0**-53)):
        monkeypatch.setattr(noise, "philox4x32", lambda *_, w=word: (np.array([w], np.uint64),) * 4)
        assert noise.refined(0, "s", np.zeros(1, np.int64), np.array([leading], np.uint8)).tolist() == [expected]


@given(start=st.integers(0, 10**10), cuts=st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_uniforms_of_any_pieces_are_the_whole(start, cuts):
    edges = [start, *(start + cut for cut in sorted(cuts)), start + 300]
    pieces = [noise.uniforms(1, "s", low, high) for low, high in pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), noise.uniforms(1, "s", start, start + 300))


def test_uniforms_are_uniform():
    """Kolmogorov-Smirnov on 10^5 numbers; false alarm 1e-4."""
    assert stats.kstest(noise.uniforms(7, "s", 10**9, 10**9 + 100_000), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("other", [(1, "s"), (0, "t")])
def test_seeds_and_streams_are_independent(other):
    """Correlation of 10^5 pairs; |z| < 4.5, false alarm 7e-6."""
    a, b = noise.uniforms(0, "s", 0, 100_000), noise.uniforms(*other, 0, 100_000)
    assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(len(a)) < 4.5


@given(ids=st.lists(st.integers(0, 5000), max_size=40))
def test_by_block_is_row_by_row(ids):
    ids = np.array(ids, np.int64)
    got = noise.by_block(3, "x", ids, _normal)
    assert got.shape == (len(ids), 2)
    for row, sample_id in zip(got, ids, strict=True):
        block = _normal(noise.generator(3, "x", int(sample_id) // 1024), 1024)
        assert np.array_equal(row, block[sample_id % 1024])


def test_blocks_differ():
    rows = noise.by_block(0, "x", np.arange(4096), _normal)
    assert len(np.unique(rows)) == rows.size


def test_a_negative_id_is_refused():
    with pytest.raises(ValueError, match="-1"):
        noise.by_block(0, "x", np.array([3, -1]), _normal)
