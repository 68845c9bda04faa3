"""Least log loss of a linear model of the log odds: logistic regression with very few columns.

The log loss is convex, so the optimum that Newton's method finds is the only one.  When some threshold separates
the classes there is none (the slope grows without end); `separable` says so, and Platt's (1999) smoothed targets
(n1 + 1) / (n1 + 2) and 1 / (n0 + 2), a uniform prior on each class's error rate, may take the place of 1 and 0.

| symbol | meaning | dtype, unit |
|---|---|---|
| x | columns of the linear model | float64 (N, D) |
| y | targets in [0, 1]; 1 real, 0 generated | float64 (N,) |
| logits | log odds of y = 1 | float64 (N,), nats |
"""

import numpy as np
from scipy.special import expit

from lfiw_ray.errors import NonFiniteError

_MAX_STEPS = 100
_MAX_HALVINGS = 60
_CLOSE_NATS = 1e-24  # squared Newton decrement, twice the distance to the least loss


def log_loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean of -log p(y), nats a row."""
    return float(np.mean(np.logaddexp(0, logits) - y * logits))


def separable(logits: np.ndarray, y: np.ndarray, with_intercept: bool) -> bool:
    """Whether some threshold (0 without an intercept) puts the classes on different sides, ties allowed."""
    real, generated = logits[y == 1], logits[y == 0]
    if not with_intercept:
        real, generated = np.append(real, 0.0), np.append(generated, 0.0)
    return bool(real.min() >= generated.max() or real.max() <= generated.min())


def smoothed(y: np.ndarray) -> np.ndarray:
    """(N,) Platt's targets in place of 1 and 0."""
    num_real = y.sum()
    targets: np.ndarray = np.where(y == 1, (num_real + 1) / (num_real + 2), 1 / (len(y) - num_real + 2))
    return targets


def least_log_loss(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(D,) coefficients of the least log loss of logits x @ coefficients; damped Newton, from 0.

    Columns need no common scale, and may depend on one another (the smallest step is taken then).

    Raises
    ------
    NonFiniteError
        No convergence: the classes nearly separate.
    """
    peak = np.abs(x).max(axis=0)
    scale = np.where(peak > 0, peak, 1.0)  # keeps Newton's equations well conditioned
    x = x / scale
    theta = np.zeros(x.shape[1])
    loss = log_loss(x @ theta, y)
    for _ in range(_MAX_STEPS):
        z = x @ theta
        gradient = x.T @ (expit(z) - y) / len(y)
        hessian = (x * (expit(z) * expit(-z))[:, None]).T @ x / len(y)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        if gradient @ step < _CLOSE_NATS:
            break
        for halving in range(_MAX_HALVINGS):
            trial = theta - 0.5**halving * step
            trial_loss = log_loss(x @ trial, y)
            if trial_loss < loss:
                break
        else:
            break  # no shorter step helps: the minimum, to rounding
        theta, loss = trial, trial_loss
    else:
        raise NonFiniteError(
            f"the calibration did not converge in {_MAX_STEPS} Newton steps; the logits nearly separate"
        )
    coefficients: np.ndarray = theta / scale
    return coefficients
