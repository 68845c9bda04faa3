"""Mixture of discretised logistics with coupled channels (Salimans et al. 2017, PixelCNN++, sections 2.1 and 2.2).

A pixel's channels share the component k, drawn from softmax(logits).  Given k, each channel is a discretised logistic
(`core.losses`: rounded to the 256 values, the tails in the end values), whose location is linear in the channels
before it:

    m_0,  m_1 + a x_0,  m_2 + b x_0 + c x_1,      a, b, c = tanh of the network's outputs, x the pixel's values.

So P(x) = sum_k softmax(logits)_k prod_c P(x_c | k, x_<c) sums to 1 over all 256^C values, and every channel's
conditional over its 256.  A sample rounds each channel before the next one's location is computed, hence is a draw
from exactly P.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| params | M logits; C M means; C M log scales; C (C - 1) / 2 times M coefficients | (N, K, ...) |
| values | channels of each pixel, 0 .. 255 | (N, C, ...) uint8 |
| gumbel, uniform | noise: of the component (N, M, ...), of the channels (N, C, ...) in [0, 1) | float32 |

The axes after the second are any: (H, W) of an image, or none for one pixel.
"""

from typing import NamedTuple

import torch

from lfiw_ray.core.losses import discretised_logistic_log_prob, logistic_quantile

# A ninth of a grid step to 500 times the range: beyond, only rounding differs (a scale may even overflow).
_LOG_SCALES = (-7.0, 7.0)


class Mixture(NamedTuple):
    """Parameters by meaning; axis 1 of `means`, `log_scales` is the channel, axis 2 the component."""

    logits: torch.Tensor  # (N, M, ...)
    means: torch.Tensor  # (N, C, M, ...), [-1, 1] range, before coupling
    log_scales: torch.Tensor  # (N, C, M, ...)
    couplings: torch.Tensor  # (N, C (C - 1) / 2, M, ...) in (-1, 1), in the order 10, 20, 21


def num_params(components: int, channels: int) -> int:
    """K, the number of the network's outputs a pixel."""
    return components * (1 + 2 * channels + channels * (channels - 1) // 2)


def split(params: torch.Tensor, channels: int) -> Mixture:
    """Name the parts of `params`."""
    components = params.shape[1] // num_params(1, channels)
    parts = params.reshape(params.shape[0], -1, components, *params.shape[2:])
    return Mixture(
        parts[:, 0],
        parts[:, 1 : 1 + channels],
        parts[:, 1 + channels : 1 + 2 * channels].clamp(*_LOG_SCALES),
        parts[:, 1 + 2 * channels :].tanh(),
    )


def _coupled_mean(mean: torch.Tensor, couplings: torch.Tensor, x: list[torch.Tensor]) -> torch.Tensor:
    """Location of the channel after those of `x`, whose coefficients are along axis 1 of `couplings`."""
    first = len(x) * (len(x) - 1) // 2
    for before, value in enumerate(x):
        mean = torch.addcmul(mean, couplings[:, first + before], value)
    return mean


def component_log_probs(params: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """log softmax(logits)_k and log P(x_c | k, x_<c) of the values, nats: (N, 1 + C, M, ...)."""
    mixture, channels = split(params, values.shape[1]), values.shape[1]
    x = [values[:, c : c + 1].to(params.dtype) / 127.5 - 1.0 for c in range(channels)]  # (N, 1, ...) each
    out = [torch.log_softmax(mixture.logits, dim=1)]
    for c in range(channels):
        mean = _coupled_mean(mixture.means[:, c], mixture.couplings, x[:c])
        out.append(discretised_logistic_log_prob(values[:, c : c + 1], mean, mixture.log_scales[:, c]))
    return torch.stack(out, dim=1)


def log_prob(params: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """log P(x) of each pixel, nats, (N, ...)."""
    return component_log_probs(params, values).sum(1).logsumexp(1)


def sample(params: torch.Tensor, gumbel: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """One value of each pixel, (N, C, ...), integers 0 .. 255 in the dtype of `params`.

    The component is argmax(logits + gumbel), the channels are quantiles at `uniform`.
    """
    channels = uniform.shape[1]
    mixture = split(params, channels)
    component = (mixture.logits + gumbel).argmax(1, keepdim=True).unsqueeze(1)  # (N, 1, 1, ...)
    means, log_scales, couplings = (
        part.gather(2, component.expand(-1, part.shape[1], *component.shape[2:])).squeeze(2) for part in mixture[1:]
    )
    values: list[torch.Tensor] = []
    x: list[torch.Tensor] = []
    for c in range(channels):
        drawn = logistic_quantile(uniform[:, c], _coupled_mean(means[:, c], couplings, x), log_scales[:, c])
        values.append(drawn.add_(1.0).mul_(127.5).round_().clamp_(0, 255))
        x.append(values[c] / 127.5 - 1.0)
    return torch.stack(values, dim=1)
