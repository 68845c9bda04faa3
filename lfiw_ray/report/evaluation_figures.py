"""The evaluation against alpha, against ESS and against k, and whether the heaviest samples are copies.

All from the results of `studies.evaluation_curves`, whose docstring names the keys.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from lfiw_ray.report import images
from lfiw_ray.report.cells import Cell, Number, cell, exact, is_number, percent, plain, short, with_error
from lfiw_ray.report.figures import floats
from lfiw_ray.report.images import Picture
from lfiw_ray.report.studies import StudyTable
from lfiw_ray.report.style import COLOURS, canvas, styled, to_svg

_METRICS = (("fid", "FID"), ("kid", "KID"))
_CLEAR_Z = 3.0


class CurvesView(NamedTuple):
    """What the page shows; `figures` are (svg, caption), `copies` (heaviest sample, nearest rows, text)."""

    sentences: list[str]
    figures: list[tuple[str, str]]
    tables: list[StudyTable]
    copies: list[tuple[Picture, Picture, Picture, str]]


def view(found: dict[str, Any], x: np.ndarray) -> CurvesView:
    """The curves and the check for copies.

    Parameters
    ----------
    x : uint8 (3 m, H, W, C): the m samples that are shown, their nearest training rows, their nearest held-out rows.
    """
    used = f"alpha = {short(found['alpha'])}"
    figures = [
        (against_alpha(found), "The first rows of each pool, weighted by w^alpha. The band marks the alpha in use."),
        (
            against_ess(found),
            "The same points over what the weights leave: fewer effective rows raise FID by themselves.",
        ),
        (against_k(found), f"Gumbel-top-k of each pool of {found['pool_rows']:,} rows, at {used}."),
    ]
    sentences = [
        f"In the feature space “{found['extractor']}” ({found['num_features']:,} features, weights SHA-256 "
        f"{found['weights_sha256'][:12]}…), over {found['num_repeats']} disjoint parts of the pool; "
        "bars are ± two standard errors. KID has no bias from few rows, FID has.",
        _copies_sentence(found["memorisation"]),
    ]
    return CurvesView(
        sentences, figures, [_points_table(found), _copies_table(found["memorisation"])], _shown(found, x)
    )


@styled()
def against_alpha(found: dict[str, Any]) -> str:
    """FID and KID of the weighted arm over alpha."""
    figure = canvas(350)
    axes = figure.subplots(2, 1, sharex=True)
    points = found["by_alpha"]
    alphas = floats(point["alpha"] for point in points)
    for ax, (metric, label) in zip(axes, _METRICS, strict=True):
        _line(ax, alphas, [point[metric] for point in points], "chosen")
        ax.set_ylabel(label)
        if is_number(found["alpha"]):
            ax.axvline(found["alpha"], color=COLOURS["chosen"], linewidth=7, alpha=0.25)
    axes[1].set_xlabel("alpha")
    said = "; ".join(f"{short(p['alpha'])}: {with_error(p['fid']['mean'], p['fid']['se'])}" for p in points)
    return to_svg(figure, "curve-alpha", f"FID and KID of the weighted rows against alpha. FID at alpha {said}.")


@styled()
def against_ess(found: dict[str, Any]) -> str:
    """The same over the effective sample size."""
    figure = canvas(350)
    axes = figure.subplots(2, 1, sharex=True)
    points = found["by_alpha"]
    ess = floats(point["ess"]["mean"] for point in points)
    for ax, (metric, label) in zip(axes, _METRICS, strict=True):
        _line(ax, ess, [point[metric] for point in points], "chosen")
        ax.set(ylabel=label)
        for at, point in zip(ess, points, strict=True):
            value = point[metric]["mean"]
            if np.isfinite(at) and is_number(value):
                ax.annotate(short(point["alpha"]), (at, value), (3, 4), textcoords="offset points", fontsize=10)
    axes[1].set_xlabel(f"effective rows of {found['num_rows']:,}; the numbers are alpha")
    said = "; ".join(f"{plain(p['ess']['mean'], 3)}: {plain(p['fid']['mean'])}" for p in points)
    return to_svg(figure, "curve-ess", f"FID and KID of the weighted rows against ESS. FID at so many rows {said}.")


@styled()
def against_k(found: dict[str, Any]) -> str:
    """KID of Gumbel-top-k over the number of selected rows, as they are and weighted."""
    figure = canvas(300)
    ax = figure.subplots()
    points, raw = found["by_k"], found["by_alpha"][0]["kid"]
    ks = floats(point["k"] for point in points)
    for key, label, colour in (("gumbel", "without weights", "naive"), ("gumbel_ht", "Horvitz-Thompson", "chosen")):
        _line(ax, ks, [point[key] for point in points], colour, label)
    if is_number(raw["mean"]):
        ax.axhline(raw["mean"], color=COLOURS["raw"], linewidth=1.2, linestyle="--", label="raw samples")
    ax.set(xlabel=f"k, selected rows of each {found['pool_rows']:,}", ylabel="KID")
    figure.legend(loc="outside upper left", ncols=2)
    said = "; ".join(f"{p['k']:,}: {plain(p['gumbel']['mean'], 3)}, {plain(p['gumbel_ht']['mean'], 3)}" for p in points)
    return to_svg(figure, "curve-k", f"KID of Gumbel-top-k against k, without weights and weighted. At k = {said}.")


def _line(ax: Axes, x: np.ndarray, numbers: list[dict[str, Any]], colour: str, label: str = "") -> None:
    y, se = (floats(number[key] for number in numbers) for key in ("mean", "se"))
    known = np.isfinite(x) & np.isfinite(y)
    error = 2 * np.nan_to_num(se[known])
    ax.errorbar(x[known], y[known], error, color=COLOURS[colour], marker="o", ms=4, elinewidth=1.2, label=label or None)


def _points_table(found: dict[str, Any]) -> StudyTable:
    rows = [
        (f"alpha = {short(point['alpha'])}", [_cell(point[key]) for key in ("fid", "kid", "ess")])
        for point in found["by_alpha"]
    ]
    caption = f"Weighted rows of “{found['extractor']}”, N = {found['num_rows']:,}"
    return StudyTable(caption, ("weights", "FID", "KID", "ESS"), rows)


def _cell(number: dict[str, Any]) -> Cell:
    return cell(number["mean"], number["se"])


def _copies_sentence(found: dict[str, Any]) -> str:
    """What the shares say, in words."""
    heavy = found["heaviest"]
    z = heavy["z"]
    if not is_number(z):
        verdict = "nothing can be said of copies"
    elif z > _CLEAR_Z:
        verdict = "they lie nearer to the training rows than rows that repeat nothing do: look at them below"
    else:
        verdict = "no sign of copies"
    return (
        f"Memorisation: of the {heavy['num_samples']:,} heaviest samples {percent(heavy['share'])} lie nearer to one "
        f"of {found['num_train']:,} rows that trained the generator than to any of {found['num_held_out']:,} held-out "
        f"rows; {percent(heavy['expected'])} are expected of samples that repeat nothing ({_errors(z)}): {verdict}."
    )


def _errors(z: Number) -> str:
    return f"{z:+.1f} standard errors" if is_number(z) else "standard errors n/a"


def _copies_table(found: dict[str, Any]) -> StudyTable:
    rows = []
    for key, label in (("heaviest", "heaviest samples"), ("raw", "raw samples")):
        group = found[key]
        share, se, expected = (None if group[k] is None else 100 * group[k] for k in ("share", "se", "expected"))
        distances = [exact(group[f"distance_{kind}"]) for kind in ("train", "held_out")]
        cells = [cell(share, se), exact(expected), exact(group["z"]), *distances]
        rows.append((f"{group['num_samples']:,} {label}", cells))
    caption = (
        f"Nearest real rows in “{found['extractor']}” (SHA-256 {found['weights_sha256'][:12]}…): shares nearer to "
        "a training row, per cent ± one binomial standard error"
    )
    heads = ("samples", "nearer to training", "expected", "z", "median distance, training", "held out")
    return StudyTable(caption, heads, rows)


def _shown(found: dict[str, Any], x: np.ndarray) -> list[tuple[Picture, Picture, Picture, str]]:
    shown = found["memorisation"]["shown"]
    if len(x) != 3 * len(shown):
        raise ValueError(f"{len(x)} images for {len(shown)} samples and two nearest rows of each")
    parts = [images.tiles(part) for part in np.split(x, 3)] if shown else [[], [], []]
    texts = (f"{plain(e['distance_train'], 3)} | {plain(e['distance_held_out'], 3)}" for e in shown)
    return list(zip(*parts, texts, strict=True))
