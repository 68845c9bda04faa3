"""Convolutional variational autoencoder with a discretised logistic likelihood (Kingma & Welling 2014).

Trained on -log p(x | z) + b KL(q(z | x) || N(0, 1)), in nats per image: the negative ELBO at b = 1; b > 1
(Higgins et al. 2017, beta-VAE) gives up some likelihood for codes that fill the prior, so that fewer samples fall
between the training images.  All pixels share one fixed scale, for a like reason: pixels are independent given z,
so whatever a larger scale explains is white noise in a sample.  The likelihood stays exact on the 256 values,
and the ELBO itself is reported.

A sample draws z from the prior and then every pixel from the likelihood, on the 8-bit grid: it is a draw from the
model, not the decoder's mean, so that real and generated images have the same set of possible values.

| symbol | meaning | shape, dtype |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| z | latents | (N, latents) float32 |
| mean | location of every pixel's logistic | (N, C, H, W) float32, [-1, 1] range but unbounded |
"""

import math

import numpy as np
import torch
from torch import nn

from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.core import losses, noise
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.scale import to_bytes, to_unit
from lfiw_ray.models.transfer import to_device, to_host

_LOG_STD_RANGE = (-7.0, 3.0)


def check_shape(image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError unless height and width (H, W, C) are divisible by 4 and there are 1 or 3 channels."""
    height, width, channels = image_shape
    if height % 4 or width % 4 or min(height, width) < 4:
        raise ConfigError(f"the VAE needs a height and width divisible by 4, the images are {height} x {width}")
    if channels not in (1, 3):
        raise ConfigError(f"the VAE needs 1 or 3 channels, the images have {channels}")


def conv_encoder(image_shape: tuple[int, int, int], width: int, latents: int) -> nn.Sequential:
    """(N, C, H, W) in [-1, 1] to (N, 2 * latents): two convolutions of stride 2, one layer of 8 * width units."""
    channels = image_shape[2]
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(math.prod(_grid(image_shape, width)), 8 * width),
        nn.SiLU(),
        nn.Linear(8 * width, 2 * latents),
    )


def conv_decoder(image_shape: tuple[int, int, int], width: int, latents: int) -> nn.Sequential:
    """(N, latents) to (N, C, H, W), the encoder's layers in reverse."""
    grid = _grid(image_shape, width)
    return nn.Sequential(
        nn.Linear(latents, 8 * width),
        nn.SiLU(),
        nn.Linear(8 * width, math.prod(grid)),
        nn.SiLU(),
        nn.Unflatten(1, grid),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.ConvTranspose2d(width, image_shape[2], 4, stride=2, padding=1),
    )


def _grid(image_shape: tuple[int, int, int], width: int) -> tuple[int, int, int]:
    return 2 * width, image_shape[0] // 4, image_shape[1] // 4


class VAE(nn.Module):
    """Encoder and decoder of two convolutions each, for images of `image_shape` (H, W, C).

    Raises
    ------
    ConfigError
        when H or W is not divisible by 4, or C is neither 1 nor 3.
    """

    def __init__(self, config: VAEConfig, image_shape: tuple[int, int, int]):
        super().__init__()
        check_shape(image_shape)
        self.config = config
        self.image_shape = image_shape
        self.encoder = conv_encoder(image_shape, config.width, config.latents)
        self.decoder = conv_decoder(image_shape, config.width, config.latents)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log standard deviation of q(z | x), each (N, latents) float32, for x (N, C, H, W) in [-1, 1]."""
        mean, log_std = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_std.clamp(*_LOG_STD_RANGE)

    def decode(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Location (N, C, H, W) and log scale (scalar tensor) of the logistics of all pixels, float32."""
        mean = self.decoder(z).float()
        return mean, mean.new_tensor(math.log(self.config.pixel_scale))

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean training loss of (N, H, W, C) uint8 images, nats a row, with one latent sample each.

        Metrics: `elbo_bpd`, the negative ELBO in bits per pixel value; `kl_nats`.
        """
        x = batch[0]
        latent_mean, latent_log_std = self.encode(to_unit(x))
        z = latent_mean + latent_log_std.exp() * noise.normal(self.config.latents)
        log_prob = losses.discretised_logistic_log_prob(x.permute(0, 3, 1, 2), *self.decode(z))
        kl_nats = losses.gaussian_kl(latent_mean, latent_log_std).mean()
        distortion_nats = -log_prob.flatten(1).sum(1).mean()
        elbo_bpd = (distortion_nats + kl_nats).detach() / (math.log(2) * math.prod(self.image_shape))
        return distortion_nats + self.config.kl_weight * kl_nats, {"elbo_bpd": elbo_bpd, "kl_nats": kl_nats.detach()}

    @torch.no_grad()
    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of the given ids; each a function of (seed, stream, id).

        Latents and pixel noise are drawn with NumPy per fixed block of ids (`core.noise.by_block`).
        """
        device = next(self.parameters()).device
        latents, pixels = self.config.latents, math.prod(self.image_shape)

        def draw(rng: np.random.Generator, n: int) -> np.ndarray:
            z = rng.standard_normal((n, latents), dtype=np.float32)
            if self.config.sample_mean:
                return z
            return np.concatenate([z, rng.random((n, pixels), dtype=np.float32)], axis=1)

        drawn = to_device(noise.by_block(seed, stream, sample_ids, draw), device)
        mean, log_scale = self.decode(drawn[:, :latents])
        if self.config.sample_mean:
            return to_host(to_bytes(mean))
        uniform = drawn[:, latents:].reshape(mean.shape)
        return to_host(to_bytes(losses.logistic_quantile(uniform, mean, log_scale)))
