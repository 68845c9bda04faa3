"""The paper's table as one figure: how far each arm's FID lies from raw samples', a panel for each table."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lfiw_ray.report.figures import floats
from lfiw_ray.report.style import COLOURS, canvas, standalone, styled, to_svg

_COLUMN_UNITS, _ROW_UNITS, _HEAD_UNITS, _KEY_UNITS = 300, 17, 62, 26
_COLOURS = {"helps": "real", "hurts": "naive", "unclear": "raw"}
_SAID = {"helps": "clearly nearer than raw", "hurts": "clearly farther", "unclear": "not clear"}
_SHOWN_PERCENT = 150.0  # an arm that is farther is drawn at the edge, with its number


@styled()
def figure(found: dict[str, Any]) -> str:
    """A whole SVG file.

    Parameters
    ----------
    found : {"label", "generators": [{"name", ...}]}, the latter as `studies.table1.study` returns them.
    """
    panels = [
        (f"{generator['name']}\n{table['extractor']}, {table['num_rows']:,} vs {table['reference']['label']}", table)
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
    key = [Line2D([], [], color=COLOURS[_COLOURS[kind]], marker="o", linewidth=2, label=_SAID[kind]) for kind in _SAID]
    plot.legend(handles=key, loc="outside lower right", ncols=3, title="mean, and two standard errors over pools")
    alt = f"FID less that of raw samples, in per cent of it, for {len(names)} arms in {len(panels)} tables."
    return standalone(to_svg(plot, "table1", alt))


def _panel(ax: Axes, title: str, table: dict[str, Any], names: list[str]) -> None:
    """One table: mean and two standard errors of the paired difference, in per cent of raw's FID."""
    scale = 100 / table["arms"]["raw"]["fid"]["mean"]
    found = [table["differences"]["fid"][name] for name in names]
    means, errors = (scale * floats(entry[key] for entry in found) for key in ("mean", "se"))
    ax.axvline(0, color=COLOURS["muted"], linewidth=1, linestyle=":")
    for place, (mean, error, entry) in enumerate(zip(means, errors, found, strict=True)):
        colour = COLOURS[_COLOURS[entry["outcome"]]]
        at = float(np.clip(mean, -_SHOWN_PERCENT, _SHOWN_PERCENT))
        ax.scatter([at], [-place], s=30, color=colour, marker="o" if at == mean else ">", zorder=3)
        if at == mean:
            ax.hlines(-place, mean - 2 * error, mean + 2 * error, color=colour, linewidth=2)
        else:
            ax.annotate(f"{mean:+,.0f} %", (at, -place), (-6, 0), textcoords="offset points", ha="right", va="center")
    ax.set_title(title, fontsize=10, loc="left")
    ax.set(xlabel="FID less raw's, % of it", xlim=(-105, _SHOWN_PERCENT + 10), ylim=(0.4 - len(names), 0.6))
