"""Stage: train the generator on its split of the real data."""

from functools import partial
from typing import Any

from lfiw_ray.engine.models import finish_model
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.registry import build, generator_description
from lfiw_ray.store import stages


def fit_generator(run: Run, real: Real) -> dict[str, Any]:
    """Train, unless it is done; returns the last epoch's metrics."""
    folder, plan, config = run.folder("generator"), run.plans["generator"], run.config.generator
    if (done := stages.finished(folder, plan)) is not None:
        return done
    description = generator_description(config, run.image_shape)
    job = TrainJob(
        name="generator",
        build=partial(build, description),
        data=real.share(real.x("generator")),
        held_out=real.share(real.x("calibration")),
        config=config.train,
        seed=run.config.seed,
        plan=plan,
        folder_url=folder.url,
    )
    trained = fit(job, run.config.num_gpus)
    return finish_model(folder, plan, description, trained.files, trained.last)
