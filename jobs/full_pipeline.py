"""The whole job: train, generate, score, diagnose, resample, evaluate, use, report.

python jobs/full_pipeline.py                                  # embedded data, local Ray
python jobs/full_pipeline.py --config jobs/configs/FILE.yaml --run s3://bucket/run
"""

from job import main

from lfiw_ray import pipeline
from lfiw_ray.engine.cost import cost_lines
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.summary import code_length_line, summarise


def work(run: Run, real: Real) -> list[str]:
    """Run all stages; returns the lines to print at the end."""
    results = pipeline.run_pipeline(run, real)
    lines = summarise(results.weighed.diagnostics, results.weighed.calibration, results.evaluation)
    if results.weighed.code_length is not None:
        lines.insert(0, code_length_line(results.weighed.code_length))
    if results.downstream is not None:
        lines.append(f"downstream   {results.downstream['verdict']}")
    return [*lines, *cost_lines(run), f"report       {results.report_url}"]


if __name__ == "__main__":
    main(work, __doc__)
