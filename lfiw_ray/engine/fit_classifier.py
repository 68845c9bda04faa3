"""Stage: train the classifier of real against generated rows, then calibrate it on held-out rows.

The generated rows are `fit_samples/`, none of which is in the pool.  Of the held-out rows (the calibration
split and as many generated ones) the first half stops the training early and gives the calibration's figures;
the second half fits the calibrator, which therefore does not judge itself.  The figures are as optimistic as the
choice of the epoch makes them: one of a dozen, by the same rows.
"""

import json
import math
from functools import partial
from typing import Any

import numpy as np
import ray

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core.calibration import Calibration, CalibrationChoice, choose
from lfiw_ray.core.reliability import CalibrationReport, report
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.models import DESCRIPTION, WEIGHTS, finish_model
from lfiw_ray.engine.read import read_images
from lfiw_ray.engine.run import FitRows, Real, Run
from lfiw_ray.engine.score import score
from lfiw_ray.engine.train import Trained, fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.checkpoint import Description, description_from_bytes, tensors_from_bytes
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.registry import build
from lfiw_ray.store import stages
from lfiw_ray.store.shards import Table

HELD_OUT_REAL = "score: held-out real rows"
HELD_OUT_GENERATED = "score: generated rows outside the pool"
CALIBRATION = "calibration.json"
TUNING = "tuning_logits.json"


def fit_classifier(run: Run, real: Real, stage: str = "classifier") -> dict[str, Any]:
    """Train and calibrate `classifier` or `naive_classifier`, unless it is done; returns the calibration's figures."""
    folder, plan, config = run.folder(stage), run.plans[stage], run.classifier_config(stage)
    if (done := stages.finished(folder, plan)) is not None:
        return done
    description, start = _description(run, config)
    with unwrapped("reading fit_samples"):
        refs = _training_rows.options(num_returns=4).remote(
            run.table("fit_samples"), run.fit_rows, *real.share(real.x("classifier"), real.x("calibration"))
        )
        job = TrainJob(
            name=stage,
            build=partial(_build, description, start),
            data=tuple(refs[:2]),
            held_out=tuple(refs[2:]),
            config=config.train,
            seed=run.config.seed,
            plan=plan,
            folder_url=folder.url,
        )
    trained = fit(job, run.config.num_gpus)
    with unwrapped("calibrating the classifier"):
        figures, tuning = ray.get(
            _calibrate.options(num_gpus=run.config.num_gpus).remote(
                run, description, trained, *real.share(real.x("calibration"))
            )
        )
    files = {**trained.files, CALIBRATION: json.dumps(figures, allow_nan=False).encode(), TUNING: tuning}
    return finish_model(folder, plan, description, files, figures["after"])


def _description(run: Run, config: ClassifierConfig) -> tuple[Description, dict[str, Any]]:
    """Description of the classifier, and the frozen extractor's weights where it has one."""
    if config.input == "pixels":
        return Description("classifier", config.model_dump(), run.image_shape, {}), {}
    domain = run.folder("domain")
    inner = description_from_bytes(stages.read(domain, DESCRIPTION), domain.path(DESCRIPTION))
    weights = tensors_from_bytes(stages.read(domain, WEIGHTS), domain.url)
    return Description("classifier", config.model_dump(), run.image_shape, {"extractor": inner._asdict()}), weights


def _build(description: Description, extractor_weights: dict[str, Any]) -> Classifier:
    model = build(description)
    assert isinstance(model, Classifier)
    if model.extractor is not None:
        model.extractor.load_state_dict(extractor_weights)
    return model


@ray.remote
def _training_rows(
    table: Table, rows: FitRows, real_train: np.ndarray, real_held_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and held-out rows (x, y) in the object store; the driver holds only references."""
    train = read_images(table, 0, rows.train)
    half = rows.held_out // 2
    held_out = read_images(table, rows.train, rows.train + half)
    return (*_labelled(real_train, train), *_labelled(real_held_out[: len(real_held_out) // 2], held_out))


def _labelled(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = np.concatenate([np.ones(len(real), np.float32), np.zeros(len(generated), np.float32)])
    return np.concatenate([real, generated]), y


@ray.remote
def _calibrate(run: Run, description: Description, trained: Trained, real: np.ndarray) -> tuple[dict[str, Any], bytes]:
    """Calibration figures, and the raw logits of the tuning rows."""
    model = build(description)
    model.load_state_dict(tensors_from_bytes(trained.files[WEIGHTS], "classifier"))
    assert isinstance(model, Classifier)
    model.eval().to(run.device)
    rows = run.fit_rows
    generated = read_images(run.table("fit_samples"), rows.train, rows.total)
    ids = np.arange(rows.train, rows.total, dtype=np.int64)
    size = run.config.score.batch_size
    g_logits = score(model, generated, ids, run.config.seed, size, HELD_OUT_GENERATED)
    r_logits = score(model, real, np.arange(len(real)), run.config.seed, size, HELD_OUT_REAL)
    g_held, tuning = g_logits[: rows.held_out], g_logits[rows.held_out :]
    judge, fitting = _halves(r_logits, g_held)
    choice = choose(*fitting, tuple(run.config.classifier.calibrators), run.config.seed)
    odds = math.log(rows.train / run.num_classifier_rows)
    return _figures(choice, judge, odds), json.dumps(tuning.tolist()).encode()


def _halves(real: np.ndarray, generated: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(logits, y) of the first and of the second half of the held-out rows."""
    cut = len(real) // 2, len(generated) // 2
    parts = [(real[: cut[0]], generated[: cut[1]]), (real[cut[0] :], generated[cut[1] :])]
    return [
        (np.concatenate([r, g]).astype(np.float64), np.concatenate([np.ones(len(r)), np.zeros(len(g))]))
        for r, g in parts
    ]


def _figures(choice: CalibrationChoice, judge: tuple[np.ndarray, np.ndarray], odds: float) -> dict[str, Any]:
    logits, y = judge
    return {
        "calibration": choice.calibration.to_json(),
        "log_prior_odds": odds,
        "candidates": choice.cv_log_loss_nats,
        "before": figures_of(report(logits, y, odds)),
        "after": figures_of(report(choice.calibration.apply(logits), y, odds)),
    }


def figures_of(r: CalibrationReport) -> dict[str, Any]:
    """A calibration report as plain values; a figure that is not finite becomes null."""
    bins = [
        {"predicted": float(p), "observed": float(o), "count": int(n)}
        for p, o, n in zip(r.curve.predicted, r.curve.observed, r.curve.rows, strict=True)
    ]
    figures = {
        "log_loss_nats": r.log_loss_nats,
        "brier": r.brier,
        "ece": r.ece,
        "z": r.z,
        "auc": r.auc,
        "accuracy": r.accuracy,
        "mean_w_model": r.model_mean_w.mean,
        "mean_w_model_se": r.model_mean_w.se,
        "mean_inverse_w_data": r.data_mean_inverse_w.mean,
        "mean_inverse_w_data_se": r.data_mean_inverse_w.se,
    }
    return {**{name: v if math.isfinite(v) else None for name, v in figures.items()}, "bins": bins}


def calibration_of(run: Run, stage: str = "classifier") -> tuple[Calibration, float]:
    """A finished classifier's calibrator and log prior odds."""
    body = json.loads(stages.read(run.folder(stage), CALIBRATION))
    return Calibration.from_json(body["calibration"]), float(body["log_prior_odds"])


def tuning_logits(run: Run) -> np.ndarray:
    """(n,) float64 raw logits of the tuning rows, which lie outside the pool."""
    return np.array(json.loads(stages.read(run.folder("classifier"), TUNING)), np.float64)
