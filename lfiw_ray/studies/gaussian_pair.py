"""Two Gaussians of known log density ratio and KL divergence, and how near an estimated ratio comes.

Real and generated rows are N(+-delta / 2, diag(v)), the real variances e^(c/2), e^(-c/2) in turn and the generated
ones the other way round.  Exchanging the two mirrors the problem, so both KL divergences are equal:

    KL = d / 2 (cosh c - 1) + d / 2 delta^2 cosh(c / 2)

where the first term is of the variances and the second of the means.  The log ratio is quadratic in x.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| x | rows | (N, d) float32 |
| log ratio | log p_real(x) - log p_generated(x) | (N,) float64, nats |
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class GaussianPair(NamedTuple):
    """The pair; (d,) float64 each.  The generated mean is `-mean`."""

    mean: np.ndarray
    real_variance: np.ndarray
    generated_variance: np.ndarray

    def draw(self, rng: np.random.Generator, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Real and generated rows, (num_rows, d) float32 each."""
        shape = (num_rows, len(self.mean))
        real = self.mean + np.sqrt(self.real_variance) * rng.standard_normal(shape)
        generated = -self.mean + np.sqrt(self.generated_variance) * rng.standard_normal(shape)
        return real.astype(np.float32), generated.astype(np.float32)

    def log_ratio(self, x: np.ndarray) -> np.ndarray:
        """(N,) float64 true log ratio, nats."""
        x = x.astype(np.float64)
        real = (x - self.mean) ** 2 / self.real_variance + np.log(self.real_variance)
        generated = (x + self.mean) ** 2 / self.generated_variance + np.log(self.generated_variance)
        ratio: np.ndarray = (generated - real).sum(axis=1) / 2
        return ratio


def gaussian_pair(kl_nats: float, num_dims: int, variance_share: float) -> GaussianPair:
    """The pair of this KL divergence, a share of which comes from the variances.

    Raises
    ------
    ValueError
        For an odd or non-positive `num_dims`, a negative `kl_nats`, or a share outside [0, 1].
    """
    if num_dims < 2 or num_dims % 2 or kl_nats < 0 or not 0 <= variance_share <= 1:
        raise ValueError(
            f"needs an even num_dims >= 2, kl_nats >= 0 and a share in [0, 1], got {num_dims}, {kl_nats}, "
            f"{variance_share}"
        )
    c = math.acosh(1 + 2 * variance_share * kl_nats / num_dims)
    delta = math.sqrt(2 * (1 - variance_share) * kl_nats / (num_dims * math.cosh(c / 2)))
    variance = np.exp(np.tile([c / 2, -c / 2], num_dims // 2))
    return GaussianPair(np.full(num_dims, delta / 2), variance, 1 / variance)


def labelled(rows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of real and generated rows, y float32: 1 real, 0 generated."""
    return np.concatenate(rows), np.repeat(np.array([1, 0], np.float32), [len(part) for part in rows])


def agreement(estimated: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Pearson's correlation, and the slope of the least-squares line of `estimated` over `true` (1 is wanted)."""
    covariance = np.cov(true, estimated)
    return {
        "correlation": float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])),
        "slope": float(covariance[0, 1] / covariance[0, 0]),
    }


def over_repeats(repeats: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Per figure its mean and, as `<name>_se`, the mean's standard error over at least 2 repeats."""
    out: dict[str, Any] = {}
    for name in repeats[0]:
        values = [figures[name] for figures in repeats]
        out[name] = float(np.mean(values))
        out[f"{name}_se"] = float(np.std(values, ddof=1) / math.sqrt(len(values)))
    return out
