"""core/poolwise.py: exact in every group; the target as groups grow."""

import numpy as np
import pytest
from scipy import stats

from lfiw_ray.core import fresh, noise, poolwise

TEN = np.log([8.0, 4, 2, 1, 1, 1, 1, 1, 1, 1])


def chosen(log_w, m, seed):
    return fresh.finish(fresh.init(log_w, 0, m, poolwise.drawn(seed))).sample_ids


@pytest.mark.parametrize("shift", [0.0, -743.0, 700.0])
def test_each_group_draws_by_weight(shift):
    """Chi-square of the drawn column over 20 seeds of 500 groups, 9 degrees of freedom, p > 1e-5."""
    columns = np.concatenate([chosen(np.tile(TEN + shift, 500), 10, seed) % 10 for seed in range(20)])
    expected = 10_000 * np.exp(TEN) / np.exp(TEN).sum()
    assert stats.chisquare(np.bincount(columns, minlength=10), expected).pvalue > 1e-5


def test_seeds_and_groups_are_independent():
    """Equal columns in two groups, and in one group under two seeds: sum p^2 of the pairs, |z| < 4.5 (1e-5)."""
    p = np.exp(TEN) / np.exp(TEN).sum()
    same = p @ p
    table = np.array([chosen(np.tile(TEN, 2000), 10, seed) % 10 for seed in (1, 2)])
    for pairs in (table[:, ::2] == table[:, 1::2], table[0] == table[1]):
        assert abs(pairs.mean() - same) < 4.5 * np.sqrt(same * (1 - same) / pairs.size)


def test_one_candidate_is_the_identity():
    assert chosen(np.random.default_rng(0).standard_normal(50), 1, 0).tolist() == list(range(50))


def test_one_group_of_all_rows_is_one_multinomial_draw():
    """m = N over 5,000 seeds, chi-square p > 1e-5."""
    rows = np.concatenate([chosen(TEN, 10, seed) for seed in range(5000)])
    assert len(rows) == 5000
    assert stats.chisquare(np.bincount(rows, minlength=10), 5000 * np.exp(TEN) / np.exp(TEN).sum()).pvalue > 1e-5


def test_the_smallest_uniform_is_a_number_like_any(monkeypatch):
    """u = 0 for all: equal noise, so that the heaviest row wins; no weight is made up for a row without."""
    monkeypatch.setattr(noise, "uniforms", lambda *_: np.zeros(4))
    assert chosen(np.array([0.0, 1.0, -np.inf, 0.5]), 4, 0).tolist() == [1]


def right_share(m):
    """Exact chance of a right row: K ~ Binomial(m, 0.2) candidates of weight 2.5, the others of 0.625."""
    k = np.arange(m + 1)
    return float(stats.binom.pmf(k, m, 0.2) @ (2.5 * k / (2.5 * k + 0.625 * (m - k))))


def test_the_law_goes_to_the_target():
    """The generator makes 20 % right rows, the target has half; |z| < 4.5 for each m (4e-5)."""
    right = np.random.default_rng(5).random(640_000) < 0.2
    log_w = np.where(right, np.log(2.5), np.log(0.625))
    law = [right_share(m) for m in (1, 4, 16, 64, 256)]
    assert law[0] == pytest.approx(0.2)
    assert (np.diff(law) > 0).all()
    assert law[-1] == pytest.approx(0.5, abs=0.004)
    assert (0.5 - law[3]) / (0.5 - law[4]) == pytest.approx(4, rel=0.05)  # bias of order 1 / m
    for m, expected in zip((1, 4, 16, 64), law, strict=False):
        got = right[chosen(log_w, m, 9)]
        assert abs(got.mean() - expected) < 4.5 * np.sqrt(expected * (1 - expected) / len(got))
