"""Kernel distance: brute force, unbiasedness over seeds, bad input."""

import numpy as np
import pytest

from lfiw_ray.core import kernel_distance, noise
from lfiw_ray.core.kernels import Rbf
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


def test_rbf_kernel_sees_what_three_moments_hide() -> None:
    """Signs of a coin against a set with its first three moments: the cubic distance is 0 up to noise, RBF's is not.

    60 draws of 500 rows; 4.5 standard errors (false alarm 7 in a million).
    """
    rng = np.random.default_rng(6)
    found = {"cubic": [], "rbf": []}
    for _ in range(60):
        coin, other = (
            rng.choice([-1.0, 1.0], (500, 1)),
            rng.choice([-np.sqrt(2), 0.0, np.sqrt(2)], (500, 1), p=[0.25, 0.5, 0.25]),
        )
        found["cubic"].append(kernel_distance.distance(coin, other))
        found["rbf"].append(kernel_distance.distance(coin, other, kernel=Rbf(0.5)))
    z = {name: np.mean(v) / (np.std(v, ddof=1) / np.sqrt(60)) for name, v in found.items()}
    assert abs(z["cubic"]) < 4.5
    assert z["rbf"] > 100


def test_real_mean_is_that_of_the_kernel() -> None:
    x, y = np.random.default_rng(7).standard_normal((2, 20, 3))
    for kernel in (Rbf(1.0), Rbf(2.0)):
        known = kernel_distance.within(x, kernel=kernel)
        assert kernel_distance.distance(x, y, None, known, kernel) == kernel_distance.distance(x, y, kernel=kernel)


def test_multiplicities_are_repeats_across_the_sets_alone() -> None:
    """Weight m equals m rows in the cross term; within a set, repeats are pairs of equal rows and a weight is not."""
    rng = np.random.default_rng(8)
    x, y, times = rng.standard_normal((30, 3)), rng.standard_normal((20, 3)), rng.integers(1, 5, 20)
    log_w, repeated, w = np.log(times), np.repeat(y, times, axis=0), times / times.sum()
    across, within = kernel_distance.across, kernel_distance.within
    assert across(x, y, log_w) == pytest.approx(across(x, repeated), rel=1e-12)
    n, own = times.sum(), (y * y).sum(axis=1) / 3 + 1
    of_pairs = within(y, log_w) * (1 - w @ w)  # Σ_{i≠j} w_i w_j k_ij
    of_copies = (w * (w - 1 / n)) @ own**3  # what m (m - 1) ordered pairs of copies of a row add
    assert within(repeated) == pytest.approx((of_pairs + of_copies) / (1 - 1 / n), rel=1e-10)
    assert within(repeated) > within(y, log_w) * 1.01


def test_single_precision_keeps_a_distance_near_zero() -> None:
    """Two sets of one law, like Inception's features (none negative, correlated, mean 0.4): KID is but its noise.

    What products in single precision lose is 4e-11, and 5e-10 when they are taken about zero instead of the mean.
    """
    rng = np.random.default_rng(11)
    mixed = rng.standard_normal((32, 512)) / 6
    x, y = (
        np.maximum(0.3 * (rng.standard_normal((900, 32)) @ mixed + rng.standard_normal((900, 512)) / 2) + 0.4, 0)
        for _ in range(2)
    )
    x, y = x.astype(np.float32), y.astype(np.float32)
    log_w = rng.normal(0, 1, 900)
    for weights in (None, log_w):
        wide = kernel_distance.distance(x.astype(np.float64), y.astype(np.float64), weights)
        assert abs(wide) < 2e-3
        assert abs(kernel_distance.distance(x, y, weights) - wide) < 2e-10


def test_nearly_all_weight_on_one_row_loses_no_digits() -> None:
    """Σ_{i≠j} w_i w_j is 3e-12 here, of which 1 - Σ w² would keep four digits."""
    x = np.random.default_rng(12).standard_normal((4, 3))
    log_w = np.log([1.0, 1e-12, 4e-13, 1e-13])
    kernel, pairs = (x @ x.T / 3 + 1) ** 3, [(0, 1, 1e-12), (0, 2, 4e-13), (0, 3, 1e-13)]
    expected = sum(w * kernel[i, j] for i, j, w in pairs) / sum(w for *_, w in pairs)
    assert kernel_distance.within(x, log_w) == pytest.approx(expected, rel=1e-11)


def test_subsets_have_the_mean_of_all_pairs() -> None:
    """Over 2,000 subsets of one pair of sets, within 4.5 standard errors (false alarm 7 in a million)."""
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((300, 3)), rng.standard_normal((250, 3)) + 0.3
    found = kernel_distance.subsets(x, y, None, noise.generator(0, "subsets"), num_subsets=2000, subset_size=40)
    assert found.num_subsets == 2000
    assert found.subset_size == 40
    assert abs(found.mean - kernel_distance.distance(x, y)) < 4.5 * found.std / np.sqrt(2000)
    again = kernel_distance.subsets(x, y, None, noise.generator(0, "subsets"), num_subsets=2000, subset_size=40)
    assert again == found


def test_weights_are_normalised_in_each_subset() -> None:
    rng = np.random.default_rng(10)
    x, y, log_w = rng.standard_normal((60, 2)), rng.standard_normal((50, 2)), rng.normal(0, 1, 50)
    found = kernel_distance.subsets(x, y, log_w - 900, noise.generator(1, "s"), num_subsets=3, subset_size=20)
    choose, expected = noise.generator(1, "s"), []
    for _ in range(3):
        rows, others = choose.choice(50, 20, replace=False), choose.choice(60, 20, replace=False)
        expected.append(_brute_force(x[others], y[rows], np.exp(log_w[rows])))
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-9)
    assert found.std == pytest.approx(np.std(expected), rel=1e-9)


def test_bad_subsets() -> None:
    x, rng = np.zeros((9, 2)), noise.generator(0, "s")
    for num_subsets, size in ((0, 5), (3, 10), (3, 1)):
        with pytest.raises(ValueError, match=f"{num_subsets} subsets of {size} rows: 9 real, 9 generated"):
            kernel_distance.subsets(x, x, None, rng, num_subsets, size)
    with pytest.raises(NonFiniteError, match="sample id 7"):
        kernel_distance.subsets(x, x, np.where(np.arange(9) == 7, np.nan, 0.0), rng, 3, 2)


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
