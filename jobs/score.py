"""Score the pool, generating what is missing of it: writes samples/ and weights/.

Needs a finished generator/ and classifier/ (jobs/train_generator.py, jobs/train_classifier.py).
"""

from job import main

from lfiw_ray.engine.fill_pool import fill_pool
from lfiw_ray.engine.run import Real, Run


def work(run: Run, real: Real) -> list[str]:  # noqa: ARG001
    """Generate and score; returns what was done."""
    return [f"{name:16s} {value:,.1f}" for name, value in fill_pool(run).items()] or ["nothing was left to do"]


if __name__ == "__main__":
    main(work, __doc__)
