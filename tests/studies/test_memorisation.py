"""Nearest real rows, and the share that is expected of samples that copy nothing."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from lfiw_ray.studies.memorisation import nearest, shares


def test_the_nearest_row_is_that_of_an_independent_search() -> None:
    rng = np.random.default_rng(0)
    samples, real = rng.normal(5, 1, (1500, 6)).astype(np.float32), rng.normal(5, 1, (400, 6)).astype(np.float32)
    found = nearest(samples, real)
    distance, row = cKDTree(real).query(samples)
    assert np.array_equal(found.row, row)
    assert found.distance == pytest.approx(distance, rel=1e-6)


def test_a_copy_has_distance_zero_however_far_from_the_origin() -> None:
    real = np.random.default_rng(1).normal(1e4, 1, (50, 3)).astype(np.float32)
    found = nearest(real[7:9], real)
    assert found.row.tolist() == [7, 8]
    assert found.distance.tolist() == [0.0, 0.0]


def test_samples_that_copy_nothing_have_the_expected_share() -> None:
    """T = 300 of 400 rows: each of 200 draws of fresh sets gives one sample's answer; z of 4.5 is 7 in a million."""
    rng, hits = np.random.default_rng(2), 0.0
    for _ in range(200):
        rows, sample = rng.normal(size=(400, 4)), rng.normal(size=(1, 4))
        found = shares(nearest(sample, rows[:300]), nearest(sample, rows[300:]), 300, 100)
        assert found["expected"] == 0.75
        hits += found["share"]
    assert abs(hits / 200 - 0.75) / np.sqrt(0.75 * 0.25 / 200) < 4.5


def test_copies_of_training_rows_are_told() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 4))
    samples = np.concatenate([rows[:80], rng.normal(size=(20, 4))])
    found = shares(nearest(samples, rows[:200]), nearest(samples, rows[200:]), 200, 200)
    assert found["share"] >= 0.8
    assert found["se"] == pytest.approx(np.sqrt(found["share"] * (1 - found["share"]) / 100))
    assert found["z"] == pytest.approx((found["share"] - 0.5) / 0.05)
    assert found["distance_train"] == 0.0
    assert found["distance_held_out"] > 0.1
