"""Which classifiers weigh a row: one, an ensemble, one per fold of the pool, or an ensemble per fold.

Members of an ensemble are trained from other seeds and calibrated each on its own; a row's log weight is the mean of
theirs, that is, weights are averaged geometrically (a mean of log ratio estimates, whose errors average out; the
arithmetic mean would follow the largest).  A row of the pool is weighed by the members of its fold alone
(`core.folds`).  Each classifier lies in a stage folder of its own, so that a killed run resumes with the next.

| configuration | folders |
|---|---|
| one classifier | `classifier/` |
| members | `classifier/member-<m>/` |
| folds | `classifier/fold-<j>/` |
| both | `classifier/fold-<j>-member-<m>/` |
"""

from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core.calibration import Calibration
from lfiw_ray.core.noise import generator
from lfiw_ray.core.weights import from_logits
from lfiw_ray.engine.run import Run
from lfiw_ray.store import stages
from lfiw_ray.store.contents import parsed, understood
from lfiw_ray.store.folder import Folder

CALIBRATION = "calibration.json"
TUNING = "tuning_logits.json"


class Part(NamedTuple):
    """One classifier of a stage: the fold that it scores, and its number among the members of that fold."""

    fold: int
    member: int


def parts_of(config: ClassifierConfig) -> list[Part]:
    """All classifiers, those of one fold together."""
    return [Part(fold, member) for fold in range(max(config.folds, 1)) for member in range(config.members)]


def part_name(config: ClassifierConfig, part: Part) -> str:
    """Name of its folder; empty when it is the only one."""
    names = [f"fold-{part.fold}"] * (config.folds > 0) + [f"member-{part.member}"] * (config.members > 1)
    return "-".join(names)


def part_folder(run: Run, stage: str, part: Part) -> Folder:
    """Folder of one classifier of a stage."""
    name = part_name(run.classifier_config(stage), part)
    return run.folder(stage).child(name) if name else run.folder(stage)


def seed_of(run: Run, stage: str, part: Part) -> int:
    """Seed of a classifier's start, order of rows, and noise; the first one's is the run's own."""
    index = parts_of(run.classifier_config(stage)).index(part)
    return int(generator(run.config.seed, "classifiers", index).integers(2**62)) if index else run.config.seed


class Member(NamedTuple):
    """A finished classifier: where it lies, the seed of its noise, what turns its logits into log weights, nats."""

    url: str
    seed: int
    calibration: Calibration
    log_prior_odds: float

    def log_w(self, logits: np.ndarray) -> np.ndarray:
        """(N,) float64 log weights, nats, of raw logits."""
        return from_logits(self.calibration.apply(logits), self.log_prior_odds)


Committee = tuple[tuple[Member, ...], ...]
"""The members of each fold; one fold without cross-fitting."""


def committee_of(run: Run, stage: str = "classifier") -> Committee:
    """The finished classifiers of a stage."""
    parts = parts_of(run.classifier_config(stage))
    members = {part: _member(run, stage, part) for part in parts}
    return tuple(
        tuple(member for part, member in members.items() if part.fold == fold)
        for fold in sorted({p.fold for p in parts})
    )


def _member(run: Run, stage: str, part: Part) -> Member:
    folder = part_folder(run, stage, part)
    body = read_json(folder, CALIBRATION)
    with understood(folder.path(CALIBRATION)):
        calibration, log_prior_odds = Calibration.from_json(body["calibration"]), float(body["log_prior_odds"])
        calibration.apply(np.zeros(1))  # its numbers are numbers
    return Member(folder.url, seed_of(run, stage, part), calibration, log_prior_odds)


def read_json(folder: Folder, name: str) -> Any:
    """A JSON file of a finished stage."""
    return parsed(stages.read(folder, name), folder.path(name))


def tuning_log_w(run: Run) -> np.ndarray:
    """(n,) float64 log weights, nats, of the tuning rows, which lie outside the pool.

    Row t is weighed by the members of fold t mod K, so that these weights spread as the pool's do.
    """
    folds = [np.mean([m.log_w(_tuning_logits(m)) for m in members], axis=0) for members in committee_of(run)]
    out = np.empty(sum(len(log_w) for log_w in folds))
    for fold, log_w in enumerate(folds):
        out[fold :: len(folds)] = log_w
    return out


def _tuning_logits(member: Member) -> np.ndarray:
    """(n,) float64 raw logits of the tuning rows."""
    folder = Folder(member.url)
    with understood(folder.path(TUNING)):
        logits = np.array(read_json(folder, TUNING), np.float64)
        if logits.ndim != 1 or not np.isfinite(logits).all():
            raise ValueError(f"logits of shape {logits.shape}, or not finite")
    return logits
