"""Generate the pool without scoring it: writes samples/.  Needs a finished generator/ (jobs/train_generator.py)."""

from job import main

from lfiw_ray.engine.fill_pool import fill_samples
from lfiw_ray.engine.run import Real, Run


def work(run: Run, real: Real) -> list[str]:  # noqa: ARG001
    """Generate; returns what was done."""
    return [f"{name:16s} {value:,.1f}" for name, value in fill_samples(run).items()] or ["nothing was left to do"]


if __name__ == "__main__":
    main(work, __doc__)
