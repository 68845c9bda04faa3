"""From a finished run to what its page shows; reads small results and a few dozen images."""

import datetime
from typing import Any

import numpy as np

from lfiw_ray.argv import to_yaml
from lfiw_ray.engine import curve_files, study_files
from lfiw_ray.engine.committee import CALIBRATION
from lfiw_ray.engine.cost import stage_costs, stored_bytes
from lfiw_ray.engine.diagnose import NAME as DIAGNOSTICS
from lfiw_ray.engine.evaluate import NAME as EVALUATION
from lfiw_ray.engine.external import is_external
from lfiw_ray.engine.extremes import extremes
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.resample import read_selection
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.train import HISTORY
from lfiw_ray.report.inputs import ReportInputs
from lfiw_ray.report.studies import VIEWS
from lfiw_ray.store import runs, stages
from lfiw_ray.store.contents import parsed, understood
from lfiw_ray.store.folder import Folder

NUM_EXTREMES = 24
_HELD_OUT = "held_out_loss"


def collect(run: Run, real: Real) -> ReportInputs:
    """Read everything; raises StoreError when a stage is not finished, or its results are not this program's."""
    with understood(f"the results of {run.url}"):
        return _collected(run, real)


def _collected(run: Run, real: Real) -> ReportInputs:
    record = runs.read_run(Folder(run.url))
    found = _json(run, "diagnostics", DIAGNOSTICS)
    calibration = _json(run, "classifier", CALIBRATION)
    evaluation = _json(run, "evaluation", EVALUATION)
    return ReportInputs(
        title=f"{real.data.name}, {run.config.generator.model}",
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        run_url=run.url,
        config_yaml=to_yaml(run.config),
        versions=record["versions"],
        seed=run.config.seed,
        plans=run.plans,
        git_commit=record["git_commit"],
        **_costs(run),
        **_images(run, real),
        log_w_histogram=(np.array(found["log_w_histogram"]["edges"]), np.array(found["log_w_histogram"]["counts"])),
        lorenz=tuple(np.array(found["lorenz"][name]) for name in ("rows", "weight", "weight_naive")),  # type: ignore[arg-type]
        calibration={"kind": calibration["calibration"]["kind"], **calibration},
        alpha=found["alpha"],
        diagnostics=found,
        evaluation=evaluation,
        class_histograms=evaluation["class_histograms"],
        class_names=_class_names(real, evaluation),
        downstream=_downstream(run),
        code_length=stages.finished(run.folder("code_length"), run.plans["code_length"]),
        training=_training(run),
        studies={name: results for name in VIEWS if (results := study_files.read(run, name)) is not None},
        curves=_curves(run),
        sweep=_sweep(run),
    )


def _costs(run: Run) -> dict[str, Any]:
    costs = stage_costs(run)
    return {
        "stage_seconds": {one.stage: one.seconds for one in costs},
        "expected_s": {one.stage: one.expected_s for one in costs if one.expected_s is not None},
        "stage_money": {one.stage: one.money for one in costs if one.money is not None},
        "currency": run.config.cost.currency,
        "stored_bytes": stored_bytes(run),
    }


def _curves(run: Run) -> tuple[dict[str, Any], np.ndarray] | None:
    found = curve_files.finished(run)
    return None if found is None else (found, curve_files.images(run))


def _images(run: Run, real: Real) -> dict[str, Any]:
    """The images of the page, and the log weights of those that were picked by them."""
    outer = extremes(run, NUM_EXTREMES)
    size = run.config.report.grid_rows * run.config.report.grid_columns
    return {
        "real_x": real.x("evaluation")[:size],
        "raw_x": _first(run, size),
        "sir_x": _selected(run, "sir", size),
        "gumbel_x": _selected(run, "gumbel", size),
        "top_weight_x": _in_order(run, outer.top_ids),
        "low_weight_x": _in_order(run, outer.low_ids),
        "top_log_w": outer.top_log_w,
        "low_log_w": outer.low_log_w,
    }


def _json(run: Run, stage: str, name: str) -> dict[str, Any]:
    body: dict[str, Any] = parsed(stages.read(run.folder(stage), name), run.folder(stage).path(name))
    return body


def _first(run: Run, size: int) -> np.ndarray:
    """Images of the first samples."""
    return gather_images(run.table("samples"), np.arange(min(size, run.config.generate.num_samples), dtype=np.int64))


def _selected(run: Run, scheme: str, size: int) -> np.ndarray:
    """Images of draws spread evenly over a selection; empty when the scheme was not asked for."""
    if scheme not in run.config.resample.schemes:
        return np.empty((0, *run.image_shape), np.uint8)
    selection = read_selection(run, scheme)
    draws = np.repeat(selection.sample_ids, selection.multiplicity)
    return _in_order(run, draws[np.linspace(0, len(draws) - 1, min(size, len(draws))).astype(np.int64)])


def _in_order(run: Run, sample_ids: np.ndarray) -> np.ndarray:
    """Images of sample ids in the order given, repeats included."""
    distinct, where = np.unique(sample_ids, return_inverse=True)
    return gather_images(run.table("samples"), distinct)[where]


def _class_names(real: Real, evaluation: dict[str, Any]) -> list[str]:
    count = len(evaluation["class_histograms"].get("real", []))
    return list(real.data.class_names or [str(i) for i in range(count)])


def _downstream(run: Run) -> dict[str, Any] | None:
    return stages.finished(run.folder("downstream"), run.plans["downstream"])


def _sweep(run: Run) -> dict[str, Any] | None:
    """The sweep of this run folder, whatever its settings: it is no part of the run's plan."""
    return _json(run, "sweep", "results.json") if run.folder("sweep").exists(stages.MARK) else None


def _trained(run: Run) -> tuple[str, ...]:
    """Stages that have a training to show; a generator made elsewhere has none."""
    return ("classifier",) if is_external(run.config.generator) else ("generator", "classifier")


def _training(run: Run) -> dict[str, dict[str, Any]]:
    histories: dict[str, Any] = {stage: _json(run, stage, HISTORY) for stage in _trained(run)}
    return {name: curve for stage, history in histories.items() for name, curve in curves_of(history, stage).items()}


def curves_of(history: list[dict[str, float]], stage: str) -> dict[str, dict[str, Any]]:
    """Curves of one training by their name: one, or one for each player of an adversarial model."""
    if "loss" in history[0]:
        return {stage: _curve(history, "loss")}
    players = [key for key in history[0] if key.endswith("_loss") and key != _HELD_OUT]
    return {f"{stage}, {key.removesuffix('_loss')}'s loss": _curve(history, key) for key in players}


def _curve(history: list[dict[str, float]], key: str) -> dict[str, Any]:
    """A loss over the steps; the held-out loss is the whole model's, or the critic's where there are two players."""
    held_out = [entry.get(_HELD_OUT) for entry in history] if key in ("loss", "critic_loss") else None
    return {"step": [entry["step"] for entry in history], "loss": [e[key] for e in history], "held_out": held_out}
