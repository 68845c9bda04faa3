"""The figures of a sweep: every trial's choices and metric in one picture, and the metric against single choices.

The parallel coordinates lie on their side, an axis a row, so that the names of choices can be read on a phone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lfiw_ray.report.cells import is_number, plain, short
from lfiw_ray.report.figures import floats
from lfiw_ray.report.style import COLOURS, canvas, styled, to_svg

CHOICES = ("input", "calibrator", "alpha", "tail", "scheme", "k")
_BEST_SHARE = 0.2  # of the trials that saw every pool, drawn in colour
_SPREAD = 0.5  # of the gap between two choices, over which the lines through one of them are spread


@styled()
def parallel(trials: Sequence[dict[str, Any]], winner: int, metric: str) -> str:
    """A line for each trial through the choices that vary and, on the last axis, what ranks it: mean plus one error."""
    axes = [name for name in CHOICES if len({trial[name] for trial in trials}) > 1]
    places = [_places(trials, name) for name in axes]
    means = floats(trial["upper"] for trial in trials)
    low, high = _range(means)
    rows = np.stack([*places, (means - low) / ((high - low) or 1.0)], axis=1)
    figure = canvas(46 + 58 * rows.shape[1])
    ax = figure.subplots()
    depth = -np.arange(rows.shape[1], dtype=np.float64)
    for number in np.argsort(-means, kind="stable"):  # the best are drawn last; NaN first
        ax.plot(rows[number], depth, **_line(number == winner, bool(trials[number]["stopped"]), means, number))
    for name, y in zip(axes, depth, strict=False):
        _axis(ax, name, y, _values(trials, name))
    _axis(
        ax,
        f"{metric} + one standard error, validation",
        depth[-1],
        [short(low), short(high)] if np.isfinite(low) else [],
    )
    ax.set(xlim=(-0.08, 1.08), ylim=(depth[-1] - 0.45, 0.45))
    ax.axis("off")
    said = ", ".join(f"{name} {_said(trials[winner][name])}" for name in CHOICES)
    reached = f"{metric} + one standard error {plain(means[winner])}"
    alt = f"Parallel coordinates of {len(trials)} trials; the winner has {said}: {reached}."
    return to_svg(figure, "sweep-parallel", alt)


def _places(trials: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """(n,) places in [0, 1] along an axis; lines through one choice lie side by side, in the order of the trials."""
    values = _values(trials, name)
    which = np.array([values.index(trial[name]) for trial in trials])
    offset = np.zeros(len(trials))
    for value in range(len(values)):
        same = np.flatnonzero(which == value)
        offset[same] = (np.arange(len(same)) + 0.5) / len(same) - 0.5
    return (which + 0.5 + _SPREAD * offset) / len(values)


def _values(trials: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """The values that occur: numbers by size, names in the order of their first appearance."""
    found = list(dict.fromkeys(trial[name] for trial in trials))
    return found if any(isinstance(value, str) for value in found) else sorted(found)


def _range(means: np.ndarray) -> tuple[float, float]:
    known = means[np.isfinite(means)]
    return (float(known.min()), float(known.max())) if len(known) else (np.nan, np.nan)


def _line(wins: bool, stopped: bool, means: np.ndarray, number: int) -> dict[str, Any]:
    """How a trial is drawn: the winner bold, the best in colour, those that were stopped dashed."""
    if wins:
        return {"color": COLOURS["naive"], "linewidth": 2.6, "zorder": 4}
    if stopped:
        return {"color": COLOURS["raw"], "linewidth": 0.7, "linestyle": ":", "alpha": 0.6}
    best = np.count_nonzero(means < means[number]) < _BEST_SHARE * len(means)
    return {"color": COLOURS["chosen" if best else "raw"], "linewidth": 1.1 if best else 0.7, "alpha": 0.75}


def _axis(ax: Axes, name: str, y: float, values: Sequence[Any]) -> None:
    """An axis with its name above its left end and the values below it."""
    ax.hlines(y, 0, 1, color=COLOURS["ink"], linewidth=0.8, zorder=5)
    ax.text(0, y + 0.06, name, fontsize=10, fontweight="bold", zorder=6)
    ends = name not in CHOICES
    for place, value in enumerate(values):
        x = float(place) if ends else (place + 0.5) / len(values)
        align = ("left", "right")[place] if ends else "center"
        ax.text(x, y - 0.06, _said(value), fontsize=9, ha=align, va="top", color=COLOURS["muted"], zorder=6)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else short(value)


@styled()
def against(trials: Sequence[dict[str, Any]], winner: int, metric: str) -> str:
    """Validation means, with one standard error, over alpha, k and the effective size of a pool's weights."""
    figure = canvas(230)
    axes = figure.subplots(1, 3, sharey=True)
    means, errors = (floats(trial[key] for trial in trials) for key in ("mean", "se"))
    whole = np.array([not trial["stopped"] for trial in trials])
    for ax, key, label in zip(axes, ("alpha", "k", "ess"), ("alpha", "k", "ESS of a pool"), strict=True):
        x = floats(trial[key] for trial in trials)
        ax.errorbar(x, means, np.nan_to_num(errors), fmt="none", ecolor=COLOURS["grid"], elinewidth=1)
        for shown, face in ((whole, COLOURS["chosen"]), (~whole, "none")):
            ax.scatter(x[shown], means[shown], s=16, color=face, edgecolors=COLOURS["chosen"], linewidths=0.8)
        ax.scatter(x[winner], means[winner], s=70, color="none", edgecolors=COLOURS["naive"], linewidths=2, zorder=4)
        ax.set_xlabel(label)
        ax.xaxis.set_major_locator(MaxNLocator(3))
    axes[0].set_ylabel(f"{metric}, validation")
    low, high = _range(means)
    known = f"from {plain(low)} to {plain(high)}" if is_number(low) else "n/a"
    return to_svg(figure, "sweep-against", f"{metric} of {len(trials)} trials over alpha, k and ESS: {known}.")
