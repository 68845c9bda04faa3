"""Refusal of arrays with NaN or infinity, naming the rows."""

import numpy as np

from lfiw_ray.errors import NonFiniteError


def require_finite(values: np.ndarray, name: str, sample_ids: np.ndarray | None = None) -> None:
    """Raise `NonFiniteError` with the first row (axis 0) of `values` (N, ...) that is not finite everywhere.

    Parameters
    ----------
    sample_ids : (N,) what the rows are called; None: their numbers.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    rows = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
    first = f"row {rows[0]}" if sample_ids is None else f"sample id {sample_ids[rows[0]]}"
    raise NonFiniteError(
        f"{name}: NaN or infinity in {first} and {len(rows) - 1} more of {len(values)} rows; "
        "find what produced it, no row is left out"
    )


def finite_rows(values: np.ndarray, name: str) -> np.ndarray:
    """`values` itself, checked to be a finite (N, D) array of at least one row."""
    values = np.asarray(values)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"{name} must be (N, D) with N >= 1, got shape {values.shape}")
    require_finite(values, name)
    return values
