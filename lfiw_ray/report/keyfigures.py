"""The few numbers at the top of the page, each beside what it has to be held against."""

from typing import Any, NamedTuple

from lfiw_ray.report.cells import is_number, missing, percent, plain, short, told, told_with_error
from lfiw_ray.report.inputs import ReportInputs


class KeyFigure(NamedTuple):
    """One tile; `alarm` when the gate failed and this number misses its limit, or is none."""

    label: str
    value: str
    against: str
    alarm: bool = False


def key_figures(inputs: ReportInputs) -> list[KeyFigure]:
    """In the order of the page."""
    chosen, naive, choice = inputs.diagnostics["chosen"], inputs.diagnostics["naive"], inputs.alpha
    after = inputs.calibration["after"]
    ess, k_hat, least, most = chosen["ess_fraction"], chosen["k_hat"], choice["min_ess_fraction"], choice["max_k_hat"]
    failed = not inputs.diagnostics["verdict"]["passed"]
    tail = f"wanted: at most {short(most)}" if is_number(k_hat) else chosen.get("k_hat_note") or missing(k_hat)
    found = "chosen on rows outside the pool" if choice["auto"] else "set in the configuration"
    mean_w = told_with_error(after["mean_w_model"], after["mean_w_model_se"])
    return [
        *_distances(inputs.evaluation),
        KeyFigure(
            "ESS / N", percent(ess), f"wanted: {percent(least)}", failed and not (is_number(ess) and ess >= least)
        ),
        KeyFigure("k_hat", plain(k_hat, 3), tail, failed and not (is_number(k_hat) and k_hat <= most)),
        KeyFigure("alpha", short(choice["alpha"]), found),
        KeyFigure(
            "ESS done naively",
            told(naive["ess"]),
            f"of {naive['n']:,} rows: {inputs.diagnostics['naive_is']} at alpha = 1",
        ),
        KeyFigure("mean w, generated rows", mean_w, "1 when the odds are honest"),
    ]


def _distances(evaluation: dict[str, Any]) -> list[KeyFigure]:
    """Raw, resampled and real in the first feature space."""
    if not evaluation["improvement"]:
        return []
    name, change = next(iter(evaluation["improvement"].items()))
    metric, where = change["metric"].upper(), f"feature space “{name}”"
    raw, resampled = (told_with_error(change[side]["mean"], change[side]["se"]) for side in ("raw", "resampled"))
    real = told(evaluation["extractors"][name]["real"].get(change["metric"]))
    return [
        KeyFigure(f"{metric}, raw", raw, where),
        KeyFigure(f"{metric}, resampled", resampled, where),
        KeyFigure(f"{metric}, real rows", real, "the floor: real against real"),
    ]
