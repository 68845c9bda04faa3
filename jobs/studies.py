"""Studies of known answer, which need no data: writes studies/.

python jobs/studies.py --studies.names='[toy, estimators, telescoping, gaussians]'
"""

from job import main

from lfiw_ray.engine.run import Real, Run
from lfiw_ray.studies.run import run_studies


def work(run: Run, real: Real) -> list[str]:  # noqa: ARG001
    """Run the studies; returns what each is and where its results are."""
    return [f"{about['title']}: {about['url']}" for about in run_studies(run, run.config.studies.names).values()]


if __name__ == "__main__":
    main(work, __doc__)
