"""The plots of the toy study: class probabilities, SIR with growing k, distances.

Keys are those of the study's docstring.  A missing number is a gap, never a point.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from lfiw_ray.report.cells import is_number, plain
from lfiw_ray.report.figures import floats
from lfiw_ray.report.style import COLOURS, canvas, styled, to_svg

KINDS = (("true", "true weights", "ink", "s"), ("estimated", "estimated weights", "chosen", "o"))


@styled()
def densities(toy: dict[str, Any]) -> str:
    """The mixture and the one Gaussian fitted to it."""
    figure = canvas(300)
    ax = figure.subplots()
    _target(ax, toy)
    ax.plot(toy["grid"], floats(toy["density_generated"]), color=COLOURS["raw"], label="generator")
    ax.set(xlabel="x", ylabel="density", ylim=(0, None))
    figure.legend(loc="outside upper left", ncols=2)
    generator = ", ".join(plain(toy["generator"][name]) for name in ("mean", "sd"))
    alt = f"Densities of a mixture of two Gaussians and of the Gaussian fitted to it (mean, sd: {generator})."
    return to_svg(figure, "toy-densities", alt)


def _target(ax: Axes, toy: dict[str, Any]) -> None:
    density = floats(toy["density_real"])
    ax.fill_between(toy["grid"], density, color=COLOURS["real"], alpha=0.15, linewidth=0)
    ax.plot(toy["grid"], density, color=COLOURS["real"], label="real")


@styled()
def probabilities(toy: dict[str, Any]) -> str:
    """Estimated against Bayes-optimal class probabilities, with the bootstrap bands."""
    figure = canvas(300)
    ax = figure.subplots()
    low, high = floats(toy["low"]), floats(toy["high"])
    name = f"{100 * toy['level']:g} % band of {toy['num_bootstraps']:,} bootstraps"
    ax.fill_between(toy["grid"], low, high, color=COLOURS["chosen"], alpha=0.25, linewidth=0, label=name)
    ax.plot(toy["grid"], floats(toy["estimated"]), color=COLOURS["chosen"], label="estimated")
    ax.plot(toy["grid"], floats(toy["bayes"]), color=COLOURS["ink"], linestyle="--", linewidth=1.3, label="Bayes")
    ax.set(xlabel="x", ylabel="P(real | x)", ylim=(-0.02, 1.02))
    figure.legend(loc="outside upper left", ncols=2)
    gap = np.abs(floats(toy["estimated"]) - floats(toy["bayes"]))
    worst = plain(float(np.nanmax(gap)) if np.isfinite(gap).any() else None, 2)
    return to_svg(figure, "toy-bayes", f"Estimated and Bayes-optimal probability of real; largest gap {worst}.")


@styled()
def resampled(toy: dict[str, Any]) -> str:
    """One small panel for each k: histograms of the outputs over the true density."""
    ks = list(dict.fromkeys(entry["k"] for entry in toy["sir"]))
    rows = -(-len(ks) // 2)
    figure = canvas(40 + 130 * rows)
    axes = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, k in zip(axes, ks, strict=False):
        _target(ax, toy)
        for kind, label, colour, _ in KINDS:
            for entry in _entries(toy, kind, k):
                ax.stairs(floats(entry["density"]), toy["edges"], color=COLOURS[colour], label=label, linewidth=1.2)
        ax.set_title(f"k = {k:,}", fontsize=11, loc="left", pad=2)
        ax.set(xticks=(-4, 0, 4), yticks=[])
    for ax in axes[len(ks) :]:
        ax.set_visible(False)
    if ks:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return to_svg(figure, "toy-sir", f"Histograms of resampled points for k = {ks} over the true density.")


def _entries(toy: dict[str, Any], kind: str, k: int | None = None) -> list[dict[str, Any]]:
    """Entries of `sir` of one kind of weights, of all k or of one."""
    return [entry for entry in toy["sir"] if entry["weights"] == kind and k in (None, entry["k"])]


@styled()
def distances(toy: dict[str, Any]) -> str:
    """W1 to the data against k, with the floor of finitely many outputs and the limit of the estimated weights."""
    figure = canvas(300)
    ax = figure.subplots()
    for kind, label, colour, marker in KINDS:
        entries = _entries(toy, kind)
        mean, se = (floats([entry[name] for entry in entries]) for name in ("wasserstein", "wasserstein_se"))
        ks = [entry["k"] for entry in entries]
        ax.errorbar(ks, mean, 2 * se, color=COLOURS[colour], marker=marker, ms=5, elinewidth=1.2, label=label)
    lines = (
        (toy["floor"]["wasserstein"], "real", "as many draws of the data"),
        (toy["limits"]["estimated"]["wasserstein"], "chosen", "limit of the estimated weights"),
    )
    for value, colour, label in lines:
        if is_number(value):
            ax.axhline(value, color=COLOURS[colour], linestyle="--", linewidth=1.2, label=label)
    ax.set(xscale="log", xlabel="candidates for each output, k (log scale)", ylabel="W1 distance to the data")
    ax.set_ylim(0, None)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    figure.legend(loc="outside upper left", ncols=2)
    said = (
        f"{label}: " + ", ".join(f"{plain(entry['wasserstein'], 2)} at {entry['k']:,}" for entry in _entries(toy, kind))
        for kind, label, *_ in KINDS
    )
    return to_svg(figure, "toy-distance", f"W1 distance to the data against k. {'; '.join(said)}.")
