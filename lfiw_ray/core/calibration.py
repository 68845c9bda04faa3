"""Make a classifier's log odds honest, on held-out rows, in logit space.

Temperature (Guo et al. 2017): logit -> a logit.  Platt (1999): logit -> a logit + b.  Both are logistic
regressions on the logit, fitted by Newton's method on the log loss, which is convex, so that the optimum is the
only one.  When the rows are separable the log loss has no minimum (the slope grows without end); then, and only
then, Platt's smoothed targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), a uniform prior on each class's error rate,
take the place of 1 and 0, and the result is flagged: such odds are a bound, not a measurement.

The class ratio of the calibration rows is the one that Platt's b adapts to: log_prior_odds must be theirs.

| symbol | meaning | dtype, unit |
|---|---|---|
| logits | held-out log odds of *real* | float64 (N,), nats |
| y | 1 real, 0 generated | (N,) of 0 and 1 |
| a, b | slope (1 / temperature) and intercept; a < 0 says that the classifier ranks backwards | float |
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import expit

from lfiw_ray.core import noise
from lfiw_ray.errors import NonFiniteError

Kind = Literal["temperature", "platt"]
_MAX_STEPS = 100
_MAX_HALVINGS = 60


class Calibration(NamedTuple):
    """A fitted calibrator; `apply` maps logits to honest ones."""

    kind: Kind
    a: float
    b: float
    separable: bool
    """the rows could not bound the slope; Platt's smoothed targets did"""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """(N,) float64 calibrated log odds, nats."""
        return self.a * np.asarray(logits, np.float64) + self.b

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats survive bit by bit."""
        return self._asdict()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Calibration":
        """The inverse of `to_json`; ValueError when a field is missing or unknown."""
        if set(value) != set(cls._fields):
            raise ValueError(f"calibration needs the fields {cls._fields}, got {tuple(value)}")
        return cls(**value)


class CalibrationChoice(NamedTuple):
    """The calibrator with the least cross-validated log loss, fitted on all rows."""

    calibration: Calibration
    cv_log_loss_nats: dict[str, float]
    """per kind: log loss of each row under the calibrator fitted on the other folds"""
    raw_log_loss_nats: float
    """log loss of the logits as they came"""


def log_loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean of -log p(y), nats a row."""
    return float(np.mean(np.logaddexp(0, logits) - y * logits))


def fit(logits: np.ndarray, y: np.ndarray, kind: Kind) -> Calibration:
    """Least log loss on the given rows.

    Raises
    ------
    ValueError
        Shapes differ, y holds something else than 0 and 1 or only one class, all logits are equal, unknown kind.
    NonFiniteError
        A logit is not finite, or Newton's method does not converge; names the row.
    """
    logits, y = checked(logits, y)
    if np.ptp(logits) == 0:
        raise ValueError(f"all {len(logits)} logits equal {logits[0]:g}: there is nothing to calibrate")
    columns = {"temperature": 1, "platt": 2}
    if kind not in columns:
        raise ValueError(f"kind must be one of {', '.join(columns)}, got {kind!r}")
    scale = np.abs(logits).max()  # keeps Newton's equations well conditioned
    x = np.stack([logits / scale, np.ones_like(logits)], axis=1)[:, : columns[kind]]
    separable = _separable(logits, y, with_intercept=kind == "platt")
    slope, *intercept = _newton(x, _smoothed(y) if separable else y)
    return Calibration(kind, float(slope / scale), float(intercept[0]) if intercept else 0.0, separable)


def choose(
    logits: np.ndarray, y: np.ndarray, kinds: tuple[Kind, ...] = ("temperature", "platt"), seed: int = 0, folds: int = 5
) -> CalibrationChoice:
    """Pick the kind by cross-validated log loss, so that more parameters are not an advantage as such.

    Folds depend on the seed alone and are stratified by class, which is right where the number of rows of each
    class was chosen, as here.  (Were it left to chance, stratified folds would carry it over to the held-out rows
    and favour an intercept.)  Equal losses go to the kind named first.

    Raises
    ------
    ValueError
        As `fit`, or a class has fewer than `folds` rows.
    """
    logits, y = checked(logits, y)
    if not kinds:
        raise ValueError("name at least one kind of calibrator")
    fold = _folds(y, seed, folds)
    losses: dict[str, float] = {kind: _cross_validated(logits, y, kind, fold) for kind in kinds}
    best = min(kinds, key=losses.__getitem__)
    return CalibrationChoice(fit(logits, y, best), losses, log_loss(logits, y))


def checked(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 (N,), or an error that names the row (see `fit`)."""
    logits, y = np.asarray(logits, np.float64), np.asarray(y, np.float64)
    if logits.ndim != 1 or logits.shape != y.shape:
        raise ValueError(f"logits and y must be (N,) with the same N, got shapes {logits.shape} and {y.shape}")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"y must be 0 or 1, got {y[~np.isin(y, (0, 1))][0]}")
    if not 0 < y.sum() < len(y):
        raise ValueError(f"both classes are needed, got {int(y.sum())} real rows of {len(y)}")
    bad = np.flatnonzero(~np.isfinite(logits))
    if len(bad):
        raise NonFiniteError(f"logit of held-out row {bad[0]} is {logits[bad[0]]} ({len(bad)} such rows)")
    return logits, y


def _separable(logits: np.ndarray, y: np.ndarray, with_intercept: bool) -> bool:
    """Whether some threshold (0 without an intercept) puts the classes on different sides, ties allowed."""
    real, generated = logits[y == 1], logits[y == 0]
    if not with_intercept:
        real, generated = np.append(real, 0.0), np.append(generated, 0.0)
    return bool(real.min() >= generated.max() or real.max() <= generated.min())


def _smoothed(y: np.ndarray) -> np.ndarray:
    num_real = y.sum()
    targets: np.ndarray = np.where(y == 1, (num_real + 1) / (num_real + 2), 1 / (len(y) - num_real + 2))
    return targets


def _newton(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients (D,) of the least log loss of logits x @ coefficients; damped Newton, from 0."""
    theta = np.zeros(x.shape[1])
    loss = log_loss(x @ theta, y)
    for _ in range(_MAX_STEPS):
        z = x @ theta
        gradient = x.T @ (expit(z) - y) / len(y)
        hessian = (x * (expit(z) * expit(-z))[:, None]).T @ x / len(y)
        step = np.linalg.solve(hessian, gradient)
        if gradient @ step < 1e-24:  # twice the distance to the minimum, in nats
            return theta
        for halving in range(_MAX_HALVINGS):
            trial = theta - 0.5**halving * step
            trial_loss = log_loss(x @ trial, y)
            if trial_loss < loss:
                break
        else:
            return theta  # no shorter step helps: the minimum, to rounding
        theta, loss = trial, trial_loss
    raise NonFiniteError(f"the calibration did not converge in {_MAX_STEPS} Newton steps; the logits nearly separate")


def _folds(y: np.ndarray, seed: int, folds: int) -> np.ndarray:
    """(N,) fold of each row: classes are shuffled apart and dealt in turn."""
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    rng = noise.generator(seed, "calibration-folds")
    fold = np.empty(len(y), np.int64)
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        if len(rows) < folds:
            raise ValueError(f"{folds} folds need as many rows of each class, got {len(rows)} with y = {label}")
        fold[rng.permutation(rows)] = np.arange(len(rows)) % folds
    return fold


def _cross_validated(logits: np.ndarray, y: np.ndarray, kind: Kind, fold: np.ndarray) -> float:
    held_out = np.empty_like(logits)
    for number in np.unique(fold):
        test = fold == number
        held_out[test] = fit(logits[~test], y[~test], kind).apply(logits[test])
    return log_loss(held_out, y)
