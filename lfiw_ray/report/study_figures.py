"""Plots of estimated against true log ratios: the studies of telescoping and of the pipeline's classifier."""

from typing import Any

from matplotlib.ticker import FuncFormatter

from lfiw_ray.report.cells import plain
from lfiw_ray.report.figures import floats
from lfiw_ray.report.style import COLOURS, canvas, styled, to_svg

_STYLES = {"single": ("naive", "s"), "single_long": ("raw", "D"), "telescoped": ("chosen", "o")}


@styled()
def chasm(arms: list[dict[str, Any]], labels: dict[str, str], plot_id: str) -> str:
    """Estimated KL of each arm against the true one, both axes logarithmic.

    Parameters
    ----------
    arms : entries of the study's `arms`, of one model.
    """
    figure = canvas(330)
    ax = figure.subplots()
    true = sorted({arm["kl_nats"] for arm in arms})
    ax.plot(true, true, color=COLOURS["muted"], linewidth=1, linestyle=":")
    for name in dict.fromkeys(arm["arm"] for arm in arms):
        colour, marker = _STYLES.get(name, ("real", "^"))
        mine = [arm for arm in arms if arm["arm"] == name]
        x = [arm["kl_nats"] for arm in mine]
        y, se = (floats([arm[key] for arm in mine]) for key in ("kl_estimate_nats", "kl_estimate_nats_se"))
        label = labels.get(name, name)
        ax.errorbar(x, y, 2 * se, label=label, color=COLOURS[colour], marker=marker, ms=5, elinewidth=1.2)
    ax.set(xscale="log", yscale="log", xlabel="true KL (nats, log scale)", ylabel="estimated KL (nats, log scale)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    ax.set_xticks(true)
    figure.legend(loc="outside upper left", ncols=2)
    said = (f"{labels.get(arm['arm'], arm['arm'])} {plain(arm['kl_estimate_nats'], 3)}" for arm in arms)
    return to_svg(figure, plot_id, f"Estimated KL for true ones of {true} nats: {', '.join(said)}.")


@styled()
def ratios(examples: list[dict[str, Any]], plot_id: str) -> str:
    """Scatter of estimated over true log weights, a panel for each number of dimensions."""
    figure = canvas(200)
    axes = figure.subplots(1, max(len(examples), 1), sharex=True, sharey=True, squeeze=False)[0]
    for ax, example in zip(axes, examples, strict=False):
        ax.axline((0, 0), slope=1, color=COLOURS["muted"], linewidth=1, linestyle=":")
        ax.scatter(floats(example["true"]), floats(example["estimated"]), s=6, color=COLOURS["chosen"], alpha=0.45)
        ax.set_title(f"{example['num_dims']} dimensions", fontsize=11, loc="left", pad=3)
    axes[0].set_ylabel("estimated (nats)")
    figure.supxlabel("true log weight (nats)", fontsize=12, color=COLOURS["muted"])
    dims = ", ".join(str(example["num_dims"]) for example in examples)
    return to_svg(figure, plot_id, f"Estimated over true log weights of generated rows in {dims} dimensions.")
