"""Sums in Parquet: every bit survives, and a plain reader sees the numbers."""

import numpy as np
import pytest

from lfiw_ray.core import set_sums
from lfiw_ray.core.set_sums import Sums
from lfiw_ray.store.sums_table import bytes_of, sums_of, sums_table
from lfiw_ray.store.tables import from_parquet, to_parquet

RNG = np.random.default_rng(0)
FEATURES, P = RNG.normal(size=(500, 40)).astype(np.float32), RNG.dirichlet(np.ones(6), 500)
LOG_W = RNG.normal(700, 2, 500)


def same(a: Sums, b: Sums) -> bool:
    """To the last bit."""
    fields = [[*x.moments, *(x.score or ())] for x in (a, b)]
    return len(fields[0]) == len(fields[1]) and all(np.array_equal(x, y) for x, y in zip(*fields, strict=True))


@pytest.mark.parametrize("probabilities", [None, P])
def test_sums_survive_to_the_bit(probabilities: np.ndarray | None) -> None:
    none = set_sums.of(FEATURES, probabilities, np.full(500, -np.inf))  # no row has a weight: a scale of -inf
    parts = [set_sums.of(FEATURES[r], None if probabilities is None else probabilities[r], LOG_W[r]) for r in (
        slice(0, 123), slice(123, 500)
    )]  # fmt: skip
    sets = {"merged": set_sums.merge(*parts), "raw": set_sums.of(FEATURES, probabilities, None), "none": none}
    data = bytes(to_parquet(sums_table(sets)))
    found = sums_of(from_parquet(data))
    assert list(found) == list(sets)
    for name, sums in sets.items():
        assert same(found[name], sums), name
    assert not same(found["merged"], sets["raw"])
    assert bytes(to_parquet(sums_table(found))) == data


def test_half_of_a_symmetric_matrix_is_kept() -> None:
    sums = set_sums.of(FEATURES, None, None)
    table = sums_table({"raw": sums})
    (row,) = table.to_pylist()
    assert (row["set"], row["num_rows"], len(row["mean"])) == ("raw", 500, 40)
    assert row["scatter_triangle"][1] == sums.moments.scatter[0, 1]
    assert len(row["scatter_triangle"]) == 40 * 41 // 2
    assert bytes_of(40) == 8 * (40 + 40 * 41 // 2)
    assert row["score_log_scale"] is None
