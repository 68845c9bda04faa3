"""Exact ratio weights undo a pool's bias in every metric.

The target is a mixture of three Gaussians with known shares, real rows come from a shifted one with a narrower first
component (so that no number is trivial), the pool has other shares, and a row's weight is the ratio of the shares of
its component.  Over 30 repeats every metric of the weighted pool has the mean of an unbiased pool with as many
effective rows, within 4.5 standard errors (false alarm 3 in 100,000 each); the raw pool's is more than 10 away.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax

from lfiw_ray.core import class_histogram, frechet, inception_score, infinity, kernel_distance, manifold, moments, noise
from lfiw_ray.core.kernels import Rbf

MIDDLES = np.array([[0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0]])
TARGET, POOL = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.25, 0.15])
REPEATS, POOL_ROWS = 30, 700
ESS = int(POOL_ROWS / (TARGET**2 / POOL).sum())


def _drawn(
    name: str, repeat: int, shares: np.ndarray, num_rows: int, first_scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = noise.generator(0, name, repeat)
    kinds = rng.choice(3, num_rows, p=shares)
    scale = np.array([first_scale, 0.5, 0.8])[kinds, None]
    return MIDDLES[kinds] + scale * rng.standard_normal((num_rows, 4)), kinds


REAL = _drawn("real", 0, TARGET, 500, first_scale=0.4)[0] + 0.2
REAL_MOMENTS, REAL_SUPPORT = moments.of(REAL), manifold.support(REAL, 3)
KERNEL_MEANS = {"cubic": kernel_distance.within(REAL), "rbf": kernel_distance.within(REAL, kernel=Rbf(2.0))}


def _probabilities(x: np.ndarray) -> np.ndarray:
    return np.asarray(softmax(-((x[:, None] - MIDDLES) ** 2).sum(axis=2), axis=1))


def _parts(x: np.ndarray, log_w: np.ndarray | None) -> float:
    return infinity.fid(REAL_MOMENTS, x, log_w, noise.generator(0, "parts"), smallest=200).intercept


def _subsets(x: np.ndarray, log_w: np.ndarray | None) -> float:
    return kernel_distance.subsets(REAL, x, log_w, noise.generator(0, "subsets"), 4, 200).mean


METRICS: dict[str, Callable[[np.ndarray, np.ndarray | None], float]] = {
    "fid": lambda x, log_w: frechet.distance(REAL_MOMENTS, moments.of(x, log_w)),
    "fid_infinity": _parts,
    "kid": lambda x, log_w: kernel_distance.distance(REAL, x, log_w, KERNEL_MEANS["cubic"]),
    "kid_rbf": lambda x, log_w: kernel_distance.distance(REAL, x, log_w, KERNEL_MEANS["rbf"], Rbf(2.0)),
    "kid_subsets": _subsets,
    "score": lambda x, log_w: inception_score.finish(inception_score.of(_probabilities(x), log_w)),
    "score_splits": lambda x, log_w: inception_score.over_splits(_probabilities(x), log_w).mean,
    "precision": lambda x, log_w: manifold.compare(REAL_SUPPORT, x, log_w).precision,
    "density": lambda x, log_w: manifold.compare(REAL_SUPPORT, x, log_w).density,
    "class_share": lambda x, log_w: float(class_histogram.of(_probabilities(x), log_w)[2]),
}


@pytest.mark.parametrize("name", METRICS)
def test_exact_weights_recover_the_unbiased_metric(name: str) -> None:
    metric, raw, weighted, unbiased = METRICS[name], [], [], []
    for repeat in range(REPEATS):
        x, kinds = _drawn("pool", repeat, POOL, POOL_ROWS)
        raw.append(metric(x, None))
        weighted.append(metric(x, np.log(TARGET / POOL)[kinds] - 700))
        unbiased.append(metric(_drawn("target", repeat, TARGET, ESS)[0], None))
    se = np.sqrt((np.var(weighted, ddof=1) + np.var(unbiased, ddof=1)) / REPEATS)
    assert abs(np.mean(weighted) - np.mean(unbiased)) < 4.5 * se
    assert abs(np.mean(raw) - np.mean(unbiased)) > 10 * se
