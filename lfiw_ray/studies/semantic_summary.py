"""From the accuracies of paired trials to a table and a sentence.

Repeat r of every arm has the same labelled rows, initial weights and batches, so two arms are compared by the
differences d_r of their accuracies: mean, standard error s / sqrt(R) and the 95 % interval of Student's t with
R - 1 degrees of freedom.  A difference is told from noise when that interval does not hold zero.  The noise is
that of the repeats (labelled rows, weights, batches); generator, weights and test rows are the same in all.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

LABELS = "labels"  # the arm without unlabelled rows
BASELINES = (LABELS, "raw")
_LEVEL = 0.95


def summarise(accuracies: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Table, paired differences and verdict.

    Parameters
    ----------
    accuracies : per arm (R,) float64, shares in [0, 1], R at least 2; entry r of every arm is repeat r.  `labels`
        and at least one other arm.

    Returns
    -------
    dict of plain values.  `arms`: per arm `accuracy`, `accuracy_se`, `accuracies`.  `differences`: a list, each arm
    against `labels` and `raw`, with `arm`, `baseline`, `mean`, `se`, `interval` (95 %), `standard_errors` (mean / se,
    None when se is 0), `told_from_noise` and `sentence`.  `verdict`: the sentence of `resampled` against `raw`, or,
    where one of them is absent, of the last difference.  All numbers are shares; the sentences speak of points.
    """
    shapes = {arm: np.shape(values) for arm, values in accuracies.items()}
    if LABELS not in shapes or len(shapes) < 2:
        raise ValueError(f"the arm {LABELS!r} and at least one other are needed, got {list(shapes)}")
    if any(len(shape) != 1 or shape[0] < 2 or shape != shapes[LABELS] for shape in shapes.values()):
        raise ValueError(f"all arms need equally many repeats, at least 2, got {shapes}")
    differences = [
        _difference(arm, baseline, accuracies[arm] - accuracies[baseline])
        for order, baseline in enumerate(BASELINES)
        if baseline in accuracies
        for arm in accuracies
        if arm not in BASELINES[: order + 1]
    ]
    main = [d for d in differences if (d["arm"], d["baseline"]) == ("resampled", "raw")]
    return {
        "arms": {arm: _arm(values) for arm, values in accuracies.items()},
        "differences": differences,
        "verdict": (main or differences)[-1]["sentence"],
    }


def _mean_se(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _arm(accuracies: np.ndarray) -> dict[str, Any]:
    mean, se = _mean_se(accuracies)
    return {"accuracy": mean, "accuracy_se": se, "accuracies": [float(value) for value in accuracies]}


def _difference(arm: str, baseline: str, differences: np.ndarray) -> dict[str, Any]:
    mean, se = _mean_se(differences)
    reach = float(stats.t.ppf((1 + _LEVEL) / 2, len(differences) - 1)) * se
    told = abs(mean) > reach
    standard_errors = mean / se if se > 0 else None
    out = {"arm": arm, "baseline": baseline, "mean": mean, "se": se, "interval": [mean - reach, mean + reach]}
    sentence = _sentence(arm, baseline, mean, se, reach, len(differences))
    return out | {"standard_errors": standard_errors, "told_from_noise": told, "sentence": sentence}


def _sentence(arm: str, baseline: str, mean: float, se: float, reach: float, num_repeats: int) -> str:
    names = {LABELS: "labels alone", "raw": "raw samples", "real": "real unlabelled images"}
    this, other = (names.get(name, f"{name} samples") for name in (arm, baseline))
    points = [100 * value for value in (mean, se, mean - reach, mean + reach)]
    if abs(mean) <= reach:
        return (
            f"{this} against {other}: no difference that can be told from noise "
            f"({points[0]:+.1f} ± {points[1]:.1f} points, 95 % interval {points[2]:+.1f} to {points[3]:+.1f}, "
            f"{num_repeats} paired repeats)"
        )
    verb, word = ("raise", "over") if mean > 0 else ("lower", "below")
    count = f"{abs(mean) / se:.1f} standard errors" if se > 0 else "the same in every repeat"
    return (
        f"{this} {verb} accuracy by {abs(points[0]):.1f} ± {points[1]:.1f} points {word} {other}: {count}, "
        f"{num_repeats} paired repeats"
    )
