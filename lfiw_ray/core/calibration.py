"""Make a classifier's log odds honest, on held-out rows, in logit space.

| kind | map of the logit z | parameters |
|---|---|---|
| temperature (Guo et al. 2017) | a z | 1 |
| platt (Platt 1999) | a z + b | 2 |
| beta (Kull et al. 2017) | slope a far below 0, a_above far above, b at 0: see `beta_calibration` | 3 |
| isotonic (Zadrozny and Elkan 2002) | any non-decreasing steps: see `isotonic` | as many as blocks |

Each is the least log loss of its family, which contains the one above it (as long as slopes are not negative), so
that the in-sample loss only falls down the table; `choose` therefore compares them on rows they were not fitted on.
When the rows are separable the log loss has no minimum; then, and only then, Platt's smoothed targets (see
`logistic`) take the place of 1 and 0, and the result is flagged: such odds are a bound, not a measurement.

The class ratio of the calibration rows is the one that the intercepts adapt to: log_prior_odds must be theirs.

| symbol | meaning | dtype, unit |
|---|---|---|
| logits | held-out log odds of *real* | float64 (N,), nats |
| y | 1 real, 0 generated | (N,) of 0 and 1 |
| a, b | slope (1 / temperature) and intercept; a < 0 says that the classifier ranks backwards | float |
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from lfiw_ray.core import beta_calibration, isotonic, noise
from lfiw_ray.core.beta_calibration import BetaMap
from lfiw_ray.core.isotonic import Steps
from lfiw_ray.core.logistic import least_log_loss, log_loss, separable, smoothed
from lfiw_ray.errors import NonFiniteError

Kind = Literal["temperature", "platt", "beta", "isotonic"]
KINDS: tuple[Kind, ...] = ("temperature", "platt", "beta", "isotonic")


class Calibration(NamedTuple):
    """A fitted calibrator; `apply` maps logits to honest ones."""

    kind: Kind
    a: float
    """slope; of beta, for logits far below 0; of isotonic 1"""
    b: float
    """calibrated log odds of logit 0; of isotonic 0"""
    separable: bool
    """the rows could not bound the odds; smoothed targets did"""
    a_above: float | None = None
    """slope for logits far above 0; beta only"""
    steps: Steps | None = None
    """the map itself; isotonic only"""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """(N,) float64 calibrated log odds, nats."""
        z = np.asarray(logits, np.float64)
        if self.steps is not None:
            return self.steps.apply(z)
        if self.a_above is not None:
            return beta_calibration.apply(BetaMap(self.a, self.a_above, self.b), z)
        return self.a * z + self.b

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats survive bit by bit."""
        return {**self._asdict(), "steps": self.steps and self.steps.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Calibration":
        """The inverse of `to_json`; ValueError when a field is missing or unknown."""
        if set(value) != set(cls._fields):
            raise ValueError(f"calibration needs the fields {cls._fields}, got {tuple(value)}")
        return cls(**{**value, "steps": value["steps"] and Steps.from_json(value["steps"])})


class CalibrationChoice(NamedTuple):
    """The calibrator with the least cross-validated log loss, fitted on all rows."""

    calibration: Calibration
    cv_log_loss_nats: dict[str, float]
    """per kind: log loss of each row under the calibrator fitted on the other folds"""
    raw_log_loss_nats: float
    """log loss of the logits as they came"""


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
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    unbounded = separable(logits, y, with_intercept=kind != "temperature")
    if kind == "isotonic":
        return Calibration(kind, 1.0, 0.0, unbounded, steps=isotonic.fit(logits, y))
    targets = smoothed(y) if unbounded else y
    if kind == "beta":
        below, above, at_zero = beta_calibration.fit(logits, targets)
        return Calibration(kind, below, at_zero, unbounded, a_above=above)
    x = np.stack([logits, np.ones_like(logits)], axis=1)[:, : 1 if kind == "temperature" else 2]
    slope, *intercept = least_log_loss(x, targets)
    return Calibration(kind, float(slope), float(intercept[0]) if intercept else 0.0, unbounded)


def choose(
    logits: np.ndarray, y: np.ndarray, kinds: tuple[Kind, ...] = KINDS, seed: int = 0, folds: int = 5
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
