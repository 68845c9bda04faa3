"""Diagnose the weights, select rows and gather them: writes diagnostics/, selection/ and resampled/.

Needs finished samples/ and weights/ (jobs/score.py).
"""

from job import main

from lfiw_ray.engine.diagnose import diagnose, form_of, kept_blocks
from lfiw_ray.engine.gather import gather
from lfiw_ray.engine.resample import resample
from lfiw_ray.engine.run import Real, Run


def work(run: Run, real: Real) -> list[str]:  # noqa: ARG001
    """Resample; returns the verdict on the weights and the size of each set."""
    found = diagnose(run)
    chosen, verdict = found["chosen"], found["verdict"]
    lines = [f"alpha {found['alpha']['alpha']:g}  ESS {chosen['ess']:,.0f} of {chosen['n']:,}  k_hat {chosen['k_hat']}"]
    lines += ["gate passed" if verdict["passed"] else "gate FAILED", *verdict["reasons"], *verdict["advice"]]
    sizes = resample(run, form_of(run).apply, kept_blocks(run))
    gather(run)
    return lines + [f"{name}: {size['rows']:,} distinct rows, ESS {size['ess']:,.0f}" for name, size in sizes.items()]


if __name__ == "__main__":
    main(work, __doc__)
