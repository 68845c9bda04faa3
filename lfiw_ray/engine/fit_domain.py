"""Stage: train the domain extractor, a label classifier of the real rows that the evaluation does not use."""

from functools import partial
from typing import Any

import numpy as np

from lfiw_ray.config import TrainConfig
from lfiw_ray.engine.models import finish_model
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.checkpoint import Description
from lfiw_ray.models.registry import build
from lfiw_ray.store import stages


def fit_domain(run: Run, real: Real) -> dict[str, Any]:
    """Train, unless it is done; returns the last epoch's metrics (held-out on the calibration rows)."""
    folder, plan = run.folder("domain"), run.plans["domain"]
    if (done := stages.finished(folder, plan)) is not None:
        return done
    x = np.concatenate([real.x("generator"), real.x("classifier")])
    labels = np.concatenate([real.labels("generator"), real.labels("classifier")])
    description = Description("domain", {"num_classes": int(real.all_labels().max()) + 1}, run.image_shape, {})
    job = TrainJob(
        name="domain",
        build=partial(build, description),
        data=real.share(x, labels),
        held_out=real.share(real.x("calibration"), real.labels("calibration")),
        config=domain_training(run),
        seed=run.config.seed,
        plan=plan,
        folder_url=folder.url,
    )
    trained = fit(job, num_gpus=0)  # in this process, whose machine may have no GPU
    return finish_model(folder, plan, description, trained.files, trained.last)


def domain_training(run: Run) -> TrainConfig:
    """Training of the extractor: short, inside this process, as a launch would take longer than it."""
    return TrainConfig(
        epochs=run.config.evaluate.extractor_epochs,
        batch_size=64,
        warmup_steps=20,
        num_workers=0,
        num_threads=run.config.generator.train.num_threads,
        ema_decay=0.0,
    )
