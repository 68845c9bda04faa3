"""The toy study of the paper's figures 1 and 2 (Grover et al. 2019): one dimension, everything known.

The data are a mixture of two Gaussians p; the generator q is the one Gaussian of largest likelihood on 1,000 points
of it.  A classifier of 1,000 other real points and 1,000 generated ones estimates P(real | x), whose optimum is
p / (p + q) (Bayes), with pointwise 95 % bands from 1,000 bootstraps of both classes (percentiles).  Then sampling
importance resampling: of k candidates from q one is drawn in proportion to its weight (`core.poolwise`); the law of
the outputs is q at k = 1 and tends to q w / E_q[w] as k grows, which is p for the true weights w = p / q, and as far
from p as the weights are wrong for estimated ones.  That limit and all distances of densities are quadratures.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import expit
from scipy.stats import ks_1samp, norm, wasserstein_distance

from lfiw_ray.core import fresh, noise, poolwise
from lfiw_ray.studies.spline_logistic import basis, bootstrap_counts, fit

NAME = "toy"
TITLE = "One Gaussian for a mixture of two"
LEVEL = 0.95

SHARES, MEANS, SDS = np.array([0.4, 0.6]), np.array([-2.0, 1.5]), np.array([0.7, 1.0])
GRID = np.linspace(-5.0, 5.0, 101)
EDGES = np.linspace(-5.0, 5.0, 51)
_FINE = np.linspace(-16.0, 16.0, 8_001)  # quadrature; both densities are below 1e-12 at its ends


class Sizes(NamedTuple):
    """How much work: `num_points` real and as many generated ones, `ks` candidates of each of `num_outputs`."""

    num_points: int = 1_000
    num_bootstraps: int = 1_000
    num_data_sets: int = 20
    num_coverage_bootstraps: int = 200
    num_outputs: int = 2_000
    num_repeats: int = 10
    ks: tuple[int, ...] = (1, 2, 5, 20, 100, 1_000)


FULL = Sizes()


class Fitted(NamedTuple):
    """One data set's generator, classifier and bootstraps of the classifier."""

    mean: float
    sd: float
    theta: np.ndarray
    """(P,) float64"""
    bootstraps: np.ndarray
    """(B, P) float64"""

    def log_odds(self, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """(N,) or (B, N) float64, nats, of `theta` or `bootstraps`."""
        odds: np.ndarray = theta @ basis(self.mean, self.sd).transform(x[:, None]).T
        return odds

    def true_log_w(self, x: np.ndarray) -> np.ndarray:
        """(N,) float64, nats: log p - log q."""
        ratio: np.ndarray = np.log(real_density(x)) - norm.logpdf(x, self.mean, self.sd)
        return ratio


def study(seed: int, sizes: Sizes = FULL) -> dict[str, Any]:
    """Run it.

    Returns
    -------
    dict of plain values; distances have the unit of x.

    `real` {"shares", "means", "sds"} and `generator` {"mean", "sd"}: the two distributions.
    `num_points`, `num_bootstraps`, `num_outputs`, `num_repeats`, `level`: sizes, and the bands' level.
    `grid`: x of the next ones; `density_real`, `density_generated`; `bayes`, `estimated`, `low`, `high`: P(real | x)
    and its bands.
    `coverage` {"mean", "se", "num_data_sets"}: share of p / 2 + q / 2 on the grid over which the bands hold Bayes'
    probability, over data sets of their own; `log_loss_nats` {"bayes", "estimated"}: expected, by quadrature;
    `mean_w`: E_q of the estimated weights, 1 for true ones.
    `edges`: of the histograms; `sir`: a list over weights ("true", "estimated") and k of {"weights", "k", "density"
    (of the outputs of all repeats, per bin), "wasserstein", "wasserstein_se", "ks", "ks_se"}: distances of
    `num_outputs` outputs to p, mean and standard error over `num_repeats` repeats with candidates of their own and
    the same classifier.
    `limits`: {"true" | "estimated": {"wasserstein", "ks"}}: distance of q w / E_q[w] itself to p; `generated`: the
    same two of q; `floor`: {"wasserstein", "wasserstein_se", "ks", "ks_se"} of as many draws of p itself.
    """
    fitted = fit_toy(seed, 0, sizes.num_points, sizes.num_bootstraps)
    q, log_w = norm.pdf(_FINE, fitted.mean, fitted.sd), fitted.log_odds(_FINE, fitted.theta)
    weighted = q * np.exp(log_w)
    return {
        "real": {"shares": SHARES.tolist(), "means": MEANS.tolist(), "sds": SDS.tolist()},
        "generator": {"mean": fitted.mean, "sd": fitted.sd},
        **{name: getattr(sizes, name) for name in ("num_points", "num_bootstraps", "num_outputs", "num_repeats")},
        "level": LEVEL,
        **_curves(fitted),
        "coverage": _coverages(seed, sizes),
        "log_loss_nats": {"bayes": _log_loss(fitted.true_log_w(_FINE), q), "estimated": _log_loss(log_w, q)},
        "mean_w": float(trapezoid(weighted, _FINE)),
        "edges": EDGES.tolist(),
        "sir": _resampled(seed, fitted, sizes),
        "limits": {"true": density_distances(real_density(_FINE)), "estimated": density_distances(weighted)},
        "generated": density_distances(q),
        "floor": _floor(seed, sizes),
    }


def real_density(x: np.ndarray) -> np.ndarray:
    """(N,) density p of the mixture."""
    density: np.ndarray = norm.pdf(x[:, None], MEANS, SDS) @ SHARES
    return density


def real_cdf(x: np.ndarray) -> np.ndarray:
    """(N,) distribution function of the mixture."""
    cdf: np.ndarray = norm.cdf(x[:, None], MEANS, SDS) @ SHARES
    return cdf


def real_points(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,) draws of the mixture."""
    of = (rng.random(n) >= SHARES[0]).astype(np.int64)
    points: np.ndarray = MEANS[of] + SDS[of] * rng.standard_normal(n)
    return points


def fit_toy(seed: int, data_set: int, num_points: int, num_bootstraps: int) -> Fitted:
    """Generator by maximum likelihood on `num_points` real points, classifiers on others and as many generated."""
    rng = noise.generator(seed, "toy data", data_set)
    training = real_points(rng, num_points)
    mean, sd = float(training.mean()), float(training.std())
    x = np.concatenate([real_points(rng, num_points), rng.normal(mean, sd, num_points)])
    y = np.repeat([1.0, 0.0], num_points)
    counts = np.concatenate([np.ones((1, len(y))), bootstrap_counts(y, num_bootstraps, rng)])
    theta = fit(basis(mean, sd).transform(x[:, None]), y, counts)
    return Fitted(mean, sd, theta[0], theta[1:])


def bayes(fitted: Fitted, x: np.ndarray) -> np.ndarray:
    """(N,) P(real | x) = p / (p + q) of equally many real and generated points."""
    probability: np.ndarray = expit(fitted.true_log_w(x))
    return probability


def bands(fitted: Fitted, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of P(real | x) over the bootstraps, (N,) each."""
    low, high = np.quantile(expit(fitted.log_odds(x, fitted.bootstraps)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def coverage(fitted: Fitted) -> float:
    """Share of p / 2 + q / 2 on the grid over which the bands hold Bayes' probability."""
    (low, high), truth = bands(fitted, GRID), bayes(fitted, GRID)
    mass = real_density(GRID) + norm.pdf(GRID, fitted.mean, fitted.sd)
    return float(np.average((low <= truth) & (truth <= high), weights=mass))


def density_distances(density: np.ndarray) -> dict[str, float]:
    """Distances to p of a density on the fine grid, normalised first: W1 = integral |F - G|, KS = max |F - G|."""
    steps = np.concatenate([[0.0], (density[1:] + density[:-1]) / 2 * np.diff(_FINE)]).cumsum()
    gap = np.abs(steps / steps[-1] - real_cdf(_FINE))
    return {"wasserstein": float(trapezoid(gap, _FINE)), "ks": float(gap.max())}


def sample_distances(x: np.ndarray) -> tuple[float, float]:
    """W1 and KS between (n,) draws and p, whose n quantiles at (i + 1/2) / n stand for it in the first."""
    quantiles = np.interp((np.arange(len(x)) + 0.5) / len(x), real_cdf(_FINE), _FINE)
    return float(wasserstein_distance(x, quantiles)), float(ks_1samp(x, real_cdf).statistic)


def _coverages(seed: int, sizes: Sizes) -> dict[str, float]:
    """`coverage` over data sets other than the one shown."""
    numbers = range(1, 1 + sizes.num_data_sets)
    mean, se = _mean_se([coverage(fit_toy(seed, i, sizes.num_points, sizes.num_coverage_bootstraps)) for i in numbers])
    return {"mean": mean, "se": se, "num_data_sets": sizes.num_data_sets}


def _curves(fitted: Fitted) -> dict[str, list[float]]:
    low, high = bands(fitted, GRID)
    curves = {
        "grid": GRID,
        "density_real": real_density(GRID),
        "density_generated": norm.pdf(GRID, fitted.mean, fitted.sd),
        "bayes": bayes(fitted, GRID),
        "estimated": expit(fitted.log_odds(GRID, fitted.theta)),
        "low": low,
        "high": high,
    }
    return {name: [float(value) for value in curve] for name, curve in curves.items()}


def _log_loss(log_odds: np.ndarray, q: np.ndarray) -> float:
    """Expected log loss in nats under p / 2 + q / 2, of log odds on the fine grid."""
    losses = real_density(_FINE) * np.logaddexp(0, -log_odds) + q * np.logaddexp(0, log_odds)
    return float(trapezoid(losses / 2, _FINE))


def _resampled(seed: int, fitted: Fitted, sizes: Sizes) -> list[dict[str, Any]]:
    """The entries of `sir`; both kinds of weights choose among the same candidates with the same noise."""
    entries = []
    for k in sizes.ks:
        repeats = [outputs(seed, fitted, k, sizes.num_outputs, repeat) for repeat in range(sizes.num_repeats)]
        for kind in ("true", "estimated"):
            x = [output[kind] for output in repeats]
            counts = np.histogram(np.concatenate(x), EDGES)[0]
            density = counts / (sizes.num_outputs * sizes.num_repeats * np.diff(EDGES))
            entries.append({"weights": kind, "k": k, "density": density.tolist(), **_summary(x)})
    return entries


def outputs(seed: int, fitted: Fitted, k: int, num_outputs: int, repeat: int) -> dict[str, np.ndarray]:
    """(num_outputs,) outputs of pool-wise SIR for `true` and `estimated` weights, read off the fine grid."""
    stream = f"toy candidates, k = {k}, repeat {repeat}"
    x = noise.generator(seed, stream).normal(fitted.mean, fitted.sd, num_outputs * k)
    log_w = {"true": fitted.true_log_w(_FINE), "estimated": fitted.log_odds(_FINE, fitted.theta)}
    drawn = {kind: fresh.init(np.interp(x, _FINE, w), 0, k, poolwise.drawn(seed, stream)) for kind, w in log_w.items()}
    return {kind: x[fresh.finish(state).sample_ids] for kind, state in drawn.items()}


def _floor(seed: int, sizes: Sizes) -> dict[str, float]:
    rngs = (noise.generator(seed, "toy floor", repeat) for repeat in range(sizes.num_repeats))
    return _summary([real_points(rng, sizes.num_outputs) for rng in rngs])


def _summary(repeats: list[np.ndarray]) -> dict[str, float]:
    """Both distances to p with standard errors over repeats."""
    wasserstein, ks = (_mean_se(values) for values in zip(*map(sample_distances, repeats), strict=True))
    return {"wasserstein": wasserstein[0], "wasserstein_se": wasserstein[1], "ks": ks[0], "ks_se": ks[1]}


def _mean_se(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
