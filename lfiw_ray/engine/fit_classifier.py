"""Stage: train the classifiers of real against generated rows, then calibrate each on held-out rows.

Of the held-out rows (the calibration split and as many generated ones, in the ratio of the training rows) the first
half stops the training early and gives the calibration's figures; the second half fits the calibrator, which
therefore does not judge itself.  The figures are as optimistic as the choice of the epoch makes them: one of a
dozen, by the same rows.  Where generated rows come from is said in `engine.classifier_rows`, how many classifiers
there are in `engine.committee`.
"""

import json
import logging
from functools import partial
from typing import Any

import numpy as np
import ray

from lfiw_ray.core.calibration import choose
from lfiw_ray.core.weights import prior_correction
from lfiw_ray.engine import features
from lfiw_ray.engine.calibration_figures import calibration_figures
from lfiw_ray.engine.classifier_rows import (
    Arrays,
    GeneratedRows,
    generated_inputs,
    generated_rows,
    real_inputs,
    training_arrays,
)
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.committee import CALIBRATION, TUNING, Part, part_folder, part_name, parts_of, seed_of
from lfiw_ray.engine.committee_figures import HELD_OUT, finish_committee
from lfiw_ray.engine.models import WEIGHTS, finish_model
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.score import score
from lfiw_ray.engine.train import Trained, fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.checkpoint import Description, tensors_from_bytes
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.registry import build
from lfiw_ray.store import stages

log = logging.getLogger(__name__)

HELD_OUT_REAL = "score: held-out real rows"
GENERATED = {"fit_samples": "score: generated rows outside the pool", "samples": "score: held-out rows of the pool"}


def fit_classifier(run: Run, real: Real, stage: str = "classifier") -> dict[str, Any]:
    """Train and calibrate `classifier` or `naive_classifier`, unless it is done; returns the calibration's figures."""
    if (done := stages.finished(run.folder(stage), run.plans[stage])) is not None:
        return done
    parts = parts_of(run.classifier_config(stage))
    looks = run.classifier_config(stage).input != "features"
    images = real.share(*(real.x(name) for name in features.SPLITS)) if looks else (None, None)
    results = [_fit_part(run, stage, part, images) for part in parts]
    return results[0] if len(parts) == 1 else finish_committee(run, stage)


def _fit_part(run: Run, stage: str, part: Part, images: tuple[Any, ...]) -> dict[str, Any]:
    """Train and calibrate one classifier, unless it is done; `images` are references to those of the real splits."""
    folder, plan, config = part_folder(run, stage, part), run.plans[stage], run.classifier_config(stage)
    if (done := stages.finished(folder, plan)) is not None:
        return done
    description = _description(run, stage)
    rows = generated_rows(run, config, part.fold)
    count = len(_built(description).inputs) + 1
    name = "-".join(filter(None, (stage, part_name(config, part))))
    with unwrapped(f"reading the training rows of {name}"):
        refs = _training_arrays.options(num_returns=2 * count).remote(run, description, rows, *images)
        job = TrainJob(
            name=name,
            build=partial(_built, description),
            data=tuple(refs[:count]),
            held_out=tuple(refs[count:]),
            config=config.train,
            seed=seed_of(run, stage, part),
            plan=plan,
            folder_url=folder.url,
        )
    trained = fit(job, run.config.num_gpus)
    with unwrapped(f"calibrating {name}"):
        task = ray.remote(calibrate).options(num_gpus=run.config.num_gpus)
        figures, files = ray.get(task.remote(run, description, trained, rows, job.seed, images[1]))
    for warning in figures["warnings"]:
        log.warning("%s: %s", name, warning)
    if folder.url == run.folder(stage).url:
        del files[HELD_OUT]  # nothing to put together
    files |= {**trained.files, CALIBRATION: json.dumps(figures, allow_nan=False).encode()}
    return finish_model(folder, plan, description, files, figures["after"])


def _description(run: Run, stage: str) -> Description:
    config = run.classifier_config(stage)
    extra = {} if config.input == "pixels" else {"num_features": features.description(run)["num_features"]}
    return Description("classifier", config.model_dump(), run.image_shape, extra)


def _built(description: Description) -> Classifier:
    model = build(description)
    assert isinstance(model, Classifier)
    return model


@ray.remote
def _training_arrays(run: Run, description: Description, rows: GeneratedRows, x: Any, x_held_out: Any) -> Arrays:
    """Training and held-out arrays in the object store; the driver holds only references."""
    return training_arrays(run, _built(description).inputs, rows, x, x_held_out)


def calibrate(
    run: Run, description: Description, trained: Trained, rows: GeneratedRows, seed: int, x_held_out: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Calibrate a trained classifier.

    Returns
    -------
    figures : contents of calibration.json.
    files : raw logits of the rows that judge the calibrator, with their y, and of the tuning rows.
    """
    model = _built(description)
    model.load_state_dict(tensors_from_bytes(trained.files[WEIGHTS], "classifier"))
    model.eval().to(run.device)
    size = run.config.score.batch_size

    def logits(table: str, ids: np.ndarray) -> np.ndarray:
        return score(model, generated_inputs(run, model.inputs, table, ids), ids, seed, size, GENERATED[table])

    generated, tuning = logits(rows.table, rows.held_out), logits("fit_samples", rows.tuning)
    inputs = real_inputs(run, model.inputs, "calibration", x_held_out)
    real = score(model, inputs, np.arange(len(inputs[0])), seed, size, HELD_OUT_REAL)
    judge, fitting = _halves(real, generated)
    choice = choose(*fitting, tuple(run.config.classifier.calibrators), run.config.seed)
    num_real = int(fitting[1].sum())
    odds = prior_correction(num_real, len(fitting[1]) - num_real)  # of the rows that made the logits honest
    figures = calibration_figures(choice, judge, odds, run.config.seed)
    held_out = {name: values.tolist() for name, values in zip(("logits", "y"), judge, strict=True)}
    return figures, {HELD_OUT: json.dumps(held_out).encode(), TUNING: json.dumps(tuning.tolist()).encode()}


def _halves(real: np.ndarray, generated: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(logits, y) of the first and of the second half of the held-out rows."""
    cut = len(real) // 2, len(generated) // 2
    parts = [(real[: cut[0]], generated[: cut[1]]), (real[cut[0] :], generated[cut[1] :])]
    return [
        (np.concatenate([r, g]).astype(np.float64), np.concatenate([np.ones(len(r)), np.zeros(len(g))]))
        for r, g in parts
    ]
