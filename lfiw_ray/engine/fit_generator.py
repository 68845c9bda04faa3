"""Stage: train the generator on its split of the real data, or describe the one that was made elsewhere."""

from functools import partial
from typing import Any

import numpy as np

from lfiw_ray.engine.external import description_of, files_of, is_external
from lfiw_ray.engine.models import finish_model
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.registry import build, generator_description, learns_labels
from lfiw_ray.store import stages


def fit_generator(run: Run, real: Real) -> dict[str, Any]:
    """Train, unless it is done; returns the last epoch's metrics."""
    folder, plan, config = run.folder("generator"), run.plans["generator"], run.config.generator
    if (done := stages.finished(folder, plan)) is not None:
        return done
    if is_external(config):
        return finish_model(folder, plan, description_of(config, run.image_shape), files_of(config), {})
    labelled = learns_labels(config)
    class_counts = _class_counts(real) if labelled else None
    description = generator_description(config, run.image_shape, class_counts)
    job = TrainJob(
        name="generator",
        build=partial(build, description),
        data=_rows(real, "generator", labelled),
        held_out=_rows(real, "calibration", labelled),
        config=config.train,
        seed=run.config.seed,
        plan=plan,
        folder_url=folder.url,
    )
    trained = fit(job, run.config.num_gpus)
    return finish_model(folder, plan, description, trained.files, trained.last)


def _rows(real: Real, part: str, labelled: bool) -> tuple[Any, ...]:
    """References to the images of a split, and to their labels."""
    return real.share(real.x(part), real.labels(part)) if labelled else real.share(real.x(part))


def _class_counts(real: Real) -> list[int]:
    """Training rows of each class, also of those that only other splits have."""
    counts: list[int] = np.bincount(real.labels("generator"), minlength=int(real.all_labels().max()) + 1).tolist()
    return counts
