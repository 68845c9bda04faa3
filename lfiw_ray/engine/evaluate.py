"""Stage: how far each arm is from the real rows of the reference, in each feature space, over disjoint pools.

The rows of the arms are chosen (`evaluation_rows`) and their features extracted once (`embed`); then every pool is a
task for each space, which reads the features and returns numbers.  Standard errors are over the pools; the real rows
and the trained models are the same in all of them.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import ray

from lfiw_ray.core.forms import Form
from lfiw_ray.engine import embed, reference
from lfiw_ray.engine.arms import ARMS, Arm, Rows, arms_of
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.evaluation_rows import arms_of_pool, choose, distinct_ids, pool_rows
from lfiw_ray.engine.measure import Options, Reference, bins_of, improvement, measure, naming, over_repeats
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.weights_gain import weights_gain
from lfiw_ray.engine.whole_set import measure_pool
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import stages

NAME = "results.json"

log = logging.getLogger(__name__)


def evaluate(run: Run, real: Real, form: Form) -> dict[str, Any]:
    """Evaluate, unless it is done; returns the contents of results.json."""
    folder, plan, config = run.folder("evaluation"), run.plans["evaluation"], run.config.evaluate
    if (done := stages.finished(folder, plan)) is not None:
        return done
    choose(run, form)
    about = embed.embed(run, real)
    num_real = embed.num_real_rows(run, real)
    with unwrapped("evaluation"):
        references = {name: reference.read.remote(run, name, about[name], num_real) for name in about}
        repeats = {
            name: [_repeat.remote(run, name, repeat, found) for repeat in range(config.num_repeats)]
            for name, found in references.items()
        }
        spaces: dict[str, Any] = {
            name: _space(about[name], ray.get(_floor.remote(references[name])), ray.get(repeats[name]), run)
            for name in references
        }
        gain = weights_gain(run, real, form)
        weights = {name: described["weights_sha256"] for name, described in about.items()}
        whole = measure_pool(run, form, weights, references) if config.whole_pool else {}
        files = {reference.file_name(name): ray.get(reference.kept.remote(references[name])) for name in references}
    body = {
        "num_rows": run.evaluation_rows,
        "num_repeats": config.num_repeats,
        "num_reference_rows": run.num_evaluation_rows,
        "reference": config.reference,
        "settings": config.planned(),
        "pool_rows": pool_rows(run),
        "arms": _about(arms_of(config.rivals), form.alpha),
        "extractors": spaces,
        "improvement": {name: improvement(space["arms"]) for name, space in spaces.items()},
        "class_histograms": _class_histograms(spaces),
        "kl_reduction_nats": gain,
        "whole_pool": whole,
    }
    files[NAME] = json.dumps(body, indent=1, allow_nan=False).encode()
    return stages.finish(folder, plan, files, body)


@ray.remote
def _repeat(run: Run, extractor: str, repeat: int, real: Reference) -> dict[str, dict[str, Any]]:
    """All arms of one pool in one space: {arm: {metric: value}}."""
    found, distinct = embed.pool_features(run, extractor, repeat), distinct_ids(run, repeat)
    arms, options = arms_of_pool(run, repeat), options_of(run, repeat)
    raw = bins_of(real, *_rows_of(found, distinct, arms["raw"]))
    out = {}
    for arm, rows in arms.items():
        with naming(arm, repeat, _remedy(arm)):
            out[arm] = measure(real, *_rows_of(found, distinct, rows), options, raw)
        out[arm]["distinct"] = float(len(np.unique(rows.sample_ids)))
    return out


def _remedy(arm: str) -> str:
    """What a user can do about an arm whose weights collapsed."""
    return "leave it out with evaluate.naive=false" if ARMS[arm].naive else "choose a smaller weights.alpha"


def _rows_of(found: Extracted, distinct: np.ndarray, rows: Rows) -> tuple[Extracted, np.ndarray | None]:
    """The rows of an arm, repeats included, found by sample id among the distinct ones."""
    where = np.searchsorted(distinct, rows.sample_ids)
    probabilities = None if found.probabilities is None else found.probabilities[where]
    return Extracted(found.features[where], probabilities), rows.log_w


def options_of(run: Run, repeat: int) -> Options:
    """What is measured of a pool's arms."""
    config = run.config.evaluate
    return Options(run.config.seed, repeat, config.num_kid_subsets, config.kid_subset_size, config.infinity)


@ray.remote
def _floor(real: Reference) -> dict[str, Any]:
    """The figures of other real rows: what no arm is expected to beat."""
    kernel = {} if real.rbf is None else {"kid_rbf_sigma": real.rbf[0].sigma}
    return {"num_rows": len(real.others.features), **kernel, **measure(real, real.others, None)}


def _space(about: dict[str, Any], floor: dict[str, Any], repeats: list[Any], run: Run) -> dict[str, Any]:
    """One feature space: what it is, the floor set by real rows, and every arm's figures over the repeats."""
    arms = {arm: over_repeats([r[arm] for r in repeats]) for arm in repeats[0]}
    beside = {"num_rows": run.evaluation_rows, "extractor": about["name"], "weights_sha256": about["weights_sha256"]}
    deficient = {arm: _is_rank_deficient(run, figures, about["num_features"]) for arm, figures in arms.items()}
    _warn(about, run.evaluation_rows, {arm: arms[arm] for arm, is_so in deficient.items() if is_so})
    return {
        "description": f"{about['name']}: {about['num_features']} features",
        "num_features": about["num_features"],
        "weights_sha256": about["weights_sha256"],
        "inception_score_note": about["no_probabilities"],
        "real": floor,
        "arms": {arm: {**figures, **beside, "rank_deficient": deficient[arm]} for arm, figures in arms.items()},
        "arm_order": list(repeats[0]),
    }


def _is_rank_deficient(run: Run, figures: Mapping[str, Any], num_features: int) -> bool:
    """Whether a set, or the reference, has a covariance of fewer independent rows than features."""
    fewest = min(run.evaluation_rows, run.num_evaluation_rows, min(figures["ess"]["values"]))
    return bool(fewest <= num_features)


def _warn(about: Mapping[str, Any], num_rows: int, arms: Mapping[str, Any]) -> None:
    if arms:
        named = ", ".join(f"{arm} (ESS {figures['ess']['mean']:,.0f})" for arm, figures in arms.items())
        log.warning(
            "%s: covariances of %d features from fewer rows are rank-deficient, and their FID is far above its limit "
            "for many rows: %s, of %d rows each",
            about["name"],
            about["num_features"],
            named,
            num_rows,
        )


def _class_histograms(spaces: Mapping[str, Any]) -> dict[str, list[float]]:
    """Share of each predicted class per arm, from the first space that knows classes."""
    for space in spaces.values():
        if "class_shares" in space["real"]:
            shares = {arm: space["arms"][arm]["class_shares"]["mean"] for arm in space["arm_order"]}
            return {"real": space["real"]["class_shares"], **shares}
    return {}


def _about(arms: Mapping[str, Arm], alpha: float) -> dict[str, Any]:
    """What each arm is, for readers."""
    return {name: {**arm._asdict(), "alpha": _alpha_of(name, alpha)} for name, arm in arms.items()}


def _alpha_of(name: str, alpha: float) -> float | None:
    if name in ("raw", "uniform"):
        return None
    return 1.0 if ARMS[name].naive else alpha
