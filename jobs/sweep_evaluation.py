"""Sweep over alpha, k, scheme, calibrator, classifier input and tail on a scored pool: writes sweep/ and inputs/.

Needs finished weights/ (jobs/score.py).  Example:
python jobs/sweep_evaluation.py --sweep.num_trials=96 --sweep.inputs='[own, clean_pixels]'
"""

from job import main

from lfiw_ray.engine.diagnose import diagnose
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.studies.sweep import sweep


def work(run: Run, real: Real) -> list[str]:
    """Sweep; returns the best trials on validation, and the verdict on test."""
    diagnose(run)
    found = sweep(run, real)
    best = sorted((row for row in found["trials"] if not row["stopped"]), key=lambda row: row["upper"])[:10]
    lines = [
        f"{row['mean']:10.5f} +- {row['se']:.5f}  ESS {row['ess']:8.0f}  {row['input']}, {row['calibrator']}, "
        f"alpha {row['alpha']:g}, tail {row['tail']}, {row['scheme']}, k {row['k']}"
        for row in best
    ]
    title = f"{found['metric'].upper()} on validation, the best of {found['num_trials']} settings:"
    return [title, *lines, found["verdict"]]


if __name__ == "__main__":
    main(work, __doc__)
