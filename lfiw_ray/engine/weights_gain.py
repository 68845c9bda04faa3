"""How much nearer to the data the weights bring the model, in nats: one number of the run (`core.kl_reduction`).

The classifiers score the real rows of the evaluation split, which no model has seen, as they scored the pool.
"""

from typing import Any

import numpy as np
import ray

from lfiw_ray.core import kl_reduction
from lfiw_ray.core.forms import Form
from lfiw_ray.engine.committee import committee_of
from lfiw_ray.engine.features import classifier_extractor, description, refuse_other_weights
from lfiw_ray.engine.read import spread_log_w
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.score import load_classifier, score
from lfiw_ray.store import stages

STREAM = "score evaluation rows"
_MAX_REAL = 10_000
_POOL_BLOCKS = 128  # of 8,192 rows, spread evenly over the pool


def weights_gain(run: Run, real: Real, form: Form) -> dict[str, Any] | None:
    """KL(data || raw) - KL(data || weighted) of the weights in the form that is used, nats, with its standard error.

    None where the weights were not made by a classifier of this run.
    """
    if stages.finished(run.folder("classifier"), run.plans["classifier"]) is None:
        return None
    (images,) = real.share(real.x("evaluation")[:_MAX_REAL])
    found: dict[str, Any] = ray.get(_gain.options(num_gpus=run.config.num_gpus).remote(run, form, images))
    return found


@ray.remote
def _gain(run: Run, form: Form, images: np.ndarray) -> dict[str, Any]:
    real, pool = form.apply(real_log_w(run, images)), form.apply(spread_log_w(run.table("weights"), _POOL_BLOCKS))
    found = kl_reduction.of_weights(real, pool)
    return {
        "value": found.mean,
        "se": found.se,
        "alpha": form.alpha,
        "num_real_rows": len(real),
        "num_pool_rows": len(pool),
    }


def real_log_w(run: Run, x: np.ndarray) -> np.ndarray:
    """(n,) float64 log weights, nats, of real images; with cross-fitting row t is weighed by fold t mod K."""
    committee, out = committee_of(run), np.empty(len(x))
    known = {"x": x, **({"features": _features(run, x)} if run.reads_features else {})}
    for fold, members in enumerate(committee):
        ids = np.arange(fold, len(x), len(committee))
        parts = []
        for member in members:
            model = load_classifier(member.url, run.device)
            inputs = tuple(known[name][ids] for name in model.inputs)
            parts.append(member.log_w(score(model, inputs, ids, member.seed, run.config.score.batch_size, STREAM)))
        out[ids] = np.mean(parts, axis=0)
    return out


def _features(run: Run, x: np.ndarray) -> np.ndarray:
    """Features of the classifier's kind."""
    extractor = classifier_extractor(run)()
    refuse_other_weights(extractor, description(run)["weights_sha256"])
    return extractor.extract(x).features
