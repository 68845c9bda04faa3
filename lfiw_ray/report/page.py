"""The report of a run: one self-contained HTML page, a pure function of `ReportInputs`.

Nothing is loaded from elsewhere and nothing runs: styles, images and figures are inside, there is no script,
and a content security policy in the page forbids both.  All text is escaped by the template engine.
"""

from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from lfiw_ray.core.bootstrap import LEVEL, NUM_RESAMPLES
from lfiw_ray.report import (
    cells,
    downstream,
    evaluation_figures,
    figures,
    images,
    metric_tables,
    studies,
    sweep,
    tables,
    whole_run,
)
from lfiw_ray.report.inputs import ReportInputs
from lfiw_ray.report.keyfigures import key_figures
from lfiw_ray.report.verdict import verdict


def render(inputs: ReportInputs) -> str:
    """The page as HTML.

    Raises
    ------
    ValueError
        For images that are not uint8 (n, H, W, 1 or 3), or log weights that do not match their images.
    """
    _check_lengths(inputs)
    environment = Environment(
        loader=PackageLoader("lfiw_ray.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(percent=cells.percent, told=cells.told, short=cells.short, seconds=cells.seconds)
    template = environment.get_template("page.html.j2")
    return template.render(inputs._asdict() | _views(inputs))


def _check_lengths(inputs: ReportInputs) -> None:
    for x, log_w, name in (
        (inputs.top_weight_x, inputs.top_log_w, "top"),
        (inputs.low_weight_x, inputs.low_log_w, "low"),
    ):
        if len(x) != len(log_w):
            raise ValueError(f"{len(x)} {name}-weight images but {len(log_w)} log weights")


def _views(inputs: ReportInputs) -> dict[str, Any]:
    """What the template shows beside the inputs themselves."""
    labels, gate = tables.arm_labels(inputs.evaluation["arms"]), inputs.diagnostics["verdict"]
    return {
        "verdict": verdict(inputs.evaluation, inputs.diagnostics["chosen"], gate["passed"]),
        "tiles": key_figures(inputs),
        "grids": _grids(inputs),
        "heaviest": _weighted_images(inputs.top_weight_x, inputs.top_log_w),
        "lightest": _weighted_images(inputs.low_weight_x, inputs.low_log_w),
        "spaces": [_space(inputs, name, f"fid-{i}") for i, name in enumerate(inputs.evaluation["extractors"])],
        "compared_with": whole_run.compared_with(inputs.evaluation),
        "gain": whole_run.gain(inputs.evaluation),
        "whole_sets": whole_run.whole_sets(inputs.evaluation),
        "whole_columns": whole_run.COLUMNS,
        "weight_rows": tables.weight_table(inputs.diagnostics),
        "calibration_rows": tables.calibration_table(inputs.calibration),
        "candidates": _candidates(inputs.calibration),
        "bands_are": f"{100 * LEVEL:g} % of {NUM_RESAMPLES:,} bootstrap resamples of the held-out rows",
        "downstream_rows": downstream.accuracies(inputs.downstream),
        "difference_rows": downstream.differences(inputs.downstream),
        "class_rows": tables.class_table(inputs.class_histograms, labels, inputs.class_names),
        "arm_labels": labels,
        "slowest_s": max(inputs.stage_seconds.values(), default=0.0),
        "figures": _figures(inputs),
        "curves": _curves(inputs.training),
        "code_length_cell": _code_length(inputs.code_length),
        "study_views": studies.views(inputs.studies),
        "curves_view": None if inputs.curves is None else evaluation_figures.view(*inputs.curves),
        "sweep_view": None if inputs.sweep is None else sweep.view(inputs.sweep),
    }


def _code_length(found: dict[str, Any] | None) -> cells.Cell | None:
    return None if found is None else cells.cell(found["mean_bpd"], found["se_bpd"])


def _figures(inputs: ReportInputs) -> dict[str, str]:
    alpha = inputs.alpha["alpha"]
    shares = inputs.class_histograms
    labels = tables.arm_labels(inputs.evaluation["arms"]) | {"real": "real rows"}
    return {
        "histogram": figures.log_w_histogram(*inputs.log_w_histogram, alpha),
        "lorenz": figures.lorenz(*inputs.lorenz, alpha),
        "alpha": figures.alpha_choice(inputs.alpha),
        "reliability": figures.reliability(inputs.calibration["before"]["bins"], inputs.calibration["after"]["bins"]),
        "classes": figures.class_shares(shares, labels, inputs.class_names) if shares else "",
        "downstream": downstream.figure(inputs.downstream) if inputs.downstream else "",
    }


def _curves(training: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [(name, figures.training_curve(training[name], name, f"train-{i}")) for i, name in enumerate(training)]


def _grids(inputs: ReportInputs) -> list[tuple[str, str, images.Picture | None]]:
    named = (
        ("Real", "rows of the evaluation set", inputs.real_x),
        ("Raw samples", "as the generator makes them", inputs.raw_x),
        ("Resampled (SIR)", "drawn in proportion to their weights, with replacement", inputs.sir_x),
        ("Resampled (Gumbel-top-k)", "drawn without replacement", inputs.gumbel_x),
    )
    return [(title, text, images.grid(x)) for title, text, x in named]


def _weighted_images(x: np.ndarray, log_w: np.ndarray) -> list[tuple[images.Picture, str]]:
    return [(tile, f"{log_w[row]:+.2f}") for row, tile in enumerate(images.tiles(x))]


def _space(inputs: ReportInputs, name: str, plot_id: str) -> dict[str, Any]:
    """One feature space: its description, table and dot plot."""
    space, arms = inputs.evaluation["extractors"][name], inputs.evaluation["arms"]
    labels = tables.arm_labels(arms)
    rows: list[figures.Dot] = []
    for arm in space["arm_order"]:
        fid = space["arms"][arm].get("fid") or {"mean": None, "se": None, "values": []}
        about = arms[arm]
        colour = tables.colour_of(about)
        heading = "Rivals" if about["rival"] and not any(row.heading for row in rows) else ""
        rows.append(figures.Dot(labels[arm], fid["mean"], fid["se"], fid["values"], colour, about["biased"], heading))
    plot = figures.dots(rows, plot_id, f"FID in “{name}”", space["real"].get("fid"), "real against real")
    return {"name": name, "about": space, "tables": metric_tables.metric_tables(inputs.evaluation, name), "plot": plot}


def _candidates(calibration: dict[str, Any]) -> list[tuple[str, str, bool]]:
    kinds = calibration["candidates"]
    return [(kind, cells.told(loss), kind == calibration["kind"]) for kind, loss in kinds.items()]
