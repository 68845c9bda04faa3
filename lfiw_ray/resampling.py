"""Resampling without Ray and without a run folder: log weights in, selected rows and their weights out.

    >>> import numpy as np
    >>> from lfiw_ray.resampling import diagnose, resample
    >>> log_w = np.random.default_rng(0).normal(0, 1.5, 1_000_000).astype(np.float32)
    >>> chosen = resample(log_w, k=1000, seed=7)  # Gumbel-top-k, without replacement
    >>> len(chosen.sample_ids), round(float(chosen.weight.sum()))
    (1000, 1000)
    >>> drawn = resample(log_w, k=1000, scheme="systematic", seed=7)  # with replacement
    >>> int(drawn.multiplicity.sum())
    1000
    >>> found = diagnose(log_w)
    >>> 0.05 < found.ess_fraction < 0.2, found.k_hat < 0.7
    (True, True)

| argument | meaning |
|---|---|
| log_w | N log weights, nats, unnormalised; -inf is a weight of zero |
| | a NumPy array, a torch tensor, an Arrow array or table, or the path or URL of a Parquet file or a folder of them |
| column | of a table or file |
| scheme | without replacement: "gumbel", with Horvitz-Thompson weights; "pool", one of each N // k candidates |
| | with replacement: "sir" (multinomial), "systematic", "stratified", "residual" |
| | biased rivals: "mh", "drs", "obrs", "top_k", "uniform", "reversed" |
| alpha | exponent; smaller trades bias for variance |
| labels | N integer classes, in any of these forms; of a table or file its column `label` |
| budgets | rows wanted of each class, sum k; each class is selected from as if the others were not there |

Files of a folder are read in the order of their names.  The estimate of the target's mean of f is
sum(weight f(row)) / k over the selected rows, for every scheme but the biased rivals.  The same weights, seed and
scheme give the same rows as a run on a cluster.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lfiw_ray.core import diagnostics, rivals, sir, topk
from lfiw_ray.core.diagnostics import Diagnostics
from lfiw_ray.core.selection import Selection, joined
from lfiw_ray.core.weights import flatten
from lfiw_ray.errors import DataError
from lfiw_ray.store.columns import read_files

SCHEMES = ("gumbel", *sir.NAMED, *rivals.RIVALS)


def resample(
    log_w: Any,
    k: int,
    scheme: str = "gumbel",
    seed: int = 0,
    alpha: float = 1.0,
    *,
    labels: Any = None,
    budgets: Mapping[int, int] | None = None,
    column: str = "log_w",
) -> Selection:
    """Select k rows (repeats counted) in proportion to w^alpha; see the module docstring.

    Returns
    -------
    Selection
        sample_ids (row numbers, increasing), keys, multiplicity, weight; `weight` sums to k.

    Raises
    ------
    ConfigError
        Too few rows have a positive weight.
    NonFiniteError
        A weight is NaN, null or +inf; names the rows.
    DataError
        The weights cannot be read, or have no such column; names the file.
    ValueError
        A bad argument.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    weights = as_array(log_w, column)
    if not np.issubdtype(weights.dtype, np.floating):
        weights = weights.astype(np.float64)
    if budgets is None:
        return _select(weights, k, scheme, seed, alpha)
    classes = as_array(log_w if labels is None else labels, "label")
    parts = _of_classes(weights, classes, budgets, k)
    return joined([_select(part, budget, scheme, seed, alpha) for part, budget in parts])


def _of_classes(
    log_w: np.ndarray, classes: np.ndarray, budgets: Mapping[int, int], k: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Weights of one class at a time, those of the others zero, and its budget."""
    if sum(budgets.values()) != k:
        raise ValueError(f"budgets sum to {sum(budgets.values())}, k is {k}")
    if classes.shape != log_w.shape:
        raise ValueError(f"labels must be as many as weights, got {classes.shape} and {log_w.shape}")
    for label, budget in budgets.items():
        yield np.where(classes == label, log_w, log_w.dtype.type(-np.inf)), budget


def _select(log_w: np.ndarray, k: int, scheme: str, seed: int, alpha: float) -> Selection:
    used = log_w if alpha == 1 else flatten(log_w, alpha)
    if scheme == "gumbel":
        return topk.finish(topk.init(used, 0, k, seed))
    if scheme in sir.NAMED:
        return sir.resample(used, k, seed, sir.NAMED[scheme])
    return rivals.select(scheme, used, 0, k, seed)


def diagnose(log_w: Any, alpha: float = 1.0, *, column: str = "log_w") -> Diagnostics:
    """What the weights are worth: ESS, k_hat, shares; parameters and errors of `resample`."""
    return diagnostics.diagnose(flatten(as_array(log_w, column), alpha))


def as_array(values: Any, column: str) -> np.ndarray:
    """(N,) array of anything that `resample` takes."""
    if isinstance(values, str | Path):
        values = read_files(str(values), column)
    if isinstance(values, pa.Table):
        if column not in values.column_names:
            raise DataError(f"the table has no column {column!r}; it has {', '.join(values.column_names)}")
        values = values.column(column)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy()
    if hasattr(values, "detach"):  # a torch tensor; torch itself is not needed here
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{column} must be one number a row, got shape {array.shape}")
    return array
