"""The figures of one set of rows against the real rows of the same feature space, and their summary over repeats.

What all comparisons with the same real rows share (their moments, the sum of their kernel, the balls of their
neighbours) is computed once, as a `Reference`.  Every set that is compared is one of equal size N; standard errors
are over disjoint pools.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.core import (
    class_histogram,
    codebook,
    frechet,
    inception_score,
    infinity,
    intervals,
    kernel_distance,
    kl_reduction,
    manifold,
    moments,
    two_sample,
)
from lfiw_ray.core.frechet import Target
from lfiw_ray.core.kernels import Rbf, as_wide_as
from lfiw_ray.core.kl_reduction import Histogram
from lfiw_ray.core.moments import Moments
from lfiw_ray.core.noise import generator
from lfiw_ray.errors import CollapsedError
from lfiw_ray.models.extractors import Extracted

NUM_SPLITS = 10  # of the field's Inception Score
NUM_BINS = 64  # of the codebook, or one for each 10 rows that it is fitted on


class Reference(NamedTuple):
    """The real rows in one feature space: those compared with, what all comparisons share, and others for the floor."""

    description: dict[str, Any]
    features: np.ndarray
    moments: Moments
    target: Target  # of the moments, with the factor that costs half of a distance
    kernel_mean: float  # over pairs of different rows; the costliest part of a kernel distance
    support: manifold.Support
    class_shares: np.ndarray | None
    others: Extracted
    centres: np.ndarray  # of the codebook, fitted on the others
    bins: Histogram
    made_elsewhere: tuple[np.ndarray, np.ndarray] | None = None  # mean and covariance that others published
    rbf: tuple[Rbf, float] | None = None  # a second kernel, and its mean over pairs of these rows


class Options(NamedTuple):
    """What else is measured, and the random numbers of what draws rows.

    All sets of one `repeat` are measured with the same draws, so that their differences do not depend on them.
    """

    seed: int = 0
    repeat: int = 0
    num_kid_subsets: int = 0
    kid_subset_size: int = 1000
    infinity: bool = False

    def rng(self, what: str) -> np.random.Generator:
        """Random numbers of one metric."""
        return generator(self.seed, f"measure {what}", self.repeat)


PLAIN = Options()


def reference_of(description: dict[str, Any], rows: Extracted, others: Extracted, num_neighbours: int) -> Reference:
    """Everything about real rows that does not depend on what they are compared with, computed once."""
    seen = moments.of(rows.features)
    centres = codebook.centres_of(others.features, min(NUM_BINS, max(len(others.features) // 10, 2)), seed=0)
    return Reference(
        description,
        rows.features,
        seen,
        frechet.target_of(seen),
        kernel_distance.within(rows.features),
        manifold.support(rows.features, num_neighbours),
        None if rows.probabilities is None else class_histogram.of(rows.probabilities),
        others,
        centres,
        codebook.histogram(centres, rows.features),
    )


def with_rbf(real: Reference, width: float | str) -> Reference:
    """The same with a Gaussian kernel of this width, in units of the features, or as wide as the rows are apart."""
    kernel = as_wide_as(real.features) if isinstance(width, str) else Rbf(width)
    return real._replace(rbf=(kernel, kernel_distance.within(real.features, kernel=kernel)))


def measure(
    real: Reference,
    found: Extracted,
    log_w: np.ndarray | None,
    options: Options = PLAIN,
    raw: Histogram | None = None,
) -> dict[str, Any]:
    """All metrics of one set (weighted by log_w, nats, where given) against the real rows of the same space.

    Rows of weight zero are as if absent.

    Parameters
    ----------
    raw : `bins_of` the raw rows of the same pool, for `kl_reduction_bins_nats`.

    Raises
    ------
    CollapsedError
        One row holds all of the weight, in float64.
    """
    if log_w is not None:
        found, log_w = _with_weight(found, log_w)
    seen = _moments_of(found.features, log_w)
    near = manifold.compare(real.support, found.features, log_w)
    out: dict[str, Any] = {
        "fid": frechet.to_target(real.target, seen),
        "kid": kernel_distance.distance(real.features, found.features, log_w, real.kernel_mean),
        **near._asdict(),
        "ess": moments.ess(seen),
    }
    told_apart = two_sample.classifier_test(real.features, found.features, log_w, options.rng("c2st"))
    out["c2st_accuracy"] = told_apart.accuracy
    if real.made_elsewhere is not None:
        out["fid_npz"] = frechet.gaussian_distance(*real.made_elsewhere, *moments.finish(seen))
    if raw is not None:
        out["kl_reduction_bins_nats"] = kl_reduction.of_bins(real.bins, raw, bins_of(real, found, log_w))
    out |= _asked_for(real, found, log_w, options)
    if real.class_shares is not None and found.probabilities is not None:
        out |= _of_classes(real.class_shares, found.probabilities, log_w, options)
    return out


def _asked_for(real: Reference, found: Extracted, log_w: np.ndarray | None, options: Options) -> dict[str, float]:
    """The costly ones."""
    out = {}
    if real.rbf is not None:
        kernel, own = real.rbf
        out["kid_rbf"] = kernel_distance.distance(real.features, found.features, log_w, own, kernel)
    if options.num_kid_subsets:
        drawn = options.rng("kid subsets"), options.num_kid_subsets, options.kid_subset_size
        out["kid_subsets"] = kernel_distance.subsets(real.features, found.features, log_w, *drawn).mean
    if options.infinity:
        line = infinity.fid(real.moments, found.features, log_w, options.rng("fid infinity"))
        out["fid_infinity"] = line.intercept
    return out


def _moments_of(features: np.ndarray, log_w: np.ndarray | None) -> Moments:
    seen = moments.of(features, log_w)
    if not moments.ess(seen) > 1:
        raise CollapsedError("a single row holds all of the weight, which leaves no spread to measure")
    return seen


@contextmanager
def naming(arm: str, repeat: int, remedy: str) -> Iterator[None]:
    """Let a collapsed set be told by its arm and its pool, with what to do."""
    try:
        yield
    except CollapsedError as err:
        raise CollapsedError(f"arm {arm}, pool {repeat}: {err}: {remedy}") from err


def bins_of(real: Reference, found: Extracted, log_w: np.ndarray | None) -> Histogram:
    """How a set, weighted by log_w (nats) where given, spreads over the bins of the real rows' codebook."""
    return codebook.histogram(real.centres, found.features, log_w)


def _with_weight(found: Extracted, log_w: np.ndarray) -> tuple[Extracted, np.ndarray]:
    kept = log_w != -np.inf
    probabilities = None if found.probabilities is None else found.probabilities[kept]
    return Extracted(found.features[kept], probabilities), log_w[kept]


def _of_classes(
    real_shares: np.ndarray, probabilities: np.ndarray, log_w: np.ndarray | None, options: Options
) -> dict[str, Any]:
    """What an extractor that knows classes says."""
    shares = class_histogram.of(probabilities, log_w)
    splits = inception_score.over_splits(probabilities, log_w, min(NUM_SPLITS, len(probabilities)))
    out: dict[str, Any] = {
        "inception_score": inception_score.finish(inception_score.of(probabilities, log_w)),
        "inception_score_splits": splits.mean,
        "class_tv": class_histogram.total_variation(shares, real_shares),
        "class_shares": shares.tolist(),
    }
    if options.infinity:
        out["is_infinity"] = infinity.score(probabilities, log_w, options.rng("is infinity")).intercept
    return out


def over_repeats(repeats: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each metric the `mean` over the repeats, its standard error `se`, the `values`, and a 95 % interval."""
    return {name: summary([r[name] for r in repeats]) for name in repeats[0]}


def summary(values: list[Any]) -> dict[str, Any]:
    """Mean and standard error over the repeats, and the values: numbers, or lists of one length.

    Of at least 3 numbers also `low` and `high`, the ends of the mean's bootstrap interval of 95 %.
    """
    table = np.array(values, np.float64)
    se = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    out = {"mean": table.mean(axis=0).tolist(), "se": se.tolist(), "values": table.tolist()}
    interval = intervals.of_mean(table, seed=0) if table.ndim == 1 else None
    return out if interval is None else {**out, "low": interval[0], "high": interval[1]}


def improvement(arms: Mapping[str, Any]) -> dict[str, Any]:
    """Raw against SIR by FID, paired by pool: the difference, its standard error, and their ratio."""
    raw, sir = (np.array(arms[name]["fid"]["values"]) for name in ("raw", "sir"))
    difference = summary((raw - sir).tolist())
    z = difference["mean"] / difference["se"] if difference["se"] else None
    return {
        "metric": "fid",
        "raw": {k: arms["raw"]["fid"][k] for k in ("mean", "se")},
        "resampled": {k: arms["sir"]["fid"][k] for k in ("mean", "se")},
        "difference": {"mean": difference["mean"], "se": difference["se"], "z": z},
    }
