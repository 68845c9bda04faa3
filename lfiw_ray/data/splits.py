"""Four disjoint splits of the real rows, drawn by seed.

The rows are put into a random order and cut at the configured fractions.  With labels, the order interleaves the
classes: the row of rank r (in random order) among the n rows of its class is placed at (r + 1/2) / n, so every
split holds each class in its share of the whole, to within about one row.  Rows without labels are one class, for
which this is the plain random order.

Where the publisher's test rows are kept apart, they are the evaluation split, and the other three are cut from the
training rows in this way; training rows that the fractions leave over are in no split.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.config import DataConfig
from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError

MIN_ROWS = 2


class Splits(NamedTuple):
    """Row numbers, each (n,) int64 and sorted; disjoint, and together every row unless test rows are kept apart."""

    generator: np.ndarray
    classifier: np.ndarray
    calibration: np.ndarray
    evaluation: np.ndarray


def split(
    num_rows: int, config: DataConfig, seed: int, labels: np.ndarray | None = None, num_test: int | None = None
) -> Splits:
    """Draw the splits.

    Parameters
    ----------
    num_rows : rows of the data set.
    config : its fractions decide the sizes, rounded to whole rows; the evaluation gets the rest, or the test rows.
    seed : the run's seed; the stream is `splits`.
    labels : (num_rows,) int64; classes to be balanced over the splits.
    num_test : how many rows, the last ones, are the publisher's test rows; None: no such division.

    Raises
    ------
    ConfigError : a split would get fewer than 2 rows; test rows are to be kept apart where there are none.
    ValueError : `labels` has another length.
    """
    if labels is not None and labels.shape != (num_rows,):
        raise ValueError(f"labels must have shape ({num_rows},), got {labels.shape}")
    if config.test_rows == "apart":
        return _apart(num_rows, config, seed, labels, num_test)
    cuts = np.cumsum(_sizes(num_rows, config))
    order = _order(num_rows, seed, labels)
    return Splits(*(np.sort(part) for part in np.split(order, cuts)))


def _apart(num_rows: int, config: DataConfig, seed: int, labels: np.ndarray | None, num_test: int | None) -> Splits:
    """The test rows are the evaluation split; the training rows beyond the fractions are left out."""
    num_train = num_rows - published(num_test, config, "data.test_rows")
    cuts = np.cumsum(_sizes(num_train, config))
    order = _order(num_train, seed, None if labels is None else labels[:num_train])
    generator, classifier, calibration = (np.sort(part) for part in np.split(order, cuts)[:3])
    return Splits(generator, classifier, calibration, np.arange(num_train, num_rows))


def published(num_test: int | None, config: DataConfig, field: str) -> int:
    """Number of the publisher's test rows; ConfigError, naming the field that needs them, where there are none."""
    if num_test is None:
        column = "; name their column in data.test_column" if config.name == "parquet" else ""
        raise ConfigError(f"{field}: the data set {config.name!r} has no published test rows{column}")
    return num_test


def _sizes(num_rows: int, config: DataConfig) -> list[int]:
    """Rows of the first three splits, after a check of all four."""
    sizes = []
    for name in ("generator", "classifier", "calibration"):
        fraction = getattr(config, f"{name}_fraction")
        sizes.append(round(fraction * num_rows))
        if sizes[-1] < MIN_ROWS:
            raise ConfigError(
                f"data.{name}_fraction = {fraction:g} of {num_rows} rows is {sizes[-1]}; at least {MIN_ROWS} are needed"
            )
    if config.test_rows == "mixed" and (rest := num_rows - sum(sizes)) < MIN_ROWS:
        raise ConfigError(
            f"data.generator_fraction, classifier_fraction and calibration_fraction leave {max(rest, 0)} of {num_rows} "
            f"rows for the evaluation; at least {MIN_ROWS} are needed"
        )
    return sizes


def _order(num_rows: int, seed: int, labels: np.ndarray | None) -> np.ndarray:
    """(num_rows,) int64: all rows in random order, classes interleaved."""
    order = noise.generator(seed, "splits").permutation(num_rows)
    if labels is None:
        return order
    place = np.empty(num_rows)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels[order] == label)
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return order[np.argsort(place, kind="stable")]
