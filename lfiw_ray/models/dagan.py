"""Data augmentation GAN: from an example image another one of its class (Antoniou et al. 2017), of DCGAN's size.

The generator encodes the example, joins noise to the code and decodes both to an image.  The critic sees pairs: an
example beside another real image of its class, or beside a generated one.  So a generator that merely copies its
example is found out, as is one that leaves the class; no label is ever given to it.  Convolutions of 4 x 4 and stride
2 as in DCGAN (Radford et al. 2016), spectral norm and hinge losses (`models.sngan`) in place of the paper's gradient
penalty and its larger U-shaped ResNet.  The paired image is dequantised for the critic (`models.dequantise`); the
example, the same in both kinds of pair, stays as it is.

`examples` training images, drawn by the seed of the training, are kept with the model: sample i is made from number
i modulo `examples`, with noise that is a function of (seed, stream, i).

| symbol | meaning | shape, dtype |
|---|---|---|
| x | example images | (N, H, W, C) uint8 |
| labels | their classes | (N,) int64 |
| z | noise, standard normal | (N, latents) float32 |
| points | continuous images in [-1, 1] | (N, C, H, W) float32 |
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.config_generators import DAGANConfig
from lfiw_ray.core import hinge, noise
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.batch_norm import BatchNorm
from lfiw_ray.models.class_partners import ClassPartners
from lfiw_ray.models.dequantise import dequantised, to_cells
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.players import Batch, Player
from lfiw_ray.models.scale import to_unit
from lfiw_ray.models.spectral_norm import spectral_norm
from lfiw_ray.models.transfer import to_device, to_host


def _down(channels_in: int, channels_out: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1, bias=bias)


def _up(channels_in: int, channels_out: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=bias)


class Generator(nn.Module):
    """Examples and noise to points."""

    def __init__(self, config: DAGANConfig, image_shape: tuple[int, int, int]):
        super().__init__()
        height, width, channels = image_shape
        self._grid = (2 * config.width, height // 4, width // 4)
        flat, code = math.prod(self._grid), 4 * config.width
        self.down1 = _down(channels, config.width)
        self.down2 = _down(config.width, 2 * config.width, bias=False)  # which the batch norm would take away
        self.code = nn.Linear(flat, code, bias=False)
        self.first = nn.Linear(code + config.latents, flat)
        self.norms = nn.ModuleList(BatchNorm(n) for n in (2 * config.width, code, 2 * config.width, config.width))
        self.up1 = _up(2 * config.width, config.width, bias=False)
        self.up2 = _up(config.width, channels)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Points (N, C, H, W) float32."""
        h = F.leaky_relu(self.down1(to_unit(x)), 0.2)
        h = F.leaky_relu(self.norms[0](self.down2(h), None), 0.2)
        # Without this norm what all codes have in common outgrows what tells them, and the noise: one image for all.
        code = self.norms[1](self.code(h.flatten(1))[:, :, None, None], None).flatten(1)
        h = self.first(torch.cat([code, z], dim=1)).unflatten(1, self._grid)
        h = self.up1(F.relu(self.norms[2](h, None)))
        return torch.tanh(self.up2(F.relu(self.norms[3](h, None))).float())


class Critic(nn.Module):
    """Pairs of an example and another image, as one image of twice the channels, to one number each."""

    def __init__(self, config: DAGANConfig, image_shape: tuple[int, int, int]):
        super().__init__()
        height, width, channels = image_shape
        self.down1 = spectral_norm(_down(2 * channels, config.width))
        self.down2 = spectral_norm(_down(config.width, 2 * config.width))
        self.last = spectral_norm(nn.Linear(2 * config.width * (height // 4) * (width // 4), 1))

    def forward(self, x: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """(N,) float32."""
        h = F.leaky_relu(self.down1(torch.cat([to_unit(x), points], dim=1)), 0.2)
        h = F.leaky_relu(self.down2(h), 0.2)
        out: torch.Tensor = self.last(h.flatten(1))[:, 0]
        return out.float()


class DAGAN(nn.Module):
    """Both players, for images of `image_shape` (H, W, C).

    Raises
    ------
    ConfigError
        when H or W is not divisible by 4, or less than 8.
    """

    examples: torch.Tensor
    example_labels: torch.Tensor

    def __init__(self, config: DAGANConfig, image_shape: tuple[int, int, int]):
        super().__init__()
        height, width, _ = image_shape
        if height % 4 or width % 4 or min(height, width) < 8:
            raise ConfigError(
                f"the DAGAN needs a height and width of at least 8 that 4 divides; the images are {height} x {width}: "
                "resize them or choose another generator.model"
            )
        self.config, self.image_shape = config, image_shape
        self.generator, self.critic = Generator(config, image_shape), Critic(config, image_shape)
        self.register_buffer("examples", torch.zeros((config.examples, *image_shape), dtype=torch.uint8))
        self.register_buffer("example_labels", torch.zeros(config.examples, dtype=torch.int64))
        self._partners: ClassPartners | None = None

    def prepare(self, data: tuple[np.ndarray, ...], seed: int) -> None:
        """Take the examples, and the others of each class, from the training rows (x, labels).

        Raises
        ------
        ConfigError
            when there are no labels, fewer rows than examples, or a class has a single row.
        """
        if len(data) < 2:
            raise ConfigError("generator.model dagan needs labelled training rows; name data.label_column")
        x, labels = data[:2]
        if len(x) < self.config.examples:
            raise ConfigError(f"generator.dagan.examples ({self.config.examples}) is more than the {len(x)} rows")
        self._partners = ClassPartners(x, labels, self.examples.device)
        rows = np.sort(noise.generator(seed, "examples").permutation(len(x))[: self.config.examples])
        self.examples.copy_(torch.from_numpy(x[rows]))
        self.example_labels.copy_(torch.from_numpy(labels[rows]))

    def players(self) -> tuple[Player, ...]:
        """The critic, then the generator, whose averaged weights are kept."""
        critic = Player("critic", self.critic_loss, self.config.critic_steps, averaged=False)
        return critic, Player("generator", self.generator_loss)

    def critic_loss(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Hinge loss of a batch (x, labels); `real` and `generated` are what the critic says on average."""
        assert self._partners is not None, "the training calls prepare() first"
        x, labels = batch
        others = self._partners.draw(x, labels, noise.uniform())
        points = dequantised(others, noise.uniform(*self.image_shape))
        with torch.no_grad():
            made = self.generator(x, noise.normal(self.config.latents))
        real, generated = self.critic(torch.cat([x, x]), torch.cat([points, made])).chunk(2)
        loss = hinge.critic_loss(real, generated)
        return loss, {"real": real.detach().mean(), "generated": generated.detach().mean()}

    def generator_loss(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Hinge loss of an image made from each row of the batch."""
        x = batch[0]
        made = self.generator(x, noise.normal(self.config.latents))
        return hinge.generator_loss(self.critic(x, made)), {}

    def loss(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The critic's loss, for held-out rows (paired with training rows of their class)."""
        return self.critic_loss(batch, noise)

    def sample_labels(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:  # noqa: ARG002
        """(N,) int64 classes of the examples that the samples are made from."""
        labels: np.ndarray = self.example_labels.cpu().numpy()[sample_ids % self.config.examples]
        return labels

    @torch.no_grad()
    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of the given ids; each a function of (seed, stream, id)."""
        if self.training:
            raise ValueError("samples are made in evaluation mode; in training mode each depends on its batch")
        size, device = self.config.latents, self.examples.device
        z = noise.by_block(seed, stream, sample_ids, lambda rng, n: rng.standard_normal((n, size), dtype=np.float32))
        rows = to_device(sample_ids % self.config.examples, device)
        return to_host(to_cells(self.generator(self.examples[rows], to_device(z, device))))
