"""Measure how far each arm is from the real rows: writes domain/ and evaluation/.

Needs finished samples/, weights/ and diagnostics/ (jobs/score.py, jobs/resample.py).
"""

from job import main

from lfiw_ray.engine.diagnose import diagnose, form_of
from lfiw_ray.engine.evaluate import evaluate
from lfiw_ray.engine.fit_domain import fit_domain
from lfiw_ray.engine.run import Real, Run


def work(run: Run, real: Real) -> list[str]:
    """Evaluate; returns FID and KID of every arm in every feature space, of N rows each."""
    if "domain" in run.config.evaluate.extractors:
        fit_domain(run, real)
    diagnose(run)
    found = evaluate(run, real, form_of(run))
    return [
        f"{space:10s} {arm:16s} FID {figures['fid']['mean']:9.3f} +- {figures['fid']['se']:.3f}  "
        f"KID {figures['kid']['mean']:9.5f} +- {figures['kid']['se']:.5f}  "
        f"N {figures['num_rows']:,}  ESS {figures['ess']['mean']:,.0f}"
        for space, body in found["extractors"].items()
        for arm, figures in body["arms"].items()
    ]


if __name__ == "__main__":
    main(work, __doc__)
