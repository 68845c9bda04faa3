"""The page's section of the sweep: the winner on test rows, the best trials on validation, what the choices do."""

from collections.abc import Sequence
from typing import Any

from lfiw_ray.report import sweep_figures
from lfiw_ray.report.cells import Cell, cell, exact, is_number, short
from lfiw_ray.report.studies import StudyTable, StudyView

NUM_BEST = 12
ARMS = {"winner": "the winner", "own": "the run's own weights", "raw": "raw samples"}


def view(found: dict[str, Any]) -> StudyView:
    """What the page shows of `studies.sweep`'s results."""
    metric, winner = found["metric"].upper(), found["winner"]
    figures = [
        (
            sweep_figures.parallel(found["trials"], winner, metric),
            "A line is a trial. Orange: the winner. Blue: the best fifth. Dotted: stopped early.",
        ),
        (
            sweep_figures.against(found["trials"], winner, metric),
            f"{metric} on validation ± one standard error; the circle is the winner. Hollow: stopped early.",
        ),
    ]
    text = found["verdict"]
    sentences = [f"{text[:1].upper()}{text[1:]}.", *_sentences(found, metric)]
    return StudyView("Sweep of the settings", sentences, figures, [_judged(found, metric), _best(found, metric)])


def _sentences(found: dict[str, Any], metric: str) -> list[str]:
    space, real = found["extractor"], found["num_real_rows"]
    stopped = f", {found['num_stopped']} of them stopped early" if found["num_stopped"] else ""
    return [
        f"{found['num_trials']:,} settings of a grid of {found['grid_size']:,}{stopped}, compared by {metric} in "
        f"“{space['name']}” ({space['num_features']:,} features, weights {space['weights_sha256'][:12]}). "
        f"{real['train']:,} real and {found['num_calibration_rows']['generated']:,} generated rows fit calibrators; "
        f"trials are compared over {found['num_validation_pools']} pools of {found['pool_rows']:,} samples with "
        f"{real['validation']:,} real rows, the winner is judged over {found['num_test_pools']} other pools with "
        f"{real['test']:,} other real rows.",
        "The least of many noisy validation figures is too small by itself; test rows have not chosen the winner.",
    ]


def _judged(found: dict[str, Any], metric: str) -> StudyTable:
    """The winner and what it is compared with, at the winner's k."""
    rows = []
    for arm, label in ARMS.items():
        cells = [cell(*_pair(found[part]["arms"][arm])) for part in ("test", "validation")]
        gain = found["test"]["gains"].get(arm)
        cells.append(cell(gain["mean"], gain["se"]) if gain else Cell("", note="the winner itself"))
        cells.append(exact(gain["z"]) if gain else Cell("", note="the winner itself"))
        rows.append((label, [*cells, *(exact(found["test"]["arms"][arm][name]) for name in ("ess", "distinct"))]))
    k = found["trials"][found["winner"]]["k"]
    heads = (
        f"k = {k:,}",
        f"{metric}, test ↓",
        f"{metric}, validation ↓",
        "farther than the winner, test",
        "in standard errors",
        "ESS of a pool",
        "distinct rows",
    )
    caption = "On other real rows and other pools: ± one standard error over pools, differences paired by pool"
    return StudyTable(caption, heads, rows)


def _best(found: dict[str, Any], metric: str) -> StudyTable:
    whole = [trial for trial in found["trials"] if not trial["stopped"]]
    rows = [(_label(trial), [cell(*_pair(trial)), *_counts(trial)]) for trial in _ranked(whole)[:NUM_BEST]]
    heads = ("setting", f"{metric}, validation ↓", "k", "ESS of a pool", "distinct rows")
    return StudyTable(
        f"The best {len(rows)} of {len(whole)} settings that saw every validation pool, by mean + one standard error",
        heads,
        rows,
    )


def _ranked(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Best first, by the mean plus one standard error; one without, which a finished sweep does not have, last."""

    def rank(trial: dict[str, Any]) -> tuple[bool, float, int]:
        known = is_number(trial["upper"])
        return not known, trial["upper"] if known else 0.0, trial["trial"]

    return sorted(trials, key=rank)


def _label(trial: dict[str, Any]) -> str:
    weights = f"{trial['input']}, {trial['calibrator']}, alpha {short(trial['alpha'])}, tail {trial['tail']}"
    return f"{weights}, {trial['scheme']}"


def _counts(trial: dict[str, Any]) -> list[Cell]:
    return [exact(trial[name]) for name in ("k", "ess", "distinct")]


def _pair(body: dict[str, Any]) -> tuple[Any, Any]:
    return body["mean"], body["se"]
