"""Sums over sets of rows (`core.set_sums`) as a Parquet table, one row a set; float64 survives to the last bit.

A scatter matrix is symmetric to the last bit, so its upper triangle, row by row, is all that is kept of it.

| column | meaning |
|---|---|
| set | name of the set |
| num_rows, log_scale, weight_sum, weight_sq_sum | as in `core.moments` |
| mean, scatter_triangle | lists of D and of D (D + 1) / 2 numbers |
| score_log_scale, score_weight_sum, neg_entropy_sum, probability_sum | of `core.inception_score`, or null |
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lfiw_ray.core.inception_score import ScoreState
from lfiw_ray.core.moments import Moments
from lfiw_ray.core.set_sums import Sums

_MOMENTS = ("log_scale", "weight_sum", "weight_sq_sum")
_SCORE = ("score_log_scale", "score_weight_sum", "neg_entropy_sum")
SCHEMA = pa.schema(
    [
        ("set", pa.string()),
        ("num_rows", pa.int64()),
        *((name, pa.float64()) for name in _MOMENTS),
        ("mean", pa.list_(pa.float64())),
        ("scatter_triangle", pa.list_(pa.float64())),
        *((name, pa.float64()) for name in _SCORE),
        ("probability_sum", pa.list_(pa.float64())),
    ]
)


def bytes_of(num_features: int) -> int:
    """Bytes of one set, nearly."""
    return 8 * num_features * (num_features + 3) // 2


def sums_table(sets: Mapping[str, Sums]) -> pa.Table:
    """A table of sets by name."""
    return pa.Table.from_pylist([_row(name, sums) for name, sums in sets.items()], schema=SCHEMA)


def _row(name: str, sums: Sums) -> dict[str, Any]:
    seen, score = sums.moments, sums.score
    out: dict[str, Any] = {"set": name, "num_rows": seen.num_rows, "mean": seen.mean}
    out |= {key: getattr(seen, key) for key in _MOMENTS}
    out["scatter_triangle"] = seen.scatter[np.triu_indices(len(seen.mean))]
    if score is not None:
        known = (score.log_scale, score.weight_sum, score.neg_entropy_sum)
        out |= dict(zip(_SCORE, known, strict=True), probability_sum=score.probability_sum)
    return out


def sums_of(table: pa.Table) -> dict[str, Sums]:
    """The sets of such a table, in its order."""
    return {table.column("set")[row].as_py(): _sums(table, row) for row in range(table.num_rows)}


def _sums(table: pa.Table, row: int) -> Sums:
    def number(name: str) -> Any:
        return table.column(name)[row].as_py()

    def vector(name: str) -> np.ndarray:
        found: np.ndarray = table.column(name)[row].values.to_numpy()
        return found

    mean, num_rows = vector("mean"), number("num_rows")
    scatter = np.zeros((len(mean), len(mean)))
    scatter[np.triu_indices(len(mean))] = vector("scatter_triangle")
    scatter += np.triu(scatter, 1).T
    log_scale, weight_sum, weight_sq_sum = (number(name) for name in _MOMENTS)
    moments = Moments(num_rows, log_scale, weight_sum, weight_sq_sum, mean, scatter)
    if number("score_log_scale") is None:
        return Sums(moments, None)
    log_scale, weight_sum, neg_entropy_sum = (number(name) for name in _SCORE)
    return Sums(moments, ScoreState(num_rows, log_scale, weight_sum, neg_entropy_sum, vector("probability_sum")))
