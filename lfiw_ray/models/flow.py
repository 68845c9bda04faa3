"""Normalising flow in the manner of RealNVP (Dinh et al. 2017): exact density, exact sampling.

An 8-bit image x is dequantised, v = x + u with u uniform in [0, 1)^D, and mapped onto all of R^D by
t = logit(v / 256).  An invertible network takes t to z ~ N(0, 1), so that

    log p(v) = log N(z; 0, 1) + log |det dz/dt| + sum log dt/dv,      dt/dv = 1/v + 1/(256 - v),

and p(v) has all of its mass in the cube (0, 256)^D: nothing is cut off.  As P(x) is the integral of p over the
image's unit cell, E_u[log p(x + u)] is a lower bound of log P(x) (Theis et al. 2016), and the mean of p(x + u) over
many u tends to P(x) itself.  A sample takes z back to v and rounds it *down*, which is exactly a draw from P.

The network: one affine map of every pixel value; then, at half and at a quarter of the resolution (a squeeze turns
2 x 2 pixels into channels), `steps` times an affine map per channel, an invertible 1 x 1 convolution (Kingma and
Dhariwal 2018) and an affine coupling of one half of the channels on the other.  Half of the channels leave for z
between the two (RealNVP's multi-scale architecture).  A fresh flow has couplings that change nothing.

| symbol | meaning | shape, dtype |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| u | dequantisation noise | (N, H, W, C) float32 in [0, 1) |
| t, h | logits, activations | (N, C, H, W) float32 |
| log_det | log |det| of the map so far | (N,) float32, nats |
| z | normal scores: those that left at half the resolution, then the rest | (N, D) float32 |
"""

import math

import numpy as np
import torch
from torch import nn

from lfiw_ray.config_generators import FlowConfig
from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.flow_layers import Affine, Coupling, Mix, squeeze, unsqueeze
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.transfer import to_device, to_host

_LEVELS = 256.0
_SMALLEST = 2.0**-25  # keeps u off both ends in float32, where a logit would be infinite
_LARGEST = 1.0 - 2.0**-24
_SPREAD = 4.0  # standard deviation of a typical image's logits, taken out at the start


class Flow(nn.Module):
    """The flow for images of `image_shape` (H, W, C).

    Raises
    ------
    ConfigError
        when H or W is not divisible by 4.
    """

    def __init__(self, config: FlowConfig, image_shape: tuple[int, int, int]):
        super().__init__()
        height, width, channels = image_shape
        if height % 4 or width % 4 or min(height, width) < 4:
            raise ConfigError(f"the flow needs a height and width divisible by 4, the images are {height} x {width}")
        self.config = config
        self.image_shape = image_shape
        self.first = Affine((channels, height, width), num_places=1, log_scale=-math.log(_SPREAD))
        self.fine = _steps(config, (4 * channels, height // 2, width // 2))
        self.coarse = _steps(config, (8 * channels, height // 4, width // 4))

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Minus the mean of `log_prob` over (N, H, W, C) uint8 images, nats a row.

        Metrics: `bpd`, the same in bits per pixel value, an upper bound of the code length.
        """
        loss = -self.log_prob(batch[0], noise.uniform(*self.image_shape)).mean()
        return loss, {"bpd": loss.detach() / (math.log(2) * math.prod(self.image_shape))}

    def log_prob(self, x: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Log density of v = x + uniform, (N,) float32, nats: an unbiased estimate of a lower bound of log P(x).

        Parameters
        ----------
        x : (N, H, W, C) uint8.
        uniform : (N, H, W, C) float32 in [0, 1).
        """
        if x.dtype != torch.uint8:
            raise ValueError(f"images at rest are uint8, got {x.dtype}; the density is that of x + uniform")
        t, log_det = _logit(x.permute(0, 3, 1, 2), uniform.permute(0, 3, 1, 2))
        z, of_network = self.to_normal(t)
        log_normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        return log_normal + log_det + of_network

    def to_normal(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z (N, D) and log_det (N,) of logits t (N, C, H, W)."""
        h, log_det = self.first(t)
        h, log_det = _through(self.fine, squeeze(h), log_det)
        h, done = h.chunk(2, 1)  # the half that the last coupling has made normal given the other
        h, log_det = _through(self.coarse, squeeze(h), log_det)
        return torch.cat([done.flatten(1), h.flatten(1)], 1), log_det

    def from_normal(self, z: torch.Tensor) -> torch.Tensor:
        """Logits t (N, C, H, W) of z (N, D), the inverse of `to_normal`."""
        height, width, channels = self.image_shape
        done, h = z.chunk(2, 1)
        h = _back(self.coarse, h.reshape(-1, 8 * channels, height // 4, width // 4))
        h = torch.cat([unsqueeze(h), done.reshape(-1, 2 * channels, height // 2, width // 2)], 1)
        return self.first.inverse(unsqueeze(_back(self.fine, h)))

    @torch.no_grad()
    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of the given ids, draws from P; each a function of (seed, stream, id)."""
        device, size = next(self.parameters()).device, math.prod(self.image_shape)

        def draw(rng: np.random.Generator, n: int) -> np.ndarray:
            return rng.standard_normal((n, size), dtype=np.float32)

        z = to_device(noise.by_block(seed, stream, sample_ids, draw), device)
        cell = torch.sigmoid(self.from_normal(z)).mul(_LEVELS).floor().clamp(max=255)  # float32 may round up to 256
        return to_host(cell.to(torch.uint8).permute(0, 2, 3, 1).contiguous())


def _logit(x: torch.Tensor, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """t = log(v) - log(256 - v) and sum log dt/dv; both ends keep their precision, as 256 - v = (255 - x) + (1 - u)."""
    u = (uniform + _SMALLEST).clamp(max=_LARGEST)
    log_v, log_rest = torch.log(x + u), torch.log((255 - x) + (1 - u))
    return log_v - log_rest, (math.log(_LEVELS) - log_v - log_rest).flatten(1).sum(1)


def _steps(config: FlowConfig, shape: tuple[int, int, int]) -> nn.ModuleList:
    channels, num_places = shape[0], shape[1] * shape[2]
    layers: list[nn.Module] = []
    for _ in range(config.steps):
        layers += [Affine((channels, 1, 1), num_places), Mix(channels, num_places), Coupling(shape, config.width)]
    return nn.ModuleList(layers)


def _through(layers: nn.ModuleList, h: torch.Tensor, log_det: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    for layer in layers:
        h, more = layer(h)
        log_det = log_det + more
    return h, log_det


def _back(layers: nn.ModuleList, h: torch.Tensor) -> torch.Tensor:
    for layer in reversed(layers):
        h = layer.inverse(h)  # type: ignore[operator]
    return h
