"""A calibrator and its figures as the plain values of `calibration.json`."""

import math
from typing import Any

import numpy as np

from lfiw_ray.core.bootstrap import Bands, bands
from lfiw_ray.core.calibration import CalibrationChoice
from lfiw_ray.core.caveats import caveats
from lfiw_ray.core.reliability import CalibrationReport, report


def calibration_figures(
    choice: CalibrationChoice, judge: tuple[np.ndarray, np.ndarray], log_prior_odds: float, seed: int
) -> dict[str, Any]:
    """The calibrator, its rivals, what is wrong with it, and its figures before and after.

    Parameters
    ----------
    judge : (logits, y) of rows that the calibrator was not fitted on.
    log_prior_odds : log(n_gen / n_real) of the classifier's training rows, nats.
    seed : of the bootstrap.

    Returns
    -------
    dict
        "calibration", "log_prior_odds", "candidates" (kind: cross-validated log loss, nats), "warnings" (sentences;
        none when all is well), "before" and "after" (see `figures_of`).
    """
    logits, y = judge
    calibrated = choice.calibration.apply(logits)
    sides = {"before": logits, "after": calibrated}
    return {
        "calibration": choice.calibration.to_json(),
        "log_prior_odds": log_prior_odds,
        "candidates": choice.cv_log_loss_nats,
        "warnings": caveats(choice.calibration, calibrated),
        **{
            side: figures_of(report(z, y, log_prior_odds), bands(z, y, log_prior_odds, seed))
            for side, z in sides.items()
        },
    }


def figures_of(r: CalibrationReport, b: Bands) -> dict[str, Any]:
    """A calibration report with its bands as plain values; a figure that is not finite becomes null."""
    bins = [
        {"predicted": float(p), "observed": float(o), "count": int(n), "low": _finite(low), "high": _finite(high)}
        for p, o, n, low, high in zip(*r.curve, b.curve_low.tolist(), b.curve_high.tolist(), strict=True)
    ]
    figures = {
        "log_loss_nats": r.log_loss_nats,
        "brier": r.brier,
        "ece": r.ece,
        "z": r.z,
        "auc": r.auc,
        "accuracy": r.accuracy,
        "tied": r.tied,
        "mean_w_model": r.model_mean_w.mean,
        "mean_w_model_se": r.model_mean_w.se,
        "mean_inverse_w_data": r.data_mean_inverse_w.mean,
        "mean_inverse_w_data_se": r.data_mean_inverse_w.se,
    }
    return {
        **{name: _finite(value) for name, value in figures.items()},
        "bands": {name: [_finite(end) for end in ends] for name, ends in b.scalars.items()},
        "bins": bins,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
