"""What every resampling scheme returns.

One rule holds for all: `weight` sums to the number of draws k, and sum(weight f(x)) / k over the distinct
rows estimates the mean of f under the target (the distribution proportional to w^alpha times the pool's).
`multiplicity` also sums to k and describes the set without weights.
"""

from typing import NamedTuple

import numpy as np


class Selection(NamedTuple):
    """Distinct selected rows in the order of their sample ids; R rows."""

    sample_ids: np.ndarray
    """int64 (R,), strictly increasing"""
    keys: np.ndarray | None
    """float64 (R,), perturbed log weights, nats; None for schemes that have none"""
    multiplicity: np.ndarray
    """int64 (R,), how often a row was drawn"""
    weight: np.ndarray
    """float64 (R,), see the module docstring"""


def joined(parts: list[Selection]) -> Selection:
    """The selections of several classes, which share no row, as one."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.sample_ids for part in parts]))
    keys = [part.keys for part in parts if part.keys is not None]
    return Selection(
        np.concatenate([part.sample_ids for part in parts])[order],
        np.concatenate(keys)[order] if len(keys) == len(parts) else None,
        np.concatenate([part.multiplicity for part in parts])[order],
        np.concatenate([part.weight for part in parts])[order],
    )
