"""Study: bias and variance of every form of the weights, where all answers are known.

Target p = N(mu, 1), generator q = N(0, s^2) with s^2 = 1 - k.  The exact weight w = p / q grows as
exp(x^2 (1 / s^2 - 1) / 2), while q's tail falls as exp(-x^2 / (2 s^2)), hence P_q(w > t) falls as t^(-1/k) up to
logarithms: k is the Pareto shape that k_hat estimates, and the variance of w is infinite from k = 1/2 on.  Every
replicate draws N rows of q; nothing is estimated but the sums, so that what is seen is the weights' own doing.
"""

import math
from typing import Any

import numpy as np
from scipy import integrate

from lfiw_ray.core import noise
from lfiw_ray.core.diagnostics import diagnose
from lfiw_ray.core.forms import Tail, transform

NAME = "estimators"
TITLE = "Bias and variance of the weights' forms on Gaussians"

SHAPES = (0.2, 0.7, 0.9)
MU = 0.5
NUM_ROWS = 1_000
NUM_REPLICATES = 4_000
ALPHA, BETA = 0.5, 1.0
QUANTITIES = {"mean": "E[x]", "second_moment": "E[x^2]", "constant": "E_q[w] = 1"}
FORMS: dict[str, tuple[str, float, float, Tail]] = {  # key: label, alpha, beta, tail
    "plain": ("plain", 1.0, 0.0, "none"),
    "self_normalised": ("self-normalised", 1.0, 0.0, "none"),
    "flattened": (f"flattened, alpha = {ALPHA}", ALPHA, 0.0, "none"),
    "clipped": (f"clipped, beta = {BETA}", 1.0, BETA, "none"),
    "truncated": ("truncated", 1.0, 0.0, "truncate"),
    "smoothed": ("Pareto-smoothed", 1.0, 0.0, "psis"),
}
_GRID = np.linspace(-15, 15, 60_001)  # the integrands vanish at its ends; the trapezium rule is exact to 1e-6


def study(seed: int) -> dict[str, Any]:
    """Run it: about 10 seconds.

    Returns
    -------
    dict of plain values, a function of the seed: `name`, `title`, `seed`, `num_rows`, `num_replicates`, `mu`;
    `quantities`: {key: label} of `mean`, `second_moment`, `constant` (the mean weight); and `cases`, one per Pareto
    shape, each with

    - `k` the true shape, `proposal_sd` the generator's s, `variance_finite` whether w has a variance;
    - `k_hat`, `ess_fraction`: {"mean", "se"} over replicates, of the raw weights;
    - `truth`: {quantity: value};
    - `estimators`: a list of {"key", "label", "alpha", "beta", "tail", "values"}, where `values` holds, per
      quantity, None (a self-normalised estimator has no constant) or {"limit", "bias", "bias_se", "sd", "sd_se",
      "rmse", "rmse_se"}: what the estimator tends to for many rows, and bias (against the truth), standard
      deviation and root mean squared error over replicates with their standard errors.

    Where `variance_finite` is false, the plain estimator has no standard deviation: its figures are those of the
    replicates at hand, its sd grows with their number, and the rows that would take away its seeming bias are too
    rare to be among them.
    """
    return {
        "name": NAME,
        "title": TITLE,
        "seed": seed,
        "num_rows": NUM_ROWS,
        "num_replicates": NUM_REPLICATES,
        "mu": MU,
        "quantities": QUANTITIES,
        "cases": [_case(k, noise.generator(seed, f"studies/{NAME}", i)) for i, k in enumerate(SHAPES)],
    }


def _case(k: float, rng: np.random.Generator) -> dict[str, Any]:
    """All estimators at one Pareto shape; the same rows for each."""
    sd = math.sqrt(1 - k)
    x = sd * rng.standard_normal((NUM_REPLICATES, NUM_ROWS))
    log_w = log_ratio(x, sd)
    raw = [diagnose(row) for row in log_w]
    truth = {"mean": MU, "second_moment": 1 + MU**2, "constant": 1.0}
    return {
        "k": k,
        "proposal_sd": sd,
        "variance_finite": k < 0.5,
        "k_hat": _mean_se(np.array([figures.k_hat for figures in raw])),
        "ess_fraction": _mean_se(np.array([figures.ess_fraction for figures in raw])),
        "truth": truth,
        "estimators": [_estimator(key, x, log_w, sd, truth) for key in FORMS],
    }


def log_ratio(x: np.ndarray, sd: float) -> np.ndarray:
    """Exact log p(x) - log q(x), nats, shape of x."""
    return (x / sd) ** 2 / 2 - (x - MU) ** 2 / 2 + math.log(sd)


def limits(alpha: float, beta: float, sd: float) -> dict[str, float]:
    """What the estimators tend to: moments of max(p^alpha q^(1 - alpha), beta q m), m the first one's integral."""
    log_q = -((_GRID / sd) ** 2) / 2 - math.log(sd * math.sqrt(2 * math.pi))
    flattened = np.exp(log_q + alpha * log_ratio(_GRID, sd))
    density = np.maximum(flattened, beta * _integral(flattened) * np.exp(log_q))
    constant = _integral(density)
    first, second = (_integral(density * _GRID**j) / constant for j in (1, 2))
    return {"mean": first, "second_moment": second, "constant": constant}


def _integral(values: np.ndarray) -> float:
    return float(integrate.trapezoid(values, _GRID))


def _estimator(key: str, x: np.ndarray, log_w: np.ndarray, sd: float, truth: dict[str, float]) -> dict[str, Any]:
    """One estimator's figures for all quantities."""
    label, alpha, beta, tail = FORMS[key]
    w = np.exp([transform(row, alpha, beta, tail) for row in log_w])
    constant = w.mean(axis=1)
    scale = 1.0 if key == "plain" else constant
    estimates = {
        "mean": (w * x).mean(axis=1) / scale,
        "second_moment": (w * x**2).mean(axis=1) / scale,
        "constant": constant,
    }
    limit = limits(alpha, beta, sd)
    values = {name: {"limit": limit[name], **_errors(found - truth[name])} for name, found in estimates.items()}
    return {
        "key": key,
        "label": label,
        "alpha": alpha,
        "beta": beta,
        "tail": tail,
        "values": {**values, "constant": None} if key == "self_normalised" else values,
    }


def _errors(errors: np.ndarray) -> dict[str, float]:
    """Bias, sd and rmse of (R,) errors, with standard errors by the delta method (from fourth moments)."""
    r, bias, sd = len(errors), float(errors.mean()), float(errors.std(ddof=1))
    mse = float((errors**2).mean())
    return {
        "bias": bias,
        "bias_se": sd / math.sqrt(r),
        "sd": sd,
        "sd_se": float(((errors - bias) ** 2).std(ddof=1)) / (2 * sd * math.sqrt(r)),
        "rmse": math.sqrt(mse),
        "rmse_se": float((errors**2).std(ddof=1)) / (2 * math.sqrt(mse * r)),
    }


def _mean_se(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "se": float(values.std(ddof=1) / math.sqrt(len(values)))}
