"""Which real rows the evaluation compares with, and which other real rows show how near real rows come.

| reference | compared with | others |
|---|---|---|
| held_out | the evaluation split | the generator's and the classifier's splits |
| test | the published test rows, which are then the evaluation split | the same |
| train | the published training rows, some of which the generator saw | the published test rows |

The second is the protocol "10k against 10k test", the third "50k against 50k train": a generator that repeats its
training rows looks perfect by it, so it is there for comparison with published numbers.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.noise import generator
from lfiw_ray.data.image_data import ImageData
from lfiw_ray.data.splits import MIN_ROWS, Splits, published
from lfiw_ray.errors import ConfigError


class ReferenceRows(NamedTuple):
    """Row numbers of the real data, int64, disjoint: `compared` (n,) sorted, `others` (m,)."""

    compared: np.ndarray
    others: np.ndarray


def reference_rows(data: ImageData, splits: Splits, config: PipelineConfig) -> ReferenceRows:
    """Choose them.

    Raises
    ------
    ConfigError
        `evaluate.reference` asks for a published division that the data have not, or for test rows that the models
        have seen; or fewer than 2 rows are left.
    """
    kind, field = config.evaluate.reference, "evaluate.reference"
    compared, others = splits.evaluation, np.concatenate([splits.generator, splits.classifier])
    if kind == "test" and config.data.test_rows != "apart":
        raise ConfigError(
            f"{field}: the published test rows are mixed into the splits that the models are trained on; "
            "set data.test_rows = apart"
        )
    if kind == "train":
        first_test = len(data.x) - published(data.num_test, config.data, field)
        compared, others = np.arange(first_test), np.arange(first_test, len(data.x))
    if len(compared) < MIN_ROWS:
        raise ConfigError(f"{field} = {kind} leaves {len(compared)} real rows; at least {MIN_ROWS} are needed")
    return ReferenceRows(_some(compared, config.evaluate.num_reference, config.seed), others)


def _some(rows: np.ndarray, at_most: int | None, seed: int) -> np.ndarray:
    """At most so many of the rows, drawn by seed, in their order."""
    if at_most is None or at_most >= len(rows):
        return rows
    return rows[np.sort(generator(seed, "reference rows").permutation(len(rows))[:at_most])]
