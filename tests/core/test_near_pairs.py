"""Exact answers from single precision: against brute force in longer arithmetic, at ties, at extreme scales."""

from fractions import Fraction

import numpy as np
import pytest

from lfiw_ray.core import near_pairs


def _sq_distance(x: np.ndarray, y: np.ndarray) -> Fraction:
    return sum(((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, y, strict=True)), Fraction(0))


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("num_features", [3, 200])
def test_the_bound_holds(num_features: int, size: float, offset: float) -> None:
    """Every pair's exact squared distance (rational arithmetic) is between `lower` and `lower` + `width`."""
    rng = np.random.default_rng(0)
    spread = 10 ** rng.uniform(-3, 0, num_features)
    x, y = (((rng.standard_normal((n, num_features)) * spread + offset) * size).astype(np.float32) for n in (12, 9))
    a, b = near_pairs.prepared(x, y)
    (block,) = near_pairs.blocks(a, b)
    rows, cols = np.divmod(np.arange(12 * 9), 9)
    width = near_pairs.width(a, b, rows, cols)
    for low, wide, row, col in zip(block.lower.ravel().tolist(), width.tolist(), rows, cols, strict=True):
        true = _sq_distance(x[row], y[col]) / Fraction(a.scale) ** 2
        assert Fraction(low) <= true <= Fraction(low) + Fraction(wide)
    scale = np.sqrt(a.sq_norms[rows] + b.sq_norms[cols])
    assert (width < 1e-4 * scale**2 + 1e-30).all()  # and it is narrow


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("block_rows", [4, 1024])
def test_within_equals_exact_distances(block_rows: int, tie: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Radii that are some pair's distance, or one bit less: single precision alone is wrong for half of them."""
    monkeypatch.setattr(near_pairs, "_BLOCK_ROWS", block_rows)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 40, 129)).astype(np.float32) + 3
    every_row, every_col = np.divmod(np.arange(1600), 40)
    a, b = near_pairs.prepared(x, y)
    sq_distances = near_pairs.exact(a, b, every_row, every_col).reshape(40, 40)
    radii_a, radii_b = (
        sq_distances[np.arange(40), rng.integers(0, 40, 40)],
        sq_distances[rng.integers(0, 40, 40), range(40)],
    )
    if not tie:
        radii_a, radii_b = np.nextafter(radii_a, 0), np.nextafter(radii_b, 0)
    for radii, of_a in ((radii_a, True), (radii_b, False)):
        found = np.zeros((40, 40), bool)
        for block in near_pairs.blocks(a, b):
            found[near_pairs.within(a, b, block, radii, of_a)] = True
        np.testing.assert_array_equal(found, sq_distances <= (radii[:, None] if of_a else radii))
        assert 0.1 < found.mean() < 0.9


def test_exact_distances_do_not_depend_on_order_or_company() -> None:
    """Radius and distance of a pair are the same bits, or closed balls would lose their own k-th neighbour."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((30, 77)).astype(np.float32)
    (a,) = near_pairs.prepared(x)
    rows, cols = np.divmod(np.arange(900), 30)
    together = near_pairs.exact(a, a, rows, cols)
    np.testing.assert_array_equal(together, near_pairs.exact(a, a, cols, rows))
    alone = [near_pairs.exact(a, a, rows[i : i + 1], cols[i : i + 1])[0] for i in range(900)]
    np.testing.assert_array_equal(together, alone)
    assert (together.reshape(30, 30).diagonal() == 0).all()


def test_upper_half_names_each_pair_of_blocks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_pairs, "_BLOCK_ROWS", 4)
    (a,) = near_pairs.prepared(np.random.default_rng(3).standard_normal((10, 2)))
    found = [(block.a.start, block.b.start) for block in near_pairs.blocks(a, a, upper_half=True)]
    assert found == [(0, 0), (0, 4), (0, 8), (4, 4), (4, 8), (8, 8)]


def test_values_without_a_square() -> None:
    with pytest.raises(ValueError, match="too large"):
        near_pairs.prepared(np.array([[1e200], [-1e200]]))
