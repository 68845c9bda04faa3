"""Importance weighted autoencoder (Burda, Grosse and Salakhutdinov 2016), with one or two stochastic layers.

Trained on minus the k-sample bound of `core.importance_bound`, in nats per image, or on minus the mean of the k
logs, which is the ELBO; with `dreg` on the first, with the gradients of Tucker et al. 2019.

    q(z | x) = q(z_1 | x) q(z_2 | z_1)          p(x, z) = p(z_2) p(z_1 | z_2) p(x | z_1)

All conditional distributions of latents are diagonal Gaussians, p of the last layer is N(0, 1).  Pixels are
Bernoulli (images of 0 and 255 only) or discretised logistics whose scale each pixel learns for itself, the same
for all z.  An offset of each pixel, which learns fast, takes the mean image off the latents: otherwise q(z | x) moves
away from the prior to say what all images share, and draws from the prior miss it.  A sample is a draw from the
model, pixel by pixel, on the values that real images have.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| normal | standard normal noise, all layers side by side | (N, k, num_normals) float32 |
| z | latents of each stochastic layer, the one next to x first | list of (N, k, D_l) float32 |
| log_w | log p(x, z) - log q(z given x) | (N, k) float32, nats |
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from lfiw_ray.config_generators import IWAEConfig
from lfiw_ray.core import losses, noise
from lfiw_ray.core.importance_bound import (
    doubly_reparameterised,
    effective_samples,
    gaussian_log_prob,
    log_mean_exp,
    mean_log,
)
from lfiw_ray.errors import DataError
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.scale import to_bytes, to_unit
from lfiw_ray.models.transfer import to_device, to_host
from lfiw_ray.models.vae import check_shape, conv_decoder, conv_encoder

_LOG_STD_RANGE = (-7.0, 3.0)
_LOG_SCALE_RANGE = (-5.0, 3.0)  # the smallest scale is a bin's width: less would stake everything on one value
_FIRST_LOG_SCALE = math.log(0.2)
OFFSET_UNIT = 10.0  # a step of Adam moves each pixel's offset so many times as far as a weight

_Gaussian = tuple[torch.Tensor, torch.Tensor]  # mean and log standard deviation


def _tanh_layers(inputs: int, hidden: int, outputs: int) -> list[nn.Module]:
    """Two deterministic tanh layers and a linear one."""
    return [nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)]


class GaussianNet(nn.Module):
    """Diagonal Gaussian whose mean and log standard deviation are the two halves of a network's output."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, h: torch.Tensor) -> _Gaussian:
        mean, log_std = self.layers(h).float().chunk(2, -1)
        return mean, log_std.clamp(*_LOG_STD_RANGE)


class IWAE(nn.Module):
    """Recognition networks, priors and decoder for images of `image_shape` (H, W, C).

    Attributes
    ----------
    sizes : D_l of each stochastic layer, the one next to x first.
    num_normals : their sum, the normals that one draw of z takes.

    Raises
    ------
    ConfigError
        for the convolutional architecture when H or W is not divisible by 4, or C is neither 1 nor 3.
    """

    def __init__(self, config: IWAEConfig, image_shape: tuple[int, int, int]):
        super().__init__()
        self.config = config
        self.image_shape = image_shape
        last, hidden = config.latents, config.hidden
        self.sizes = [2 * last, last] if config.architecture == "mlp2" else [last]
        self.num_normals = sum(self.sizes)
        encoder, self.decoder = _pixel_networks(config, image_shape, self.sizes[0])
        self.posteriors, self.priors = nn.ModuleList([encoder]), nn.ModuleList()
        if config.architecture == "mlp2":
            self.posteriors.append(GaussianNet(*_tanh_layers(2 * last, hidden // 2, 2 * last)))
            self.priors.append(GaussianNet(*_tanh_layers(last, hidden // 2, 4 * last)))
        height, width, channels = image_shape
        self.offset = nn.Parameter(torch.zeros(channels, height, width))
        if config.likelihood == "logistic":
            self.log_scale = nn.Parameter(torch.full((channels, height, width), _FIRST_LOG_SCALE))

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Minus the objective, mean over (N, H, W, C) uint8 images, nats a row.

        Metrics: `bound_bpd`, minus the objective in bits per pixel value; `ess`, effective samples of the k.
        """
        log_w, bound = self.bound(batch[0], noise.normal(self.config.num_importance, self.num_normals))
        loss = -bound.mean()
        bpd = loss.detach() / (math.log(2) * math.prod(self.image_shape))
        return loss, {"bound_bpd": bpd, "ess": effective_samples(log_w.detach()).mean()}

    def bound(self, x: torch.Tensor, normal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`log_w` (N, k), and the configured objective (N,) with its gradient, of (N, H, W, C) uint8 images, nats."""
        seen = to_unit(x)
        z, q = self.draw(seen, normal)
        if self.config.objective != "dreg":
            log_w = self._log_weights(x, z, q)
            return log_w, mean_log(log_w) if self.config.objective == "vae" else log_mean_exp(log_w)
        used = [t.clone() for t in z]  # z_2 was computed from z_1: only what the weights see is to be scaled
        log_w = self._log_weights(x, used, self._with_fixed_parameters(seen, used))
        return log_w, doubly_reparameterised(log_w, used)

    def log_weights(self, x: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """`log_w` (N, k) of (N, H, W, C) uint8 images and `normal` (N, k, num_normals)."""
        return self._log_weights(x, *self.draw(to_unit(x), normal))

    def draw(self, seen: torch.Tensor, normal: torch.Tensor) -> tuple[list[torch.Tensor], list[_Gaussian]]:
        """Latents of each layer and the Gaussians they were drawn from, for images (N, C, H, W) in [-1, 1]."""
        z: list[torch.Tensor] = []
        q: list[_Gaussian] = []
        h = seen
        for posterior, eps in zip(self.posteriors, torch.split(normal, self.sizes, -1), strict=True):
            mean, log_std = posterior(h)
            h = mean + log_std.exp() * eps
            z.append(h)
            q.append((mean, log_std))
        return z, q

    def _with_fixed_parameters(self, seen: torch.Tensor, z: list[torch.Tensor]) -> list[_Gaussian]:
        """The Gaussians of q as functions of z alone: no gradient reaches the parameters."""
        pairs = zip(self.posteriors, [seen, *z[:-1]], strict=True)
        return [functional_call(q, {name: p.detach() for name, p in q.named_parameters()}, (h,)) for q, h in pairs]

    def _log_weights(self, x: torch.Tensor, z: list[torch.Tensor], q: Sequence[_Gaussian]) -> torch.Tensor:
        p = [*(prior(above) for prior, above in zip(self.priors, z[1:], strict=True)), _standard(z[-1])]
        log_w = self.log_likelihood(x, z[0])
        for at, ours, theirs in zip(z, p, q, strict=True):
            log_w = log_w + gaussian_log_prob(at, *ours) - gaussian_log_prob(at, *theirs)
        return log_w

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Logits, or locations of the logistics, (N, k, C, H, W) float32 of z_1 (N, k, D_1)."""
        out: torch.Tensor = self.decoder(z.flatten(0, 1)).float()
        return out.reshape(*z.shape[:2], *out.shape[1:]) + OFFSET_UNIT * self.offset

    def log_likelihood(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """log p(x | z_1), (N, k) nats, of (N, H, W, C) uint8 images.

        Raises
        ------
        DataError
            when pixels are Bernoulli and one is neither 0 nor 255.
        """
        values = x.permute(0, 3, 1, 2)[:, None]
        if self.config.likelihood == "logistic":
            return losses.discretised_logistic_log_prob(values, self.decode(z), self._log_scales()).sum((-3, -2, -1))
        _check_binary(x)
        return -losses.binary_cross_entropy(self.decode(z), (values == 255).float()).sum((-3, -2, -1))

    def _log_scales(self) -> torch.Tensor:
        return self.log_scale.clamp(*_LOG_SCALE_RANGE)

    @torch.no_grad()
    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of the given ids; each a function of (seed, stream, id).

        Bernoulli pixels are 0 or 255.
        """
        device = next(self.parameters()).device
        pixels = math.prod(self.image_shape)

        def draw(rng: np.random.Generator, n: int) -> np.ndarray:
            normal = rng.standard_normal((n, self.num_normals), dtype=np.float32)
            return np.concatenate([normal, rng.random((n, pixels), dtype=np.float32)], axis=1)

        drawn = to_device(noise.by_block(seed, stream, sample_ids, draw), device)
        *below, z = torch.split(drawn[:, None, : self.num_normals], self.sizes, -1)
        for prior, eps in zip(reversed(self.priors), reversed(below), strict=True):
            mean, log_std = prior(z)
            z = mean + log_std.exp() * eps
        decoded = self.decode(z)[:, 0]
        uniform = drawn[:, self.num_normals :].reshape(decoded.shape)
        if self.config.likelihood == "logistic":
            return to_host(to_bytes(losses.logistic_quantile(uniform, decoded, self._log_scales())))
        ink = (uniform < decoded.sigmoid()).to(torch.uint8) * 255
        return to_host(ink.permute(0, 2, 3, 1).contiguous())


def _pixel_networks(
    config: IWAEConfig, image_shape: tuple[int, int, int], latents: int
) -> tuple[GaussianNet, nn.Sequential]:
    """q(z_1 | x), whose outputs are (N, 1, D_1), and the decoder from (N, D_1) to (N, C, H, W)."""
    height, width, channels = image_shape
    one_draw = nn.Unflatten(1, (1, 2 * latents))
    if config.architecture == "conv":
        check_shape(image_shape)
        first = max(1, config.hidden // 8)
        encoder = GaussianNet(*conv_encoder(image_shape, first, latents), one_draw)
        return encoder, conv_decoder(image_shape, first, latents)
    pixels = math.prod(image_shape)
    encoder = GaussianNet(nn.Flatten(), *_tanh_layers(pixels, config.hidden, 2 * latents), one_draw)
    layers = _tanh_layers(latents, config.hidden, pixels)
    return encoder, nn.Sequential(*layers, nn.Unflatten(1, (channels, height, width)))


def _standard(z: torch.Tensor) -> _Gaussian:
    zero = z.new_zeros(())
    return zero, zero


def _check_binary(x: torch.Tensor) -> None:
    grey = (x != 0) & (x != 255)
    if grey.any():
        row = int(grey.flatten(1).any(1).nonzero()[0, 0])
        value = int(x[row][grey[row]][0])
        raise DataError(
            f"row {row} of the batch has a pixel of {value}: a Bernoulli likelihood needs images of 0 and 255 only; "
            "binarise them, or set iwae.likelihood = logistic"
        )
