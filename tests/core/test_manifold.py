"""Precision, recall, density, coverage: brute force, what weights and repeats do, bad input."""

import numpy as np
import pytest

from lfiw_ray.core import manifold
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
    monkeypatch.setattr(manifold, "_BLOCK_ROWS", block_rows)
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
