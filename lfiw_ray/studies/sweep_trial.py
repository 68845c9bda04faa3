"""One trial of a sweep: how far the rows that a setting selects are from real rows, pool after pool.

A trial reads what is shared by all of them and computes nothing twice: the pool's raw logits (`logit` of the weights
table), the pool's features, the calibrators, and what is known of the real rows.  From the logits z of a pool

    log w = calibrator(z),     w' = tail(w^alpha),     k rows selected by w',     metric(rows, real rows).

The form w' is resolved on each pool by itself, as a user of that pool would.  No number here depends on a constant
factor of the weights, hence neither on the prior odds.  What a pool gives is a function of (setting, seed, pool),
whatever the order of the trials, the workers and the retries.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import ray
from ray import tune

from lfiw_ray.core import forms, frechet, kernel_distance, moments
from lfiw_ray.core.calibration import Calibration
from lfiw_ray.core.forms import Form
from lfiw_ray.core.log_scale import normalised
from lfiw_ray.core.moments import Moments
from lfiw_ray.engine.arms import Rows
from lfiw_ray.engine.features import gather_features
from lfiw_ray.engine.read import read_log_w, shards_of
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import read_column
from lfiw_ray.studies.sweep_settings import Setting, select


class Target(NamedTuple):
    """Real rows in the feature space, and what all comparisons with them share."""

    features: np.ndarray
    moments: Moments
    kernel_mean: float


class Scored(NamedTuple):
    """The pool as one classifier sees it: its weights table, and calibrators of its logits by kind."""

    weights: Table
    calibrations: dict[str, Calibration]


class Work(NamedTuple):
    """What all trials share; small, as rows stay in their tables.

    `own` and `own_form` are the weights table that the run uses and their form.
    """

    seed: int
    metric: Literal["kid", "fid"]
    pool_rows: int
    features: Table
    scored: dict[str, Scored]
    own: Table
    own_form: Form


class Outcome(NamedTuple):
    """What a setting did on one pool.

    ess : effective size (sum w')^2 / sum w'^2 of the pool's weights, of `pool_rows` at most.
    distinct : different rows among those selected.
    """

    value: float
    ess: float
    distinct: int


def target_of(features: np.ndarray) -> Target:
    """All about real rows (n, D) that comparisons share."""
    return Target(features, moments.of(features), kernel_distance.within(features))


def outcome(work: Work, setting: Setting, start: int, target: Target) -> Outcome:
    """One setting on the pool of sample ids start .. start + pool_rows."""
    scored = work.scored[setting.input]
    log_w = scored.calibrations[setting.calibrator].apply(read_logits(scored.weights, start, start + work.pool_rows))
    used = forms.transform(log_w, setting.alpha, tail=setting.tail)
    return _measured(work, used, select(setting.scheme, used, start, setting.k, work.seed), target)


def own_outcome(work: Work, setting: Setting, start: int, target: Target) -> Outcome:
    """The run's own weights in the run's own form, with another setting's scheme and k."""
    used = work.own_form.apply(read_log_w(work.own, start, start + work.pool_rows), start)
    return _measured(work, used, select(setting.scheme, used, start, setting.k, work.seed), target)


def raw_outcome(work: Work, setting: Setting, start: int, target: Target) -> Outcome:
    """The first k rows of the pool, as the generator made them."""
    rows = Rows(start + np.arange(setting.k, dtype=np.int64), None)
    return _measured(work, np.zeros(work.pool_rows), rows, target)


ARMS = {"winner": outcome, "own": own_outcome, "raw": raw_outcome}
"""What the winner is compared with, at its own k, as sets are compared at equal sizes only."""


def _measured(work: Work, used: np.ndarray, rows: Rows, target: Target) -> Outcome:
    distinct, where = np.unique(rows.sample_ids, return_inverse=True)
    features = gather_features(work.features, distinct).features[where]
    if work.metric == "kid":
        value = kernel_distance.distance(target.features, features, rows.log_w, target.kernel_mean)
    else:
        value = frechet.distance(target.moments, moments.of(features, rows.log_w))
    return Outcome(value, float(1 / np.sum(normalised(used, len(used)) ** 2)), len(distinct))


def read_logits(weights: Table, start: int, stop: int) -> np.ndarray:
    """(stop - start,) float32 raw logits of consecutive sample ids, nats."""
    parts = []
    for shard in shards_of(weights, start, stop):
        low, high = weights.layout.bounds(shard)
        with weights.open(shard) as file:
            logits = read_column(file, "logit", weights.path(shard))
        parts.append(logits[max(start, low) - low : min(stop, high) - low])
    return np.concatenate(parts)


def trial(params: dict[str, Any], work: Work, settings: list[Setting], starts: Sequence[int], target: Any) -> None:
    """The function that Tune runs: report after each pool; `target` holds a reference to a `Target`."""
    found: list[Outcome] = []
    real: Target = ray.get(target[0])
    for start in starts:
        found.append(outcome(work, settings[params["trial"]], start, real))
        tune.report({"trial": params["trial"], **report_of(found)})


def report_of(found: Sequence[Outcome]) -> dict[str, Any]:
    """What a trial tells of the pools it has seen.

    `pools` is the scheduler's resource and `upper`, the mean plus one standard error, what it makes small: by the mean
    alone the winner among many settings would be a noisy one.  Of a single pool there is no error: None, and the mean.
    """
    values = np.array([one.value for one in found])
    se = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {
        "pools": len(found),
        "mean": float(values.mean()),
        "se": se,
        "upper": float(values.mean()) + (se or 0.0),
        "values": values.tolist(),
        "ess": float(np.mean([one.ess for one in found])),
        "distinct": float(np.mean([one.distinct for one in found])),
    }
