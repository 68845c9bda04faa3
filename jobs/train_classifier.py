"""Train and calibrate the classifiers of real against generated: writes fit_samples/ and (naive_)classifier/.

Frozen features are kept in features/, and cross-fitting trains on samples/, which is generated first.
Needs a finished generator/ (jobs/train_generator.py).
"""

from job import main

from lfiw_ray.engine.fill_pool import fill_fit_samples, fill_training_rows
from lfiw_ray.engine.fit_classifier import fit_classifier
from lfiw_ray.engine.fit_domain import fit_domain
from lfiw_ray.engine.run import Real, Run


def work(run: Run, real: Real) -> list[str]:
    """Train; returns the calibration's figures."""
    fill_fit_samples(run)
    if run.reads_features and run.config.classifier.extractor == "domain":
        fit_domain(run, real)
    fill_training_rows(run, real)
    figures = fit_classifier(run, real)
    if run.config.evaluate.naive:
        fit_classifier(run, real, "naive_classifier")
    return [f"{name:24s} {value}" for name, value in figures.items() if name != "bins"]


if __name__ == "__main__":
    main(work, __doc__)
