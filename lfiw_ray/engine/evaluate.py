"""Stage: how far each arm is from the real evaluation rows, in each feature space, over disjoint pools.

Every repeat is one task: it reads its pool's weights, chooses the rows of all arms, gathers and embeds those
rows only, and returns numbers.  Standard errors are over the pools; the real rows and the trained models are the
same in all of them.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import ray

from lfiw_ray.core import class_histogram, frechet, inception_score, kernel_distance, manifold, moments
from lfiw_ray.core.forms import Form
from lfiw_ray.core.moments import Moments
from lfiw_ray.engine import features
from lfiw_ray.engine.arms import ARMS, Arm, Rows, arms_of, choose_rows
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.read import gather_images, read_log_w
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import stages

NAME = "results.json"


class Reference(NamedTuple):
    """The real rows in one feature space: those compared with, what all comparisons share, and others for the floor."""

    description: dict[str, Any]
    features: np.ndarray
    moments: Moments
    kernel_mean: float  # over pairs of different rows; the costliest part of a kernel distance
    support: manifold.Support
    class_shares: np.ndarray | None
    others: Extracted


def reference_of(description: dict[str, Any], rows: Extracted, others: Extracted, num_neighbours: int) -> Reference:
    """Everything about real rows that does not depend on what they are compared with, computed once."""
    return Reference(
        description,
        rows.features,
        moments.of(rows.features),
        kernel_distance.within(rows.features),
        manifold.support(rows.features, num_neighbours),
        None if rows.probabilities is None else class_histogram.of(rows.probabilities),
        others,
    )


def evaluate(run: Run, real: Real, form: Form) -> dict[str, Any]:
    """Evaluate, unless it is done; returns the contents of results.json."""
    folder, plan, config = run.folder("evaluation"), run.plans["evaluation"], run.config.evaluate
    if (done := stages.finished(folder, plan)) is not None:
        return done
    others = np.concatenate([real.x("generator"), real.x("classifier")])[: run.evaluation_rows]
    images = real.share(real.x("evaluation"), others)
    options: dict[str, Any] = {"num_gpus": run.config.num_gpus}
    with unwrapped("evaluation"):
        references: dict[str, Any] = {
            name: _embed_real.options(**options).remote(run, name, *images) for name in config.extractors
        }
        repeats = [
            _repeat.options(**options).remote(run, form, repeat, list(references), *references.values())
            for repeat in range(config.num_repeats)
        ]
        measured = [ray.get(repeat) for repeat in repeats]
        spaces: dict[str, Any] = {
            name: _space(ray.get(references[name]), [m[name] for m in measured]) for name in references
        }
    body = {
        "num_rows": run.evaluation_rows,
        "num_repeats": config.num_repeats,
        "num_reference_rows": run.num_evaluation_rows,
        "pool_rows": _pool_rows(run),
        "arms": _about(arms_of(config.rivals), form.alpha),
        "extractors": spaces,
        "improvement": {name: improvement(space["arms"]) for name, space in spaces.items()},
        "class_histograms": _class_histograms(spaces),
    }
    return stages.finish(folder, plan, {NAME: json.dumps(body, indent=1, allow_nan=False).encode()}, body)


@ray.remote
def _embed_real(run: Run, name: str, evaluation: np.ndarray, others: np.ndarray) -> Reference:
    extractor = features.build_extractor(run, name)
    rows, floor = extractor.extract(evaluation), extractor.extract(others)
    return reference_of(extractor.describe(), rows, floor, run.config.evaluate.num_neighbours)


@ray.remote
def _repeat(run: Run, form: Form, repeat: int, names: list[str], *references: Reference) -> dict[str, Any]:
    """All arms of one pool in all spaces: {space: {arm: {metric: value}}}."""
    size, n = _pool_rows(run), run.evaluation_rows
    start = repeat * size
    log_w = read_log_w(run.table("weights"), start, start + size)
    naive_log_w = read_log_w(run.naive_table, start, start + size)
    arms = choose_rows(log_w, naive_log_w, start, n, form.apply, run.config.seed, run.config.evaluate.rivals)
    wanted = np.unique(np.concatenate([rows.sample_ids for rows in arms.values()]))
    images = cache(partial(gather_images, run.table("samples"), wanted))
    out = {}
    for name, reference in zip(names, references, strict=True):
        embedded = embed_pool(run, name, reference.description, wanted, images)
        out[name] = {arm: measure(reference, *_rows_of(embedded, wanted, rows)) for arm, rows in arms.items()}
        for arm, rows in arms.items():
            out[name][arm]["distinct"] = float(len(np.unique(rows.sample_ids)))
    return out


def embed_pool(
    run: Run, name: str, description: Mapping[str, Any], sample_ids: np.ndarray, images: Callable[[], np.ndarray]
) -> Extracted:
    """Rows of the pool in a feature space: read where the classifier's table is of the same extractor."""
    if features.pool_has(run, description):
        return features.gather_features(run.table("features/samples"), sample_ids)
    return features.build_extractor(run, name).extract(images())


def _rows_of(embedded: Extracted, wanted: np.ndarray, rows: Rows) -> tuple[Extracted, np.ndarray | None]:
    """The rows of an arm, repeats included, found by sample id among the embedded ones."""
    where = np.searchsorted(wanted, rows.sample_ids)
    probabilities = None if embedded.probabilities is None else embedded.probabilities[where]
    return Extracted(embedded.features[where], probabilities), rows.log_w


def measure(real: Reference, found: Extracted, log_w: np.ndarray | None) -> dict[str, Any]:
    """All metrics of one set (weighted by log_w, nats, where given) against the real rows of the same space."""
    seen = moments.of(found.features, log_w)
    near = manifold.compare(real.support, found.features, log_w)
    out: dict[str, Any] = {
        "fid": frechet.distance(real.moments, seen),
        "kid": kernel_distance.distance(real.features, found.features, log_w, real.kernel_mean),
        **near._asdict(),
        "ess": moments.ess(seen),
    }
    if real.class_shares is not None and found.probabilities is not None:
        shares = class_histogram.of(found.probabilities, log_w)
        out["inception_score"] = inception_score.finish(inception_score.of(found.probabilities, log_w))
        out["class_tv"] = class_histogram.total_variation(shares, real.class_shares)
        out["class_shares"] = shares.tolist()
    return out


def _space(reference: Reference, repeats: list[Any]) -> dict[str, Any]:
    """One feature space: what it is, the floor set by real rows, and every arm's figures over the repeats."""
    floor = measure(reference, reference.others, None)
    description = reference.description
    return {
        "description": f"{description['name']}: {description['num_features']} features",
        "weights_sha256": description["weights_sha256"],
        "inception_score_note": description["no_probabilities"],
        "real": {"num_rows": len(reference.others.features), **floor},
        "arms": {arm: _over_repeats([r[arm] for r in repeats]) for arm in repeats[0]},
        "arm_order": list(repeats[0]),
    }


def _over_repeats(repeats: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: _summary([r[name] for r in repeats]) for name in repeats[0]}


def _summary(values: list[Any]) -> dict[str, Any]:
    """Mean and standard error over the repeats, and the values."""
    table = np.array(values, np.float64)
    se = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    return {"mean": table.mean(axis=0).tolist(), "se": se.tolist(), "values": table.tolist()}


def improvement(arms: Mapping[str, Any]) -> dict[str, Any]:
    """Raw against SIR by FID, paired by pool: the difference, its standard error, and their ratio."""
    raw, sir = (np.array(arms[name]["fid"]["values"]) for name in ("raw", "sir"))
    difference = _summary((raw - sir).tolist())
    z = difference["mean"] / difference["se"] if difference["se"] else None
    return {
        "metric": "fid",
        "raw": {k: arms["raw"]["fid"][k] for k in ("mean", "se")},
        "resampled": {k: arms["sir"]["fid"][k] for k in ("mean", "se")},
        "difference": {"mean": difference["mean"], "se": difference["se"], "z": z},
    }


def _class_histograms(spaces: Mapping[str, Any]) -> dict[str, list[float]]:
    """Share of each predicted class per arm, from the first space that knows classes."""
    for space in spaces.values():
        if "class_shares" in space["real"]:
            shares = {arm: space["arms"][arm]["class_shares"]["mean"] for arm in space["arm_order"]}
            return {"real": space["real"]["class_shares"], **shares}
    return {}


def _pool_rows(run: Run) -> int:
    """Rows of each of the disjoint pools."""
    return run.config.generate.num_samples // run.config.evaluate.num_repeats


def _about(arms: Mapping[str, Arm], alpha: float) -> dict[str, Any]:
    """What each arm is, for readers."""
    return {name: {**arm._asdict(), "alpha": _alpha_of(name, alpha)} for name, arm in arms.items()}


def _alpha_of(name: str, alpha: float) -> float | None:
    if name in ("raw", "uniform"):
        return None
    return 1.0 if ARMS[name].naive else alpha
