"""What a reader must know about a calibrator before trusting its odds, in sentences."""

import numpy as np

from lfiw_ray.core.calibration import Calibration
from lfiw_ray.core.reliability import tied


def caveats(calibration: Calibration, calibrated: np.ndarray) -> list[str]:
    """Sentences, the gravest first; none when there is nothing to say.

    Parameters
    ----------
    calibrated : (N,) float64, what the calibrator made of held-out logits, nats.
    """
    said = []
    if calibration.a < 0:
        said.append(
            f"THE CLASSIFIER RANKS BACKWARDS: the {calibration.kind} slope is {calibration.a:.3g}, so what it finds "
            "more real is less so, and calibration turned its ranks round; look for swapped labels or a training "
            "that failed, and do not use these weights"
        )
    if np.ptp(calibrated) == 0:
        said.append(
            f"THE CLASSIFIER TELLS NOTHING: {calibration.kind} calibration gives every held-out row the same odds, so "
            "all weights are equal and resampling is a uniform draw"
        )
    elif calibration.steps is not None and (share := tied(calibrated)) > 0:
        low, high = calibration.steps.log_odds[0], calibration.steps.log_odds[-1]
        said.append(
            f"isotonic calibration makes ties: {len(calibrated):,} held-out rows have {len(np.unique(calibrated)):,} "
            f"different log odds, from {low:.2f} to {high:.2f} nats; the {share:.1%} that share theirs with another "
            "row get equal weights and lose their ranks"
        )
    if calibration.separable:
        said.append(
            "a threshold separates the classes of the calibration rows, so they bound no odds from above: smoothed "
            "targets did, and the odds are a cautious guess; use more held-out rows or a classifier that separates less"
        )
    return said
