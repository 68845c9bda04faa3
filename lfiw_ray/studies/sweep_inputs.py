"""The classifiers whose weights a sweep compares, each trained and its pool scored once, whatever the trials.

| input | classifier | where its stages lie |
|---|---|---|
| `own` | the run's | as ever |
| `clean_pixels` | the method as published: one classifier of clean pixels | `naive_classifier/`, `naive_weights/` |
| `pixels`, `features`, `both` | the run's configuration with another `classifier.input` | `inputs/<input>/<stage>/` |

A further classifier is the run itself seen with another `classifier` section: it learns from the same real rows and
the same `fit_samples/` and scores the same `samples/`, by the stages that make the run's own.  A stage whose plan is
the run's is the run's, so that features are extracted once.  They lie beside `sweep/`, not in it, and outlive it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import ray

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core import calibration
from lfiw_ray.core.calibration import KINDS, Calibration
from lfiw_ray.core.digest import digest
from lfiw_ray.data.image_data import fingerprint
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.committee import TUNING, committee_of, read_json
from lfiw_ray.engine.external import identity
from lfiw_ray.engine.features import classifier_extractor
from lfiw_ray.engine.fill_pool import fill_pool, fill_training_rows, needs_training_rows
from lfiw_ray.engine.fit_classifier import fit_classifier
from lfiw_ray.engine.fit_domain import fit_domain
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.score import load_classifier, score
from lfiw_ray.errors import ConfigError
from lfiw_ray.store import shards, stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.studies.sweep_trial import Scored

STREAM = "score: rows that calibrate a sweep"
_ITS_OWN = ("features/real", "features/fit_samples", "features/samples", "classifier", "weights")


class Input(NamedTuple):
    """A classifier of a sweep: the run as it sees it, and the names of its stages there."""

    name: str
    run: Run
    classifier: str = "classifier"
    weights: str = "weights"


def inputs_of(run: Run, real: Real, names: Sequence[str]) -> list[Input]:
    """The inputs of a sweep; makes nothing.

    Raises
    ------
    ConfigError
        One is not possible beside this run, or two are the same classifier.
    """
    found = [_input(run, real, name) for name in names]
    plans: dict[str, str] = {}
    for one in found:
        other = plans.setdefault(one.run.plans[one.weights], one.name)
        if other != one.name:
            raise ConfigError(f"sweep.inputs: {other} and {one.name} are the same classifier here; leave one out")
    return found


def _input(run: Run, real: Real, name: str) -> Input:
    if name == "own":
        return Input(name, run)
    if name == "clean_pixels" and run.config.evaluate.naive:
        return Input(name, run, "naive_classifier", "naive_weights")
    own = run.config.classifier
    return Input(
        name,
        seen_with(run, real, name, own.on_clean_pixels() if name == "clean_pixels" else _with_input(own, name)),
    )


def _with_input(config: ClassifierConfig, name: str) -> ClassifierConfig:
    return config.model_copy(update={"input": name})


def seen_with(run: Run, real: Real, name: str, classifier: ClassifierConfig) -> Run:
    """The run with another classifier, whose own stages lie in `inputs/<name>/`.

    Raises
    ------
    ConfigError
        Such a classifier needs other generated rows than the run has.
    """
    config = run.config.model_copy(update={"classifier": classifier})
    plans = stage_plans(config, fingerprint(real.data), identity(config.generator))
    if any(plans[shared] != run.plans[shared] for shared in ("fit_samples", "samples")):
        raise ConfigError(
            f"sweep.inputs: {name} is trained on samples outside the pool, and this run has none (classifier.folds); "
            "set evaluate.naive, or leave it out"
        )
    own = [stage for stage in _ITS_OWN if stage in plans and plans[stage] != run.plans.get(stage)]
    return run._replace(config=config, plans=plans, places={stage: f"inputs/{name}/{stage}" for stage in own})


def prepare(run: Run, real: Real, one: Input) -> None:
    """Train and score with an input's classifier, unless that is done; the run's own must be done.

    Raises
    ------
    ConfigError
        The run has not scored its pool.
    """
    if one.run is run:
        table = run.table(one.weights)
        if missing := len(shards.pending(table)):
            raise ConfigError(
                f"{table.url} lacks {missing} of {table.layout.num_shards} shards; run jobs/score.py before the sweep"
            )
        return
    if one.run.reads_features and one.run.config.classifier.extractor == "domain":
        fit_domain(run, real)
    if needs_training_rows(one.run):
        fill_training_rows(one.run, real)
    fit_classifier(one.run, real)
    fill_pool(one.run)


def scored(one: Input, x: Any, split: str) -> Scored:
    """The pool as an input's classifier sees it, with all calibrators, fitted once.

    Parameters
    ----------
    x : reference to the real rows (n, H, W, C) uint8 that calibrate, which no classifier has seen.
    split : what decides which rows they are.
    """
    folder = one.run.folder(f"inputs/{one.name}/calibration")
    plan = digest({"stage": "sweep calibration", "before": [one.run.plans[one.classifier]], "split": split})
    found = stages.finished(folder, plan)
    if found is None:
        with unwrapped(f"calibrating {one.name} for the sweep"):
            found = ray.get(_calibrate.options(num_gpus=one.run.config.num_gpus).remote(one, x))
        stages.finish(folder, plan, {}, found)
    return Scored(one.run.table(one.weights), {kind: Calibration.from_json(found[kind]) for kind in KINDS})


@ray.remote
def _calibrate(one: Input, x: np.ndarray) -> dict[str, Any]:
    logits, y = calibration_rows(one, x)
    return {kind: calibration.fit(logits, y, kind).to_json() for kind in KINDS}


def calibration_rows(one: Input, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raw logits (n,) float64, nats, and y, of rows that no classifier has seen and that are not in the pool.

    Real ones are those given, generated ones the tuning rows of `fit_samples/`.  A row is judged as a row of the pool
    is, by the mean logit of the members of one fold: real row i and tuning row i by those of fold i mod K.
    """
    run, committee = one.run, committee_of(one.run, one.classifier)
    real, generated = np.empty(len(x)), []
    sees_features = run.classifier_config(one.classifier).input != "pixels"
    features = classifier_extractor(run)().extract(x).features if sees_features else None
    for fold, members in enumerate(committee):
        ids = np.arange(fold, len(x), len(committee), dtype=np.int64)
        logits = []
        for member in members:
            model = load_classifier(member.url, run.device)
            given = tuple(x[ids] if name == "x" else features[ids] for name in model.inputs)  # type: ignore[index]
            logits.append(score(model, given, ids, member.seed, run.config.score.batch_size, STREAM))
        real[ids] = np.mean(logits, axis=0, dtype=np.float64)
        generated.append(np.mean([read_json(Folder(member.url), TUNING) for member in members], axis=0))
    rows = np.concatenate([real, *generated])
    return rows, (np.arange(len(rows)) < len(real)).astype(np.float64)
