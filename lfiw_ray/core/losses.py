"""Likelihoods and divergences that models are trained with, in nats, stable in float32.

Discretised logistic (Salimans et al. 2017, PixelCNN++, section 2.1, one component).  A logistic variable
with mean m and scale s in the [-1, 1] range of pixels is rounded to the nearest of the 256 values
v / 127.5 - 1 and clamped at the two ends.  With c = v / 127.5 - 1, a = (c + 1/255 - m) / s and
b = (c - 1/255 - m) / s,

    P(v) = sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)),

where value 0 takes all mass below (b = -inf) and value 255 all mass above (a = +inf).  The product form is
exact and each factor has a stable logarithm, so no guard against a vanishing difference is needed.  Rounding
m + s * logit(u), u uniform, to the grid (`scale.to_bytes`) draws from exactly this distribution.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| values | pixel values 0 .. 255 | any shape, uint8 or float |
| mean | location of the logistic | as values, float32, [-1, 1] range |
| log_scale | logarithm of its scale | as values, float32 |
"""

import torch
import torch.nn.functional as F

HALF_BIN = 1.0 / 255.0  # half the distance of two grid values in the [-1, 1] range
_SMALLEST_UNIFORM = 2.0**-25  # float32 uniforms are multiples of 2**-24: 0 occurs, 1 does not


def log_one_minus_exp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(-x)) for x > 0, accurate for small and large x."""
    return torch.log(-torch.expm1(-x))


def discretised_logistic_log_prob(values: torch.Tensor, mean: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Log probability of each pixel value, nats, shape of `values`; its exponential sums to 1 over 0 .. 255."""
    values = values.to(mean.dtype)
    per_scale = torch.exp(-log_scale)
    centred = values / 127.5 - 1.0 - mean
    upper = (centred + HALF_BIN) * per_scale
    lower = (centred - HALF_BIN) * per_scale
    below = torch.where(values < 255, F.logsigmoid(upper), 0.0)
    above = torch.where(values > 0, F.logsigmoid(-lower), 0.0)
    inside = (values > 0) & (values < 255)
    return below + above + torch.where(inside, log_one_minus_exp(2 * HALF_BIN * per_scale), 0.0)


def logistic_quantile(uniform: torch.Tensor, mean: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Logistic sample by inversion of float32 `uniform` in [0, 1); rounded to the grid it is the discretised one."""
    u = uniform.clamp(min=_SMALLEST_UNIFORM)
    return mean + torch.exp(log_scale) * (torch.log(u) - torch.log1p(-u))


def gaussian_kl(mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, exp(log_std)^2) || N(0, 1)) summed over the last axis, nats, never negative.

    Parameters
    ----------
    mean, log_std : (N, D) float32.
    """
    return 0.5 * (mean.square() + torch.expm1(2 * log_std) - 2 * log_std).sum(-1)


def binary_cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """-log P(y) per row in nats, (N,), with P(1) = sigmoid(logits): softplus(logits) - y * logits."""
    return F.softplus(logits) - y * logits
