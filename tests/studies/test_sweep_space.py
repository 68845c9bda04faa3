"""Neither the real rows nor the pools that judge the winner have chosen it."""

import numpy as np

from lfiw_ray.studies.sweep_space import parts_of, pools_of


def test_the_three_parts_are_disjoint_thirds_of_all_rows() -> None:
    parts = parts_of(1001, seed=4)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1001))
    assert sorted(len(part) for part in parts) == [333, 334, 334]
    assert all(np.all(np.diff(part) > 0) for part in parts)
    again, other = parts_of(1001, seed=4), parts_of(1001, seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts.test, other.test)


def test_each_part_is_drawn_from_all_rows() -> None:
    """Mean row numbers differ from the middle by less than 4.5 standard errors (false alarm 2e-5)."""
    for part in parts_of(3000, seed=0):
        assert abs(part.mean() - 1499.5) < 4.5 * 3000 / np.sqrt(12 * 1000)


def test_pools_are_disjoint_and_those_that_test_come_after_those_that_compare() -> None:
    pools = pools_of(100, 2, 1)
    assert pools == (33, [0, 33], [66])
    covered = [set(range(start, start + pools.rows)) for start in (*pools.validation, *pools.test)]
    assert sum(len(rows) for rows in covered) == len(set.union(*covered)) == 99
    assert max(set.union(*covered)) < 100
