"""The plots of the page, each a pure function from plain values to an inline `<svg>` with a text alternative.

None and NaN are left out of a plot, never drawn as a number; the tables beside it say "n/a" and why.
"""

import textwrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lfiw_ray.report.cells import Number, is_number, plain, short, with_error
from lfiw_ray.report.style import COLOURS, canvas, styled, to_svg

_LOG_AXIS_RATIO = 20.0
_HEADING_ROWS = 0.7  # height of a heading in a dot plot


class Dot(NamedTuple):
    """One row of a dot plot: a mean, its standard error, the single repeats."""

    label: str
    mean: Number
    se: Number
    values: list[Number]
    colour: str
    biased: bool = False
    heading: str = ""  # set above the row


def floats(values: Any) -> np.ndarray:
    """float64 array in which all that is no finite number is NaN."""
    return np.array([float(value) if is_number(value) else np.nan for value in values], dtype=np.float64)


def _finite(values: Any) -> np.ndarray:
    return np.array([value for value in values if is_number(value)], dtype=np.float64)


def _say_empty(ax: Axes, text: str = "n/a: no finite value") -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=COLOURS["muted"])


@styled()
def log_w_histogram(edges: np.ndarray, counts: np.ndarray, alpha: float | None) -> str:
    """Density of log w over the pool, before and after flattening (log w^alpha = alpha log w)."""
    figure = canvas(300)
    ax = figure.subplots()
    share = counts / max(float(np.sum(counts)), 1.0)
    ax.stairs(share / np.diff(edges), edges, color=COLOURS["raw"], linewidth=1.6, label="log w (alpha = 1)")
    if alpha is not None and 0 < alpha < 1:
        flat = alpha * np.asarray(edges, dtype=np.float64)
        label = f"alpha log w (alpha = {short(alpha)})"
        ax.stairs(share / np.diff(flat), flat, fill=True, color=COLOURS["chosen"], alpha=0.35, label=label)
    ax.axvline(0, color=COLOURS["muted"], linewidth=1, linestyle=":")
    ax.set(xlabel="log weight (nats)", ylabel="density", ylim=(0, None))
    ax.set_yticks([])
    figure.legend(loc="outside upper left", ncols=2)
    alt = f"Histogram of {int(np.sum(counts)):,} log weights from {plain(edges[0])} to {plain(edges[-1])} nats."
    return to_svg(figure, "hist", alt)


@styled()
def lorenz(rows: np.ndarray, chosen: np.ndarray, naive: np.ndarray, alpha: float | None) -> str:
    """Share of the total weight held by the lightest rows; the diagonal means that all weights are equal."""
    figure = canvas(300)
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=":", label="equal weights")
    ax.plot(rows, chosen, color=COLOURS["chosen"], label=f"alpha = {short(alpha)}")
    ax.fill_between(rows, chosen, rows, color=COLOURS["chosen"], alpha=0.12, linewidth=0)
    ax.plot(rows, naive, color=COLOURS["naive"], label="done naively")
    ax.set(xlabel="share of the rows, lightest first", ylabel="share of the weight", xlim=(0, 1), ylim=(0, 1.01))
    _percent(ax)
    ax.legend(loc="upper left")
    half = [float(np.interp(0.9, rows, share)) for share in (chosen, naive)]
    held = f"the lightest 90 % of the rows hold {half[0]:.1%} of the weight, {half[1]:.1%} when done naively"
    alt = f"Lorenz curve: {held}."
    return to_svg(figure, "lorenz", alt)


def _percent(ax: Axes) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


@styled()
def alpha_choice(choice: dict[str, Any]) -> str:
    """ESS fraction and k_hat against alpha on rows outside the pool, with the limits of the gate."""
    figure = canvas(350)
    table = sorted(choice["table"], key=lambda row: row["alpha"])
    alphas = floats(row["alpha"] for row in table)
    passed = np.array([bool(row["passed"]) for row in table], dtype=bool)
    axes = figure.subplots(2, 1, sharex=True)
    limits = (choice["min_ess_fraction"], choice["max_k_hat"])
    for ax, key, limit, side in zip(axes, ("ess_fraction", "k_hat"), limits, ("at least", "at most"), strict=True):
        values = floats(row[key] for row in table)
        ax.plot(alphas, values, color=COLOURS["muted"], linewidth=1.2, zorder=2)
        ax.scatter(alphas[passed], values[passed], s=34, color=COLOURS["real"], zorder=3)
        ax.scatter(alphas[~passed], values[~passed], s=34, color=COLOURS["naive"], marker="X", zorder=3)
        ax.axhline(limit, color=COLOURS["ink"], linewidth=1, linestyle="--")
        ax.annotate(f"{side} {limit:g}", (1, limit), (0, 3), ("axes fraction", "data"), "offset points", ha="right")
        if choice["alpha"] is not None:
            ax.axvline(choice["alpha"], color=COLOURS["chosen"], linewidth=7, alpha=0.25)
        if not np.isfinite(values).any():
            _say_empty(ax)
    axes[0].set(ylabel="ESS / N", ylim=(0, None))
    axes[1].set(ylabel="k_hat", xlabel="alpha")
    axes[0].set_title(f"band: alpha = {short(choice['alpha'])}   ● passes   ✖ fails", fontsize=10, loc="left")
    alt = f"ESS fraction and k_hat for {len(table)} values of alpha; {int(passed.sum())} pass both limits."
    return to_svg(figure, "alpha", alt)


@styled()
def reliability(before: list[dict[str, float]], after: list[dict[str, float]]) -> str:
    """Observed share of real rows against the predicted one, per bin, with the bins' confidence bands."""
    figure = canvas(300)
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=":")
    styles = (("before calibration", before, "raw", "s"), ("after", after, "chosen", "o"))
    for label, bins, colour, marker in styles:
        x, y, low, high = (floats(row[key] for row in bins) for key in ("predicted", "observed", "low", "high"))
        ax.fill_between(x, low, high, color=COLOURS[colour], alpha=0.18, linewidth=0)
        ax.vlines(x, low, high, color=COLOURS[colour], linewidth=1)
        ax.plot(x, y, label=label, color=COLOURS[colour], marker=marker, ms=4, lw=1.2)
    ax.set(xlabel="predicted probability of real", ylabel="observed share of real", xlim=(0, 1), ylim=(-0.02, 1.02))
    ax.legend(loc="upper left")
    gap = _finite(floats(row["predicted"] for row in after) - floats(row["observed"] for row in after))
    worst = f"{np.abs(gap).max():.3f}" if len(gap) else "n/a"
    return to_svg(figure, "reliability", f"Reliability curve; largest gap after calibration {worst}.")


@styled()
def dots(rows: list[Dot], plot_id: str, xlabel: str, reference: Number = None, reference_label: str = "") -> str:
    """A row per arm: label above, single repeats as ticks, mean with a bar of two standard errors."""
    places = -np.cumsum([1 + _HEADING_ROWS * bool(row.heading) for row in rows]) + 1.0
    figure = canvas(62 + 36 * (1 - places[-1]))
    ax = figure.subplots()
    shown = _finite([reference, *(v for row in rows for v in (row.mean, *row.values))])
    if len(shown) and shown.min() > 0 and shown.max() > _LOG_AXIS_RATIO * shown.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
        xlabel += " (log scale)"
    for place, row in zip(places, rows, strict=True):
        _dot(ax, row, float(place))
    if is_number(reference):
        middle = places - 0.1
        where = np.full(len(rows), reference)
        ax.vlines(where, middle - 0.22, middle + 0.22, color=COLOURS["real"], linewidth=2, label=reference_label)
        figure.legend(loc="outside upper right")
    ax.set(xlabel=xlabel, ylim=(places[-1] - 0.6, 0.75))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    alt = "; ".join(f"{row.label}: {with_error(row.mean, row.se)}" for row in rows)
    return to_svg(figure, plot_id, f"Dot plot of {xlabel}. {alt}.")


def _dot(ax: Axes, row: Dot, y: float) -> None:
    """One row of `dots`."""
    colour = COLOURS[row.colour]
    label = textwrap.shorten(row.label, 44, placeholder="…")
    across = ax.get_yaxis_transform()
    ax.text(0, y + 0.85, row.heading, transform=across, va="center", fontsize=11, color=COLOURS["muted"])
    ax.text(0, y + 0.3, label, transform=across, va="center", fontsize=11)
    ax.text(1, y + 0.3, with_error(row.mean, row.se), transform=across, va="center", ha="right", fontsize=11)
    values = _finite(row.values)
    ax.scatter(values, np.full(len(values), y - 0.1), marker="|", s=60, color=colour, alpha=0.55, linewidths=1)
    if is_number(row.mean):
        error = 2 * row.se if is_number(row.se) else 0.0
        ax.hlines(y - 0.1, row.mean - error, row.mean + error, color=colour, linewidth=2.5)
        ax.scatter([row.mean], [y - 0.1], s=48, zorder=4, edgecolors=colour, color="none" if row.biased else colour)


@styled()
def class_shares(shares: dict[str, list[float]], labels: dict[str, str], class_names: list[str]) -> str:
    """A strip per arm, a cell per class: its share, coloured by how it compares with the real rows."""
    figure = canvas(70 + 37 * len(shares))
    ax = figure.subplots()
    reference = floats(shares.get("real", [1 / len(class_names)] * len(class_names)))
    for place, (arm, row) in enumerate(shares.items()):
        label = textwrap.shorten(labels.get(arm, arm), 56, placeholder="…")
        ax.text(0, 0.24 - place, label, va="center", fontsize=11)
        for column, (share, real) in enumerate(zip(floats(row), reference, strict=True)):
            _share_cell(ax, column, -place - 0.4, share, real, with_text=len(class_names) <= 12)
    ax.set(xlim=(0, len(class_names)), ylim=(0.55 - len(shares), 0.5))
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    few = len(class_names) <= 40
    ax.set_xticks(np.arange(len(class_names)) + 0.5 if few else [], class_names if few else [], rotation=60, ha="right")
    return to_svg(figure, "classes", f"Share of each of {len(class_names)} classes in {len(shares)} sets, in per cent.")


def _share_cell(ax: Axes, x: float, y: float, share: float, real: float, with_text: bool) -> None:
    """One cell: deeper orange for up to 2.8 times as many as real, deeper blue for as few as 1 / 2.8."""
    ratio = np.log2(max(share, 1e-6) / max(real, 1e-6)) if np.isfinite(share) else 0.0
    colour = COLOURS["naive"] if ratio > 0 else COLOURS["chosen"]
    depth = 0.06 + 0.44 * min(abs(float(ratio)) / 1.5, 1.0)
    ax.add_patch(Rectangle((x + 0.03, y), 0.94, 0.45, facecolor=colour, alpha=depth, linewidth=0))
    if with_text:
        text = f"{100 * share:.1f}" if np.isfinite(share) else "n/a"
        ax.text(x + 0.5, y + 0.21, text, ha="center", va="center", fontsize=10)


@styled()
def training_curve(curve: dict[str, Any], name: str, plot_id: str) -> str:
    """Training and held-out loss against the step."""
    figure = canvas(250)
    ax = figure.subplots()
    losses = floats(curve["loss"])
    ax.plot(curve["step"], losses, color=COLOURS["muted"], linewidth=1.3, label="training loss")
    held_out = np.full(len(losses), np.nan) if curve["held_out"] is None else floats(curve["held_out"])
    there = np.isfinite(held_out)
    if there.any():
        steps = np.asarray(curve["step"])[there]
        ax.plot(steps, held_out[there], "o-", color=COLOURS["chosen"], markersize=3.5, label="held-out loss")
    shown = _finite([*losses, *held_out])
    if len(shown) and shown.min() > 0 and shown.max() > _LOG_AXIS_RATIO * shown.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if not len(shown):
        _say_empty(ax)
    ax.set(xlabel="step", ylabel="loss (nats per row)")
    figure.legend(loc="outside upper left", ncols=2)
    last = plain(held_out[there][-1] if there.any() else None)
    return to_svg(figure, plot_id, f"Loss of the {name} over {len(losses)} points; last held-out loss {last}.")
