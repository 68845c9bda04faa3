"""Stage: the evaluation's figures against alpha, against ESS and against k, and a check for memorised rows.

All rows are those that the evaluation has embedded already, in its first feature space, pool by pool:

- FID and KID of the weighted arm, the first n rows of each pool with weights w^alpha.  alpha = 0 is raw samples.
- KID of Gumbel-top-k with k = n / 8 .. n rows, as they are and with their Horvitz-Thompson weights.  The selections
  are nested.  FID is left out: its bias falls with k, while KID's mean does not depend on it.

Standard errors are over the pools.  The heaviest samples of the whole pool, and as many of its first, are compared with
real rows by `memorisation`.
"""

from typing import Any, NamedTuple

import numpy as np
import ray

from lfiw_ray.core import frechet, kernel_distance, moments, noise, topk
from lfiw_ray.core.forms import Form
from lfiw_ray.core.frechet import Target
from lfiw_ray.engine import curve_files, embed, features
from lfiw_ray.engine.arms import GUMBEL_STREAM
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.evaluation_rows import distinct_ids, pool_rows
from lfiw_ray.engine.extremes import extremes
from lfiw_ray.engine.measure import over_repeats
from lfiw_ray.engine.read import gather_images, read_log_w
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.studies import memorisation

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
PARTS_OF_N = (8, 4, 2, 1)
SPACE_OF_COPIES = "random"
NUM_SAMPLES = 256  # heaviest ones; fewer of a small pool, so that they are the heaviest of many
MIN_POOL_PER_SAMPLE = 16
MAX_REAL_ROWS = 8192  # of each kind
NUM_SHOWN = 8


class _Compared(NamedTuple):
    """The real rows in a feature space."""

    features: np.ndarray
    target: Target
    kernel_mean: float


def evaluation_curves(run: Run, real: Real, form: Form) -> dict[str, Any]:
    """Compute them, unless it is done; needs the evaluation.

    Returns
    -------
    dict of plain values: `extractor`, `num_features`, `weights_sha256`, `num_rows` n, `num_repeats`, `pool_rows`,
    `alpha` in use; `by_alpha`: a list of {"alpha", "fid", "kid", "ess": {"mean", "se", "values"}}; `by_k`: a list of
    {"k", "gumbel", "gumbel_ht": KID as {"mean", "se", "values"}}; `memorisation`: {"extractor", "weights_sha256",
    "num_train", "num_held_out", "num_shown", "heaviest", "raw": see `memorisation.shares`, "shown": a list of
    {"sample_id", "distance_train", "distance_held_out"}}.
    """
    if (done := curve_files.finished(run)) is not None:
        return done
    name = run.config.evaluate.extractors[0]
    about = embed.embed(run, real)[name]  # the evaluation has done it: this only says with what
    with unwrapped("curves"):
        compared = _compared.remote(run, name, embed.num_real_rows(run, real))
        pools = [_pool.remote(run, form, name, repeat, compared) for repeat in range(run.config.evaluate.num_repeats)]
        measured = ray.get(pools)
        copies, x = ray.get(_copies.remote(run, _heaviest(run), *real.share(*_real_images(run, real))))
    found = {
        "extractor": name,
        "num_features": about["num_features"],
        "weights_sha256": about["weights_sha256"],
        "num_rows": run.evaluation_rows,
        "num_repeats": len(measured),
        "pool_rows": pool_rows(run),
        "alpha": form.alpha,
        "by_alpha": [_joined("alpha", points) for points in zip(*(pool["by_alpha"] for pool in measured), strict=True)],
        "by_k": [_joined("k", points) for points in zip(*(pool["by_k"] for pool in measured), strict=True)],
        "memorisation": copies,
    }
    return curve_files.write(run, found, x)


def _joined(key: str, points: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """One point of a curve over the pools."""
    numbers = [{name: value for name, value in point.items() if name != key} for point in points]
    return {key: points[0][key], **over_repeats(numbers)}


@ray.remote
def _compared(run: Run, extractor: str, num_rows: int) -> _Compared:
    rows, _ = embed.real_features(run, extractor, num_rows)
    return _Compared(rows.features, frechet.target_of(moments.of(rows.features)), kernel_distance.within(rows.features))


@ray.remote
def _pool(run: Run, form: Form, extractor: str, repeat: int, real: _Compared) -> dict[str, list[dict[str, Any]]]:
    """Both curves of one pool."""
    size, n = pool_rows(run), run.evaluation_rows
    start = repeat * size
    log_w = read_log_w(run.table("weights"), start, start + size)
    found, distinct = embed.pool_features(run, extractor, repeat).features, distinct_ids(run, repeat)
    first = found[_places(distinct, start + np.arange(n))]
    by_alpha = [{"alpha": alpha, **_distances(real, first, Form(alpha).apply(log_w[:n]))} for alpha in ALPHAS]
    flat, by_k = form.apply(log_w), []
    for k in sorted({max(n // part, 2) for part in PARTS_OF_N}):
        top = topk.finish(topk.init(flat, start, k, run.config.seed, GUMBEL_STREAM))
        rows = found[_places(distinct, top.sample_ids)]
        by_k.append({"k": k, "gumbel": _kid(real, rows, None), "gumbel_ht": _kid(real, rows, np.log(top.weight))})
    return {"by_alpha": by_alpha, "by_k": by_k}


def _places(distinct: np.ndarray, sample_ids: np.ndarray) -> np.ndarray:
    """Where sample ids lie among those that are embedded."""
    where = np.searchsorted(distinct, sample_ids)
    assert np.array_equal(distinct[np.minimum(where, len(distinct) - 1)], sample_ids), "rows that no arm has"
    return where


def _distances(real: _Compared, rows: np.ndarray, log_w: np.ndarray) -> dict[str, float]:
    seen = moments.of(rows, log_w)
    return {"fid": frechet.to_target(real.target, seen), "kid": _kid(real, rows, log_w), "ess": moments.ess(seen)}


def _kid(real: _Compared, rows: np.ndarray, log_w: np.ndarray | None) -> float:
    return kernel_distance.distance(real.features, rows, log_w, real.kernel_mean)


def _heaviest(run: Run) -> np.ndarray:
    """Sample ids of the heaviest samples of all pools, heaviest first."""
    return extremes(run, max(1, min(NUM_SAMPLES, run.config.generate.num_samples // MIN_POOL_PER_SAMPLE))).top_ids


def _real_images(run: Run, real: Real) -> tuple[np.ndarray, np.ndarray]:
    """Images that trained the generator, and held-out ones, drawn by seed where there are many."""
    parts = [real.x(name) for name in ("generator", "evaluation")]
    orders = [noise.generator(run.config.seed, "memorisation rows", i).permutation(len(x)) for i, x in enumerate(parts)]
    train, held_out = (x[np.sort(order[:MAX_REAL_ROWS])] for x, order in zip(parts, orders, strict=True))
    return train, held_out


@ray.remote
def _copies(
    run: Run, heaviest: np.ndarray, train_x: np.ndarray, held_out_x: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """The comparison, and the images of the first few: heaviest samples, their nearest training and held-out rows."""
    extractor, samples = features.build_extractor(run, SPACE_OF_COPIES), run.table("samples")
    extract = extractor.extract
    train, held_out = extract(train_x).features, extract(held_out_x).features
    order = np.argsort(heaviest)
    heavy_x = np.empty_like(train_x, shape=(len(heaviest), *run.image_shape))
    heavy_x[order] = gather_images(samples, heaviest[order])
    found: dict[str, Any] = {}
    near: dict[str, tuple[memorisation.Nearest, memorisation.Nearest]] = {}
    for name, x in (("heaviest", heavy_x), ("raw", gather_images(samples, np.arange(len(heaviest))))):
        seen = extract(x).features
        near[name] = memorisation.nearest(seen, train), memorisation.nearest(seen, held_out)
        found[name] = memorisation.shares(*near[name], len(train), len(held_out))
    shown, (to_train, to_held_out) = min(NUM_SHOWN, len(heaviest)), near["heaviest"]
    found["shown"] = [
        {
            "sample_id": int(heaviest[i]),
            "distance_train": float(to_train.distance[i]),
            "distance_held_out": float(to_held_out.distance[i]),
        }
        for i in range(shown)
    ]
    sizes = {"num_train": len(train), "num_held_out": len(held_out), "num_shown": shown}
    x = np.concatenate([heavy_x[:shown], train_x[to_train.row[:shown]], held_out_x[to_held_out.row[:shown]]])
    return {"extractor": SPACE_OF_COPIES, "weights_sha256": extractor.weights_sha256, **sizes, **found}, x
