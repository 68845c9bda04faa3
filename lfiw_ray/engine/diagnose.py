"""Stage: choose alpha on rows outside the pool, then diagnose the pool's weights and judge them."""

import json
import math
from functools import partial, reduce
from typing import Any

import numpy as np

from lfiw_ray.core import diagnostics, histogram
from lfiw_ray.core.diagnostics import Diagnostics, WeightState
from lfiw_ray.core.gate import AlphaChoice, Verdict, choose_alpha, gate
from lfiw_ray.core.weights import flatten, from_logits
from lfiw_ray.engine.fit_classifier import calibration_of, tuning_logits
from lfiw_ray.engine.groups import over_groups
from lfiw_ray.engine.read import shard_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.store import stages
from lfiw_ray.store.shards import Table, groups

NAME = "diagnostics.json"


def diagnose(run: Run) -> dict[str, Any]:
    """Diagnose, unless it is done; returns the contents of diagnostics.json."""
    folder, plan, config = run.folder("diagnostics"), run.plans["diagnostics"], run.config.weights
    if (done := stages.finished(folder, plan)) is not None:
        return done
    calibration, odds = calibration_of(run)
    tuning = from_logits(calibration.apply(tuning_logits(run)), odds)
    choice = choose_alpha(tuning, config.min_ess_fraction, config.max_k_hat)
    alpha = choice.alpha if config.alpha == "auto" else config.alpha
    chosen, unflattened = _whole(run, run.table("weights"), (alpha, 1.0))
    naive = _whole(run, run.naive_table, (1.0,))[0] if run.config.evaluate.naive else unflattened
    k = run.config.resample.k
    body = {
        "alpha": {
            "alpha": alpha,
            "auto": config.alpha == "auto",
            "min_ess_fraction": config.min_ess_fraction,
            "max_k_hat": config.max_k_hat,
            "table": _table(choice),
        },
        "chosen": _plain(diagnostics.finish(chosen)),
        "naive": _plain(diagnostics.finish(naive)),
        "verdict": _verdict(_judge(diagnostics.finish(chosen), alpha, k, config.max_k_hat)),
        "verdict_naive": _verdict(gate(diagnostics.finish(naive), k, config.max_k_hat)),
        "lorenz": _lorenz(chosen, naive),
        "log_w_histogram": _histogram(unflattened),
        "naive_is": "a classifier of clean pixels" if run.config.evaluate.naive else "the same weights",
    }
    return stages.finish(folder, plan, {NAME: json.dumps(body, indent=1, allow_nan=False).encode()}, body)


def _whole(run: Run, table: Table, alphas: tuple[float, ...]) -> list[WeightState]:
    """State of the whole pool's weights at each exponent; one pass over the weights by tasks, merged here."""
    parts = groups(range(table.layout.num_shards), 4 * run.config.resample.num_tasks)
    return reduce(_merged, over_groups("diagnostics", partial(_of_shards, table, alphas), parts))


def _of_shards(table: Table, alphas: tuple[float, ...], shards: list[int]) -> list[WeightState]:
    """State of some shards at each exponent."""
    return reduce(_merged, (_of_shard(table, alphas, shard) for shard in shards))


def _of_shard(table: Table, alphas: tuple[float, ...], shard: int) -> list[WeightState]:
    start, log_w = table.layout.bounds(shard)[0], shard_log_w(table, shard)
    return [diagnostics.of(flatten(log_w, alpha), table.layout.num_rows, start) for alpha in alphas]


def _merged(a: list[WeightState], b: list[WeightState]) -> list[WeightState]:
    return [diagnostics.merge(one, other) for one, other in zip(a, b, strict=True)]


def _plain(figures: Diagnostics) -> dict[str, Any]:
    """As JSON; a figure that does not exist or is not finite becomes null, and k_hat then has a note that says why."""
    plain = {k: v if v is not None and math.isfinite(v) else None for k, v in figures._asdict().items()}
    return {**plain, "k_hat_note": _k_hat_note(figures.k_hat)}


def _k_hat_note(k_hat: float | None) -> str | None:
    if k_hat is None:
        return "the weights are equal"
    return None if math.isfinite(k_hat) else "too few rows stand out to tell the tail's shape"


def _judge(figures: Diagnostics, alpha: float, k: int, max_k_hat: float) -> Verdict:
    """The gate's verdict; weights that had to be flattened to nothing do not pass, though they are well behaved."""
    verdict = gate(figures, k, max_k_hat)
    if alpha > 0:
        return verdict
    reason = "No exponent above 0 passed on the tuning rows: the weights are not used, and nothing is corrected."
    advice = (
        "Bring real and generated rows closer for the classifier: more noise on both sides, or frozen features.",
        "Train a better generator.",
    )
    return Verdict(False, (reason, *verdict.reasons), advice + verdict.advice)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"passed": verdict.passed, "reasons": list(verdict.reasons), "advice": list(verdict.advice)}


def _table(choice: AlphaChoice) -> list[dict[str, Any]]:
    return [
        {
            **trial._asdict(),
            "k_hat": trial.k_hat if trial.k_hat is not None and math.isfinite(trial.k_hat) else None,
            "k_hat_note": _k_hat_note(trial.k_hat),
        }
        for trial in choice.table
    ]


def _lorenz(chosen: WeightState, naive: WeightState) -> dict[str, list[float]]:
    """Share of the weight that the lightest rows hold, at 101 shares of rows."""
    share = np.linspace(0, 1, 101)
    return {
        "rows": share.tolist(),
        "weight": _lightest(chosen, share).tolist(),
        "weight_naive": _lightest(naive, share).tolist(),
    }


def _lightest(state: WeightState, share: np.ndarray) -> np.ndarray:
    rows, held = histogram.shares(state.histogram)
    heaviest: np.ndarray = np.interp((1 - share) * state.num_rows, rows, held)
    return 1 - heaviest


def _histogram(state: WeightState, num_bins: int = 64) -> dict[str, list[float]]:
    """Counts of raw log weights, nats, in equal bins over the range that holds all but the lowest 1 in 2,000."""
    counts = state.histogram.counts[::-1]
    top = (state.histogram.top + 1) * histogram.BIN_NATS
    edges = top - histogram.BIN_NATS * np.arange(len(counts), -1, -1)
    first = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2000))
    coarse = np.linspace(edges[first], edges[-1], num_bins + 1)
    binned, _ = np.histogram((edges[:-1] + edges[1:]) / 2, coarse, weights=counts)
    return {"edges": coarse.tolist(), "counts": binned.tolist()}
