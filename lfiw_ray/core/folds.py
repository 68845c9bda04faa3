"""Cross-fitting: which rows of the pool train, calibrate and score, so that none is weighted by a model that saw it.

The folds are dealt by blocks of 1,024 consecutive sample ids in turn, so that the fold of a row depends on its id
alone, and few shards hold the rows of a training set.  The classifier of fold j

- scores the rows of fold j, and no others;
- is stopped early and calibrated on rows of fold (j + 1) mod K;
- is trained on rows of the K - 2 other folds.

Given the classifier of its fold, a row's weight is then a function of that row alone, as it is for a classifier
trained elsewhere (cross-fitting: Chernozhukov et al. 2018, The Econometrics Journal 21, section 3).

| symbol | meaning | dtype |
|---|---|---|
| K | number of folds, at least 3 | int |
| sample_ids | ids of the pool, 0 .. num_samples | int64 (N,) |
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lfiw_ray.core.noise import NOISE_BLOCK

FOLD_BLOCK = NOISE_BLOCK


class FoldRows(NamedTuple):
    """Rows of one fold's classifier: int64, increasing, disjoint from each other and from the fold."""

    train: np.ndarray
    held_out: np.ndarray


def fold_of(sample_ids: np.ndarray, folds: int) -> np.ndarray:
    """(N,) int64 fold of each row: (sample_id // 1024) mod K."""
    fold: np.ndarray = np.asarray(sample_ids, np.int64) // FOLD_BLOCK % folds
    return fold


def size_of(fold: int, folds: int, num_samples: int) -> int:
    """Rows of a fold."""
    rounds, rest = divmod(num_samples, folds * FOLD_BLOCK)
    return rounds * FOLD_BLOCK + min(max(rest - fold * FOLD_BLOCK, 0), FOLD_BLOCK)


def rows_of(fold: int, folds: int, num_samples: int, num_train: int, num_held_out: int) -> FoldRows:
    """The rows that train the classifier of a fold and the rows held out from it, the first of their folds.

    Where the pool is too small for the numbers wanted, both are reduced in the same proportion and alike for all
    folds, so that the ratio of generated to real rows, hence the prior odds, is the same wherever logits meet.

    Parameters
    ----------
    num_train, num_held_out : rows wanted, at least 1 each.

    Raises
    ------
    ValueError
        Fewer than 3 folds, a fold that there is not, or a fold without any row.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise ValueError(f"fold {fold} of {folds}: at least 3 are needed, numbered from 0")
    sizes = [size_of(j, folds, num_samples) for j in range(folds)]
    if min(sizes) < 1:
        raise ValueError(f"{folds} folds of blocks of {FOLD_BLOCK} rows need more than {num_samples} samples")
    left = [num_samples - sizes[j] - sizes[(j + 1) % folds] for j in range(folds)]
    share = min(1.0, min(left) / num_train, min(sizes) / num_held_out)
    following = (fold + 1) % folds
    others = [j for j in range(folds) if j not in (fold, following)]
    return FoldRows(
        _first(others, folds, num_samples, int(share * num_train)),
        _first([following], folds, num_samples, int(share * num_held_out)),
    )


def _first(members: Sequence[int], folds: int, num_samples: int, count: int) -> np.ndarray:
    """The first `count` sample ids of some folds, which hold at least as many."""
    rounds = -(-count // (FOLD_BLOCK * len(members))) + 1  # one more for a last block that is not full
    blocks = (np.arange(rounds, dtype=np.int64)[:, None] * folds + np.array(members)).reshape(-1)
    ids = (blocks[:, None] * FOLD_BLOCK + np.arange(FOLD_BLOCK)).reshape(-1)
    found: np.ndarray = ids[ids < num_samples][:count]
    return found
