"""Semi-supervised classification with the semantic loss, as a Ray Tune sweep: writes downstream/.

Needs a finished resampled/ (jobs/resample.py).
"""

from job import main

from lfiw_ray.engine.run import Real, Run
from lfiw_ray.studies.downstream import downstream


def work(run: Run, real: Real) -> list[str]:
    """Run the sweep; returns the accuracy of each arm and the verdict."""
    found = downstream(run, real)
    lines = [f"{arm:10s} accuracy {a['mean']:.4f} +- {a['se']:.4f}" for arm, a in found["arms"].items()]
    return [*lines, found["verdict"]]


if __name__ == "__main__":
    main(work, __doc__)
