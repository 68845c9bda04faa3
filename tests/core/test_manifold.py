"""Precision, recall, density, coverage: brute force, what weights and repeats do, bad input."""

import numpy as np
import pytest

from lfiw_ray.core import manifold, near_pairs
from lfiw_ray.errors import NonFiniteError


def _sets(n: int, m: int, d: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), 0.9 * rng.standard_normal((m, d)) + 1.2


def _brute_force(real: np.ndarray, generated: np.ndarray, w: np.ndarray, k: int) -> manifold.Manifold:
    def radius(rows: np.ndarray, i: int) -> float:
        return sorted(float(np.linalg.norm(rows[i] - rows[j])) for j in range(len(rows)) if j != i)[k - 1]

    generated, w = generated[w > 0], w[w > 0] / w.sum()
    inside_real = np.array([[np.linalg.norm(g - r) <= radius(real, i) for i, r in enumerate(real)] for g in generated])
    inside_generated = np.array(
        [[np.linalg.norm(g - r) <= radius(generated, j) for r in real] for j, g in enumerate(generated)]
    )
    return manifold.Manifold(
        precision=float(w @ inside_real.any(axis=1)),
        recall=float(inside_generated.any(axis=0).mean()),
        density=float(w @ inside_real.sum(axis=1)) / k,
        coverage=float(inside_real.any(axis=0).mean()),
    )


@pytest.mark.parametrize("block_rows", [3, 1024])
@pytest.mark.parametrize("k", [1, 4])
def test_brute_force(k: int, block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_pairs, "_BLOCK_ROWS", block_rows)
    real, generated = _sets(17, 23)
    log_w = np.random.default_rng(1).normal(0, 2, 23)
    log_w[[3, 8, 9]] = -np.inf
    found = manifold.compare(manifold.support(real, k), generated, log_w + 4_000)
    expected = _brute_force(real, generated, np.exp(log_w), k)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert 0 < found.recall < 1
    assert 0 < found.precision < 1


def test_equal_and_disjoint_sets() -> None:
    real, _ = _sets(60, 1)
    support = manifold.support(real, 3)
    same, far = manifold.compare(support, real), manifold.compare(support, real + 100)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert same.density >= 1  # each row lies in its own ball and in those of about k others
    assert far == (0, 0, 0, 0)


def test_positive_weights_leave_recall_and_coverage() -> None:
    real, generated = _sets(80, 90)
    support = manifold.support(real, 3)
    raw, weighted = manifold.compare(support, generated), manifold.compare(support, generated, generated[:, 0] * 3)
    assert (raw.recall, raw.coverage) == (weighted.recall, weighted.coverage)
    assert raw.precision != weighted.precision


def test_repeated_rows_lower_the_recall() -> None:
    real, generated = _sets(200, 200)
    support = manifold.support(real, 2)
    few = np.repeat(generated[:10], 20, axis=0)
    assert manifold.compare(support, few).recall < 0.05 < manifold.compare(support, generated).recall


@pytest.mark.parametrize("k", [1, 3, 6])
def test_repeats_are_counted_like_rows_of_their_own(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies on both sides and in several blocks, with weights: the brute force knows nothing of equal rows."""
    monkeypatch.setattr(near_pairs, "_BLOCK_ROWS", 5)
    rng = np.random.default_rng(2)
    real, generated = _sets(12, 14)
    real, generated = real[rng.integers(0, 12, 30)], generated[rng.integers(0, 14, 31)]
    generated[::9] = real[3]
    log_w = rng.normal(0, 1, 31)
    found = manifold.compare(manifold.support(real, k), generated, log_w)
    np.testing.assert_allclose(found, _brute_force(real, generated, np.exp(log_w), k), rtol=1e-12)


def test_integer_weights_against_repeated_rows() -> None:
    """Real balls do not move, so all but recall agree; copies shrink the generated balls, weights do not."""
    real, generated = _sets(60, 40)
    times = np.random.default_rng(4).integers(1, 6, 40)
    support = manifold.support(real, 3)
    weighted = manifold.compare(support, generated, np.log(times))
    repeated = manifold.compare(support, np.repeat(generated, times, axis=0))
    assert weighted._replace(recall=0) == pytest.approx(repeated._replace(recall=0), rel=1e-12)
    assert weighted.recall > repeated.recall + 0.1
    assert weighted.precision != manifold.compare(support, generated).precision


def test_single_precision_is_not_trusted() -> None:
    """Rows 3,000 times further from the origin than from one another, many of them at nearly equal distances."""
    rng = np.random.default_rng(3)
    base = rng.standard_normal((2, 40, 3))
    real, generated = (1e5 + 30 * (x / np.linalg.norm(x, axis=1, keepdims=True)) for x in base)
    generated[:, 0] += 25
    found = manifold.compare(manifold.support(real, 3), generated)
    np.testing.assert_allclose(found, _brute_force(real, generated, np.ones(40), 3), rtol=1e-12)
    assert 0 < found.recall < 1
    assert 0 < found.precision < 1


@pytest.mark.parametrize("k", [1, 4])
def test_neighbours_that_single_precision_cannot_tell_apart(k: int) -> None:
    """300 rows around one, at distances that differ in the tenth digit: the radius is the k-th of the exact ones."""
    rng = np.random.default_rng(5)
    around = rng.standard_normal((300, 50))
    around *= (1 + 1e-9 * rng.permutation(300)[:, None] / 300) / np.linalg.norm(around, axis=1, keepdims=True)
    found = manifold.support(np.concatenate([np.zeros((1, 50)), around]), k).sq_radii[0]
    expected = np.sort((around**2).sum(axis=1))[k - 1 : k + 1]
    assert found == pytest.approx(expected[0], rel=1e-13)
    assert expected[1] - expected[0] > 5e-12


def test_features_keep_their_type() -> None:
    real, generated = (x.astype(np.float32) for x in _sets(50, 50))
    support = manifold.support(real, 3)
    assert support.features.dtype == np.float32
    assert support.sq_radii.dtype == np.float64
    wide = manifold.compare(manifold.support(real.astype(np.float64), 3), generated.astype(np.float64))
    assert manifold.compare(support, generated) == wide


def test_bad_input() -> None:
    real, generated = _sets(10, 10)
    support = manifold.support(real, 3)
    generated[6, 0] = np.inf
    with pytest.raises(NonFiniteError, match="row 6"):
        manifold.compare(support, generated)
    for k in (0, 10):
        with pytest.raises(ValueError, match=f"got {k}"):
            manifold.support(real, k)
    with pytest.raises(ValueError, match="for 2 rows"):
        manifold.compare(support, real, np.where(np.arange(10) < 2, 0.0, -np.inf))
    with pytest.raises(ValueError, match="2 and 3"):
        manifold.compare(support, np.zeros((10, 3)))
