"""Train the generator on its split of the real data: writes generator/."""

from job import main

from lfiw_ray.engine.fit_generator import fit_generator
from lfiw_ray.engine.run import Real, Run


def work(run: Run, real: Real) -> list[str]:
    """Train; returns the metrics of the last epoch."""
    return [f"{name:16s} {value:.6g}" for name, value in fit_generator(run, real).items()]


if __name__ == "__main__":
    main(work, __doc__)
