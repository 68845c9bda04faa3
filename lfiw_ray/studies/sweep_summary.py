"""What a sweep found, from plain numbers: the winner by validation, its figures on test, and a sentence.

The least of many noisy figures is too small by itself, the more so the more settings are compared; so the winner's
validation figure is never quoted as its result.  Its test figure comes from other real rows and other pools, which
chose nothing.  Comparisons on test are paired by pool.  Standard errors are over pools, hence those of drawing and
generating anew: the real rows are the same in all of them.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lfiw_ray.errors import WorkerError
from lfiw_ray.studies.sweep_settings import Setting
from lfiw_ray.studies.sweep_trial import Outcome, report_of

LABELS = {"winner": "the winner", "own": "the run's own weights", "raw": "raw samples"}


def rows_of(settings: Sequence[Setting], reports: Sequence[Mapping[str, Any]], num_pools: int) -> list[dict[str, Any]]:
    """A row for each trial, in the order of their numbers.

    Parameters
    ----------
    reports : what each trial told last (`sweep_trial.report_of`, and its number `trial`), in any order.
    num_pools : validation pools; a trial that saw fewer was stopped.
    """
    by_trial = {report["trial"]: report for report in reports}
    if sorted(by_trial) != list(range(len(settings))):
        raise WorkerError(f"sweep: {len(by_trial)} of {len(settings)} trials have a result; run again to go on")
    ordered = [by_trial[number] for number in range(len(settings))]
    return [
        {"trial": number, **setting._asdict(), **_kept(report), "stopped": bool(report["pools"] < num_pools)}
        for number, (setting, report) in enumerate(zip(settings, ordered, strict=True))
    ]


def _kept(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in ("mean", "se", "upper", "ess", "distinct", "values")}


def winner_of(rows: Sequence[Mapping[str, Any]]) -> int:
    """Number of the trial with the least validation mean plus one standard error (`sweep_trial.report_of`).

    It is one of those that saw every pool; of equal ones the first.
    """
    whole = [row for row in rows if not row["stopped"]]
    if not whole:
        raise WorkerError("sweep: every trial was stopped before its last validation pool; raise sweep.grace_pools")
    return int(min(whole, key=lambda row: (row["upper"], row["trial"]))["trial"])


def compared(found: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """Figures of each arm over the same pools, and how much nearer the winner is than the others.

    Returns
    -------
    {"arms": {arm: figures}, "gains": {arm: {"mean", "se", "z"}}}; a gain is the arm's metric minus the winner's,
    paired by pool, positive where the winner is nearer.
    """
    arms = {arm: _kept(report_of(outcomes)) for arm, outcomes in found.items()}
    best = np.array(arms["winner"]["values"])
    gains = {arm: _gain(np.array(body["values"]) - best) for arm, body in arms.items() if arm != "winner"}
    return {"arms": arms, "gains": gains}


def _gain(differences: np.ndarray) -> dict[str, Any]:
    mean, se = float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))
    return {"mean": mean, "se": se, "z": mean / se if se else None}


def verdict(metric: str, num_trials: int, winner: Setting, test: Mapping[str, Any]) -> str:
    """One sentence for each comparison on test rows."""
    best = test["arms"]["winner"]
    parts = []
    for arm, gain in test["gains"].items():
        other, word = test["arms"][arm], "nearer than" if gain["mean"] > 0 else "farther than"
        z = "" if gain["z"] is None else f" ({abs(gain['z']):.1f} standard errors)"
        parts.append(f"{word} {LABELS[arm]} ({other['mean']:.4g}) by {abs(gain['mean']):.3g}{z}")
    return (
        f"of {num_trials} settings the best on validation is {winner.name}; on test rows and pools its "
        f"{metric.upper()} is {best['mean']:.4g} ± {best['se']:.2g}, " + " and ".join(parts)
    )


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The trials as a table; the values of the pools stand in one cell, separated by spaces."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "values": " ".join(repr(value) for value in row["values"])} for row in rows)
    return out.getvalue().encode()
