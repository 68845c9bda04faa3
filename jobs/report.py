"""Write the report of a finished run again: report/index.html."""

from job import main

from lfiw_ray.engine.run import Real, Run
from lfiw_ray.pipeline import write_report


def work(run: Run, real: Real) -> list[str]:
    """Write the page; returns its address."""
    return [write_report(run, real)]


if __name__ == "__main__":
    main(work, __doc__)
