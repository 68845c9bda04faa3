"""The paper's table as one figure: how far each arm's FID and KID lie from raw samples', a panel for each table.

Both are shown because an arm of few effective rows has a larger FID by that alone, while KID has no such bias.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lfiw_ray.report.figures import floats
from lfiw_ray.report.style import COLOURS, canvas, standalone, styled, to_svg

_COLUMN_UNITS, _ROW_UNITS, _HEAD_UNITS, _KEY_UNITS = 300, 20, 76, 30
_COLOURS = {"helps": "real", "hurts": "naive", "unclear": "raw"}
_SAID = {"helps": "clearly nearer than raw", "hurts": "clearly farther", "unclear": "not clear"}
_MARKS = {"fid": ("FID", "o", 0.17), "kid": ("KID", "D", -0.17)}  # name, marker, place above the arm's line
_LEAST_PERCENT, _MOST_PERCENT = 5.0, 150.0  # of what a panel shows; an arm that is farther lies at its edge


@styled()
def figure(found: dict[str, Any]) -> str:
    """A whole SVG file.

    Parameters
    ----------
    found : {"label", "generators": [{"name", ...}]}, the latter as `studies.table1.study` returns them.
    """
    panels = [
        (
            f"{generator['name']}\n{table['extractor']}\n{table['num_rows']:,} against {table['reference']['label']}",
            table,
        )
        for generator in found["generators"]
        for table in generator["tables"]
    ]
    labels = {name: arm["label"] for generator in found["generators"] for name, arm in generator["arms"].items()}
    names = [name for name in labels if name != "raw"]
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    height = rows * (_HEAD_UNITS + _ROW_UNITS * len(names)) + _KEY_UNITS
    plot = canvas(height, 130 + _COLUMN_UNITS * columns)
    axes = plot.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax, (title, table) in zip(axes, panels, strict=False):
        _panel(ax, title, table, names)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[::columns]:
        ax.set_yticks(-np.arange(len(names)), [labels[name] for name in names])
    key = [Line2D([], [], color=COLOURS[_COLOURS[kind]], linewidth=3, label=_SAID[kind]) for kind in _SAID]
    key += [Line2D([], [], color=COLOURS["muted"], linestyle="", marker=m, label=n) for n, m, _ in _MARKS.values()]
    plot.legend(handles=key, loc="outside lower right", ncols=5, title="mean, and two standard errors over pools")
    alt = f"FID and KID less those of raw samples, in per cent, for {len(names)} arms in {len(panels)} tables."
    return standalone(to_svg(plot, "table1", alt))


def _panel(ax: Axes, title: str, table: dict[str, Any], names: list[str]) -> None:
    """One table: mean and two standard errors of the paired differences, in per cent of raw's own distances."""
    shown = {metric: _percent(table, metric, names) for metric in _MARKS if _has_parts(table["arms"]["raw"], metric)}
    far = np.concatenate([np.abs(means) + 2 * errors for means, errors in shown.values()])
    reach = float(np.clip(1.2 * np.quantile(far, 0.75), _LEAST_PERCENT, _MOST_PERCENT))
    ax.axvline(0, color=COLOURS["muted"], linewidth=1, linestyle=":")
    for metric, (means, errors) in shown.items():
        for place, (name, mean, error) in enumerate(zip(names, means, errors, strict=True)):
            colour = COLOURS[_COLOURS[table["differences"][metric][name]["outcome"]]]
            _point(ax, metric, place, mean, error, reach, colour)
    ax.set_title(title, fontsize=9, loc="left")
    ax.set(xlabel="less raw's, % of it", xlim=(-1.05 * reach, 1.05 * reach), ylim=(0.4 - len(names), 0.6))


def _has_parts(raw: dict[str, Any], metric: str) -> bool:
    """Whether raw's own distance is far enough from 0 to be what others are a part of; a FID always is."""
    return metric == "fid" or bool(raw[metric]["mean"] > 4 * raw[metric]["se"])


def _percent(table: dict[str, Any], metric: str, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors of the differences."""
    scale = 100 / table["arms"]["raw"][metric]["mean"]
    found = [table["differences"][metric][name] for name in names]
    means, errors = (scale * floats(entry[key] for entry in found) for key in ("mean", "se"))
    return means, errors


def _point(ax: Axes, metric: str, place: int, mean: float, error: float, reach: float, colour: str) -> None:
    """An arm's mean with its errors, or its number at the edge."""
    _, marker, above = _MARKS[metric]
    at = float(np.clip(mean, -reach, reach))
    ax.scatter([at], [above - place], s=18, color=colour, marker=marker, zorder=3)
    if at == mean:
        ax.hlines(above - place, mean - 2 * error, mean + 2 * error, color=colour, linewidth=1.5)
        return
    side = -1 if mean > 0 else 1
    told, align = f"{mean:+,.0f} %", "right" if mean > 0 else "left"
    ax.annotate(told, (at, above - place), (6 * side, 0), textcoords="offset points", ha=align, va="center", fontsize=7)
