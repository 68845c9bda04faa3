"""The rows that a classifier is trained, stopped early, calibrated and tuned on, and its inputs for them.

Generated rows lie outside the pool, in `fit_samples/`; with cross-fitting they are rows of the pool that the
classifier does not score (`core.folds`), and only the rows on which alpha is chosen lie outside.
"""

from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core import folds
from lfiw_ray.engine.features import gather_features, real_features
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.run import Run

Arrays = tuple[np.ndarray, ...]


class GeneratedRows(NamedTuple):
    """Sample ids, int64, increasing: `train` and `held_out` of one table, `tuning` of fit_samples."""

    table: str
    train: np.ndarray
    held_out: np.ndarray
    tuning: np.ndarray


def generated_rows(run: Run, config: ClassifierConfig, fold: int) -> GeneratedRows:
    """Generated rows of the classifiers of a fold.

    Tuning row t belongs to fold t mod K, so that alpha is chosen on weights made as the pool's are made.
    """
    fit, first = run.fit_rows, run.first_tuning_row
    tuning = np.arange(first + fold, first + fit.tuning, max(config.folds, 1), dtype=np.int64)
    if config.folds:
        pool = run.config.generate.num_samples
        rows = folds.rows_of(fold, config.folds, pool, fit.train, fit.held_out)
        return GeneratedRows("samples", rows.train, rows.held_out, tuning)
    ids = np.arange(fit.train + fit.held_out, dtype=np.int64)
    return GeneratedRows("fit_samples", ids[: fit.train], ids[fit.train :], tuning)


def generated_inputs(run: Run, names: tuple[str, ...], table: str, sample_ids: np.ndarray) -> Arrays:
    """Inputs of generated rows by name: x (n, H, W, C) uint8, features (n, D) float32."""
    return tuple(
        gather_images(run.table(table), sample_ids)
        if name == "x"
        else gather_features(run.table(f"features/{table}"), sample_ids).features
        for name in names
    )


def real_inputs(run: Run, names: tuple[str, ...], split: str, x: Any) -> Arrays:
    """Inputs of a real split by name; x are its images, or None where the classifier does not look at them."""
    return tuple(x if name == "x" else real_features(run, split) for name in names)


def training_arrays(run: Run, names: tuple[str, ...], rows: GeneratedRows, x_train: Any, x_held_out: Any) -> Arrays:
    """Inputs and labels for the training, then the same for stopping it early: the first half of held-out rows."""
    half = len(rows.held_out) // 2
    train = generated_inputs(run, names, rows.table, rows.train)
    held_out = generated_inputs(run, names, rows.table, rows.held_out[:half])
    real_held_out = real_inputs(run, names, "calibration", x_held_out)
    cut = tuple(a[: len(a) // 2] for a in real_held_out)
    labelled = _labelled(cut, held_out)
    mixed = _mixed(len(cut[0]), len(held_out[0]))
    return (*_labelled(real_inputs(run, names, "classifier", x_train), train), *(a[mixed] for a in labelled))


def _mixed(num_real: int, num_generated: int) -> np.ndarray:
    """Order in which the two kinds are spread evenly: bridges between them need both in every batch."""
    places = [(np.arange(n) + 0.5) / n for n in (num_real, num_generated)]
    return np.argsort(np.concatenate(places), kind="stable")


def _labelled(real: Arrays, generated: Arrays) -> Arrays:
    """Each input of real and generated rows in one array, then y."""
    y = np.concatenate([np.ones(len(real[0]), np.float32), np.zeros(len(generated[0]), np.float32)])
    return (*(np.concatenate(pair) for pair in zip(real, generated, strict=True)), y)
