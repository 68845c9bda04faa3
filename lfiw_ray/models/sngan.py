"""Residual GAN with spectral normalisation (Miyato et al. 2018), for images of any size that the blocks can reach.

The generator G starts at a grid of 4 to 7 cells a side and doubles it up to the image (32: 4, 8, 16, 32; 28: 7, 14,
28), ending in a tanh.  The critic D halves the image down to at most 8 a side, then has two more blocks, ReLU, the sum
over all pixels, one linear map; all its weights are spectrally normalised.  They play by the hinge losses
(`core.hinge`), `critic_steps` updates of D to one of G.  With classes, G's batch norm has a gain and bias for each, and
D adds the inner product of its features with a vector of the class (projection; Miyato and Koyama 2018).

D sees dequantised images (`models.dequantise`), so the 8-bit grid gives no real image away; a sample is the cell that
G's point lies in.  In training G's batch norm uses the batch's statistics.  A sample uses the running statistics
of the training's batches, averaged over steps like the weights: it depends on no other sample.  Its latent, and the
class, which follows the frequencies of the training rows, are drawn per fixed block of ids.

| symbol | meaning | shape, dtype |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| z | latents, standard normal | (N, latents) float32 |
| points | continuous images in [-1, 1] | (N, C, H, W) float32 |
| labels | classes, of a conditional model | (N,) int64 |
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.config_generators import SNGANConfig
from lfiw_ray.core import hinge, noise
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.batch_norm import BatchNorm
from lfiw_ray.models.class_labels import ClassLabels
from lfiw_ray.models.dequantise import dequantised, to_cells
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.players import Batch, Player
from lfiw_ray.models.residual import DownBlock, UpBlock, convolution
from lfiw_ray.models.spectral_norm import spectral_norm
from lfiw_ray.models.transfer import to_device, to_host

_SMALLEST_GRID, _LARGEST_GRID = 4, 7  # cells of the shorter side where the generator starts
_CRITIC_GRID = 8  # the critic halves the longer side until it is at most this


def doublings(image_shape: tuple[int, int, int]) -> int:
    """How often a grid of 4 to 7 cells is doubled to reach the image.

    Raises
    ------
    ConfigError
        when no such grid does, naming the sizes.
    """
    height, width, _ = image_shape
    for count in range(1, 12):
        grid = min(height, width) / 2**count
        if _SMALLEST_GRID <= grid <= _LARGEST_GRID and not height % 2**count and not width % 2**count:
            return count
    raise ConfigError(
        "the SNGAN needs a height and width that the same power of 2 divides, such as 8, 28, 32, 48 or 64, leaving "
        f"4 to 7 of the smaller; the images are {height} x {width}: resize them or choose another generator.model"
    )


class Generator(nn.Module):
    """Latents (and labels) to points."""

    def __init__(self, config: SNGANConfig, image_shape: tuple[int, int, int], num_classes: int | None):
        super().__init__()
        height, width, channels = image_shape
        count = doublings(image_shape)
        self._grid = (config.width, height >> count, width >> count)
        self.first = nn.Linear(config.latents, config.width * self._grid[1] * self._grid[2])
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.zeros_(self.first.bias)
        self.blocks = nn.ModuleList(UpBlock(config.width, config.width, num_classes) for _ in range(count))
        self.norm = BatchNorm(config.width)
        self.last = convolution(config.width, channels, 3)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Points (N, C, H, W) float32."""
        h = self.first(z).unflatten(1, self._grid)
        for block in self.blocks:
            h = block(h, labels)
        return torch.tanh(self.last(F.relu(self.norm(h, None))).float())


class Critic(nn.Module):
    """Points (and labels) to one number a row, high for what looks real."""

    def __init__(self, width: int, image_shape: tuple[int, int, int], num_classes: int | None):
        super().__init__()
        side, channels = max(image_shape[:2]), image_shape[2]
        blocks = [DownBlock(channels, width, halves=True, first=True)]
        while (side := -(-side // 2)) > _CRITIC_GRID:
            blocks.append(DownBlock(width, width, halves=True))
        blocks += [DownBlock(width, width, halves=False) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        self.last = spectral_norm(nn.Linear(width, 1))
        self.classes = spectral_norm(nn.Embedding(num_classes, width)) if num_classes else None

    def forward(self, points: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """(N,) float32."""
        h = F.relu(self.blocks(points)).sum((2, 3))
        out: torch.Tensor = self.last(h)[:, 0]
        if self.classes is not None:
            out = out + (self.classes(labels) * h).sum(1)
        return out.float()


class SNGAN(nn.Module):
    """Both players, for images of `image_shape` (H, W, C).

    Parameters
    ----------
    class_counts : training rows of each class, for a conditional model; None for the others.

    Raises
    ------
    ConfigError
        when the blocks cannot reach the image's size, or there are no classes to condition on.
    """

    def __init__(
        self, config: SNGANConfig, image_shape: tuple[int, int, int], class_counts: tuple[int, ...] | None = None
    ):
        super().__init__()
        self.config, self.image_shape = config, image_shape
        self._classes = ClassLabels(class_counts, "generator.sngan.conditional") if config.conditional else None
        num_classes = self._classes.num_classes if self._classes else None
        self.generator = Generator(config, image_shape, num_classes)
        self.critic = Critic(config.critic_width, image_shape, num_classes)

    def players(self) -> tuple[Player, ...]:
        """The critic, then the generator, whose averaged weights are kept."""
        critic = Player("critic", self.critic_loss, self.config.critic_steps, averaged=False)
        return critic, Player("generator", self.generator_loss)

    def critic_loss(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Hinge loss of a batch (x,) or (x, labels); `real` and `generated` are what the critic says on average."""
        x, labels = batch[0], self._labels(batch)
        points = dequantised(x, noise.uniform(*self.image_shape))
        with torch.no_grad():
            made = self.generator(noise.normal(self.config.latents), labels)
        both = None if labels is None else torch.cat([labels, labels])
        real, generated = self.critic(torch.cat([points, made]), both).chunk(2)
        loss = hinge.critic_loss(real, generated)
        return loss, {"real": real.detach().mean(), "generated": generated.detach().mean()}

    def generator_loss(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Hinge loss of as many generated images as the batch has rows, and of their labels."""
        labels = self._labels(batch)
        made = self.generator(noise.normal(self.config.latents), labels)
        return hinge.generator_loss(self.critic(made, labels)), {}

    def loss(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The critic's loss, for held-out rows: well above that of training when it has learnt rows by heart."""
        return self.critic_loss(batch, noise)

    def _labels(self, batch: Batch) -> torch.Tensor | None:
        if self._classes is None:
            return None
        if len(batch) < 2:
            raise self._classes.missing()
        return batch[1].long()

    def latents(self, sample_ids: np.ndarray, seed: int, stream: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Latents and labels of the given ids, on the model's device; each a function of (seed, stream, id)."""
        device, size = self.generator.first.weight.device, self.config.latents
        z = noise.by_block(seed, stream, sample_ids, lambda rng, n: rng.standard_normal((n, size), dtype=np.float32))
        labels = self.sample_labels(sample_ids, seed, stream)
        return to_device(z, device), None if labels is None else to_device(labels, device)

    def sample_labels(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray | None:
        """(N,) int64 labels of the given samples; None where the model has no labels."""
        return self._classes.draw(sample_ids, seed, stream) if self._classes else None

    @torch.no_grad()
    def images(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Images (N, H, W, C) uint8 of latents and labels, in evaluation mode."""
        if self.training:
            raise ValueError("samples are made in evaluation mode; in training mode each depends on its batch")
        return to_cells(self.generator(z, labels))

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of the given ids; each a function of (seed, stream, id)."""
        return to_host(self.images(*self.latents(sample_ids, seed, stream)))
