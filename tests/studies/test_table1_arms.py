"""The arms of the paper's table: rows and weights, without a cluster."""

from typing import Any

import numpy as np
import pytest

from lfiw_ray.studies import table1_arms

N, START, ALPHA, BETA = 500, 16_384, 0.5, 0.8


@pytest.fixture(scope="module")
def log_w() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1.5, 5_000).astype(np.float32)


def rows_of(log_w: np.ndarray) -> dict[str, Any]:
    return table1_arms.rows_of(log_w, START, N, ALPHA, BETA, seed=1)


def test_each_has_n_rows_of_its_pool_and_says_what_it_is(log_w: np.ndarray) -> None:
    rows, about = rows_of(log_w), table1_arms.about(ALPHA, BETA)
    assert list(rows) == list(about) == list(table1_arms.NAMES)
    assert len(rows) == 14
    for name, found in rows.items():
        assert len(found.sample_ids) == N
        assert START <= found.sample_ids.min() <= found.sample_ids.max() < START + len(log_w)
        assert (found.log_w is not None) == about[name].weighted
    assert [name for name, arm in about.items() if arm.alpha is None] == ["raw", "uniform"]
    assert [name for name, arm in about.items() if arm.alpha == 1] == ["lfiw", "clipped", "psis"]


def test_the_weighted_arms_weigh_the_first_rows_each_in_its_form(log_w: np.ndarray) -> None:
    rows, first = rows_of(log_w), log_w[:N].astype(np.float64)
    for name in ("raw", "lfiw", "weighted", "clipped", "psis"):
        assert np.array_equal(rows[name].sample_ids, START + np.arange(N))
    assert rows["lfiw"].log_w == pytest.approx(first)
    assert rows["weighted"].log_w == pytest.approx(ALPHA * first)
    floor = np.log(BETA * np.exp(first).mean())
    assert rows["clipped"].log_w == pytest.approx(np.maximum(first, floor))
    order = np.argsort(first)
    assert rows["psis"].log_w[order[:400]] == pytest.approx(first[order[:400]])  # its tail is the largest 67
    assert not np.allclose(rows["psis"].log_w[order[-20:]], first[order[-20:]], atol=1e-3)


def test_k_hat_is_of_an_arms_own_weights() -> None:
    heavy = np.random.default_rng(0).pareto(1.0, 4_000)  # of shape 1
    assert table1_arms.k_hat_of(np.log(heavy)) == pytest.approx(1.0, abs=0.35)
    assert table1_arms.k_hat_of(np.zeros(100)) is None
    assert table1_arms.k_hat_of(None) is None
