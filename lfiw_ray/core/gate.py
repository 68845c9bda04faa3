"""Are the weights good enough?  A verdict in plain words, and the flattening exponent that makes them so.

Two independent alarms: an effective sample size below what is asked for (too few rows carry the weight), and a
Pareto shape above a limit (the rows that carry it were seen by luck, and the effective sample size itself cannot be
believed).  The limit is min(0.7, 1 - 1 / log10(N)): below it a large error is improbable (Vehtari et al. 2024,
JMLR 25(72), eq. 13); it is 0.5 for 100 rows, 0.67 for 1,000, and 0.7 from 2,155 on.  Flattening, w^alpha, is the
knob: alpha = 1 is unbiased, alpha = 0 is the raw pool.
"""

import math
from typing import NamedTuple

import numpy as np

from lfiw_ray.core.diagnostics import Diagnostics, diagnose
from lfiw_ray.core.weights import flatten

GRID = tuple(step / 20 for step in range(20, -1, -1))  # 1.0, 0.95, ..., 0.0


class Verdict(NamedTuple):
    """Whether a set of weights passes; sentences that say why not and what helps."""

    passed: bool
    reasons: tuple[str, ...]
    advice: tuple[str, ...]


class AlphaTrial(NamedTuple):
    """Figures of the tuning rows at one exponent."""

    alpha: float
    ess_fraction: float
    k_hat: float | None
    passed: bool


class AlphaChoice(NamedTuple):
    """The largest exponent that passes, with every exponent tried, largest first."""

    alpha: float
    table: tuple[AlphaTrial, ...]


def k_hat_limit(num_rows: int, max_k_hat: float = 0.7) -> float:
    """Largest Pareto shape that passes for a number of rows: min(max_k_hat, 1 - 1 / log10(N))."""
    return min(max_k_hat, 1 - 1 / math.log10(max(num_rows, 2)))


def gate(diagnostics: Diagnostics, min_ess: float, max_k_hat: float = 0.7) -> Verdict:
    """Judge a set of weights.

    Parameters
    ----------
    min_ess : effective rows that the use of the weights asks for.
    max_k_hat : largest Pareto shape that passes, lowered for few rows (`k_hat_limit`); equal weights (None) always
        pass.
    """
    reasons, advice = [], []
    if diagnostics.ess < min_ess:
        reasons.append(
            f"The weights are worth {diagnostics.ess:,.1f} equally weighted rows of {diagnostics.n:,} "
            f"({diagnostics.ess_fraction:.2%}), but {min_ess:,.1f} are asked for; "
            f"the heaviest row alone holds {diagnostics.max_share:.1%} of the weight."
        )
        advice += ["Flatten the weights with a smaller alpha.", "Generate more samples, or ask for fewer rows."]
    k_hat, limit = diagnostics.k_hat, k_hat_limit(diagnostics.n, max_k_hat)
    if k_hat is not None and not k_hat <= limit:
        reasons.append(
            f"The tail of the weights is too heavy: k_hat is {k_hat:.2f}, above {limit:.2f}; "
            "a few rows decide every result, and another pool would give another one."
            if np.isfinite(k_hat)
            else "The shape of the weights' tail cannot be told: fewer than 5 rows stand out from the others."
        )
        advice += [
            "Flatten the weights with a smaller alpha, or smooth their tail (PSIS).",
            "Bring real and generated rows closer for the classifier: noise on both sides, or bridges between them.",
            "Train a better generator.",
        ]
    return Verdict(not reasons, tuple(reasons), tuple(dict.fromkeys(advice)))


def choose_alpha(
    log_w: np.ndarray, min_ess_fraction: float, max_k_hat: float = 0.7, grid: tuple[float, ...] = GRID
) -> AlphaChoice:
    """The largest exponent whose weights pass the gate on tuning rows that are not in the pool.

    alpha = 0 passes by definition: equal weights need no evidence, and they are the raw pool.  It is
    therefore always tried.

    Parameters
    ----------
    log_w : (N,) floats, nats, of the tuning rows.
    min_ess_fraction : smallest ESS / N that passes.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf, or all are zero.
    """
    exponents = sorted({*grid, 0.0}, reverse=True)
    table = tuple(_try(log_w, alpha, min_ess_fraction, max_k_hat) for alpha in exponents)
    return AlphaChoice(next(trial.alpha for trial in table if trial.passed), table)


def _try(log_w: np.ndarray, alpha: float, min_ess_fraction: float, max_k_hat: float) -> AlphaTrial:
    figures = diagnose(flatten(log_w, alpha) if alpha < 1 else log_w)
    passed = alpha == 0 or gate(figures, min_ess_fraction * figures.n, max_k_hat).passed
    return AlphaTrial(alpha, figures.ess_fraction, figures.k_hat, passed)
