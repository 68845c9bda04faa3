"""The real rows that the table compares with: as many of the publisher's test rows, or training rows, as an arm has.

Where the publisher's test rows are mixed into all splits, or there are none, the evaluation split stands for them and
the other three splits for the training rows; the label says so.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.errors import ConfigError

_OTHER = {"test": "train", "train": "test"}


class RealRows(NamedTuple):
    """What the rows are; numbers (N,) int64 of them in the data, and of rows of the other kind for the floor."""

    label: str
    rows: np.ndarray
    others: np.ndarray


def real_rows(run: Run, real: Real, kind: str, num_rows: int) -> RealRows:
    """Rows of the `test` or of the `train` kind, drawn by seed, and as many of the other kind, or all where there are
    fewer.

    Raises
    ------
    ConfigError
        There are fewer rows of this kind.
    """
    labels, rows = _kinds(run, real)
    if len(rows[kind]) < num_rows:
        raise ConfigError(
            f"--num-rows: {num_rows:,} samples are to be compared with as many {labels[kind]}, but there are "
            f"{len(rows[kind]):,}; lower it"
        )
    drawn = {name: _drawn(run.config.seed, numbers, num_rows) for name, numbers in rows.items()}
    return RealRows(labels[kind], drawn[kind], drawn[_OTHER[kind]])


def _kinds(run: Run, real: Real) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What the two kinds are called, and their row numbers."""
    count, num_test = len(real.data.x), real.data.num_test
    if run.config.data.test_rows == "apart" and num_test:
        labels = {"test": "published test rows", "train": "published training rows"}
        return labels, {"test": np.arange(count - num_test, count), "train": np.arange(count - num_test)}
    parts = [getattr(real.splits, name) for name in ("generator", "classifier", "calibration")]
    labels = {"test": "held-out rows", "train": "rows of the training splits"}
    return labels, {"test": real.splits.evaluation, "train": np.sort(np.concatenate(parts))}


def _drawn(seed: int, numbers: np.ndarray, num_rows: int) -> np.ndarray:
    """At most so many rows at random, because published files may be sorted by class."""
    return numbers[np.sort(noise.generator(seed, "table1 rows").permutation(len(numbers))[:num_rows])]
