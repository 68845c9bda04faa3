"""Kernel distance: brute force, unbiasedness over seeds, bad input."""

import numpy as np
import pytest

from lfiw_ray.core import kernel_distance
from lfiw_ray.errors import NonFiniteError


def _brute_force(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    def within(rows: np.ndarray, v: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        weights = [float(v[i] * v[j]) for i, j in pairs]
        return sum(v * kernel(rows[i], rows[j]) for v, (i, j) in zip(weights, pairs, strict=True)) / sum(weights)

    cross = sum(float(w[j]) * kernel(a, b) for a in x for j, b in enumerate(y)) / (len(x) * float(w.sum()))
    return within(x, np.ones(len(x))) + within(y, w) - 2 * cross


@pytest.mark.parametrize("block_rows", [1, 4, 2048])
def test_brute_force(block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_distance, "_BLOCK_ROWS", block_rows)
    rng = np.random.default_rng(0)
    x, y, log_w = rng.standard_normal((7, 3)), rng.standard_normal((9, 3)) + 1, rng.normal(0, 2, 9)
    expected = _brute_force(x, y, np.exp(log_w))
    assert kernel_distance.distance(x, y, log_w) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance.distance(x, y, log_w + 3_000) == pytest.approx(expected, rel=1e-10)


def test_weight_zero_is_absence() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((20, 4)), rng.standard_normal((30, 4))
    log_w = np.where(np.arange(30) < 12, 0.0, -np.inf)
    assert kernel_distance.distance(x, y, log_w) == pytest.approx(kernel_distance.distance(x, y[:12]), rel=1e-12)


def test_unbiased_with_unequal_weights() -> None:
    """Both sides N(0, I): the mean over 400 draws is zero within 4.5 standard errors (false alarm 7 in a million).

    With the diagonal kept, the estimate would be off by about 1.6 here, some 60 standard errors.
    """
    log_w = np.log(np.random.default_rng(3).pareto(1.5, 30) + 0.01)
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((400, 2, 30, 3))
    found = [kernel_distance.distance(real, generated, log_w) for real, generated in draws]
    z = np.mean(found) / (np.std(found, ddof=1) / np.sqrt(len(found)))
    assert abs(z) < 4.5


def test_importance_weights_remove_the_distance() -> None:
    """N(0,1) weighted to N(.4,1): mean zero within 4.5 standard errors over 60 draws (false alarm 7 in a million),
    up to the ratio bias of order 1/ESS; the raw distance is more than 30 standard errors away."""
    rng = np.random.default_rng(5)
    raw, weighted = [], []
    for _ in range(60):
        real, generated = rng.standard_normal((800, 1)) + 0.4, rng.standard_normal((800, 1))
        raw.append(kernel_distance.distance(real, generated))
        weighted.append(kernel_distance.distance(real, generated, 0.4 * generated[:, 0]))
    se = np.std(weighted, ddof=1) / np.sqrt(len(weighted))
    assert abs(np.mean(weighted)) < 4.5 * se
    assert np.mean(raw) > 30 * se


def test_bad_input() -> None:
    x = np.zeros((4, 2))
    with pytest.raises(NonFiniteError, match="row 2"):
        kernel_distance.distance(x, np.where(np.arange(4)[:, None] == 2, np.nan, x))
    with pytest.raises(ValueError, match="got 1 of 4"):
        kernel_distance.distance(x, x, np.array([0.0, -np.inf, -np.inf, -np.inf]))
    with pytest.raises(ValueError, match="none of the 4 rows"):
        kernel_distance.distance(x, x, np.full(4, -np.inf))
    with pytest.raises(ValueError, match="2 and 3"):
        kernel_distance.distance(x, np.zeros((4, 3)))
