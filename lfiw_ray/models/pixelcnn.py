"""PixelCNN++ (Salimans et al. 2017): each pixel given those before it, as a mixture of discretised logistics.

log P(image) is the sum of log P(pixel | pixels before it, in raster order): an exact likelihood, trained on directly
and reported as `bpd`, bits per pixel value.  Weights are averaged by the trainer (Polyak), and before the first step
gains and biases are fitted to data (`prepare`), so that every layer's outputs have mean 0 and deviation 1.

With `conditional` the labels, the second array of the training data, shift every block; a sample's label is drawn
with the frequencies of the training rows.

| symbol | meaning | shape, dtype |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| labels | classes | (N,) int64 |
"""

import math

import numpy as np
import torch
from torch import nn

from lfiw_ray.config_generators import PixelCNNConfig
from lfiw_ray.core import logistic_mixture, noise
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.class_labels import ClassLabels
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.pixelcnn_layers import WeightNormed, fit_to_input
from lfiw_ray.models.pixelcnn_net import NUM_LEVELS, PixelNet
from lfiw_ray.models.pixelcnn_sampler import PixelNoise, sample_cached, unit
from lfiw_ray.models.transfer import to_host

_FIRST_ROWS = 64  # that gains and biases are fitted to
_SMALLEST_UNIFORM = 2.0**-25  # float32 uniforms are multiples of 2**-24: 0 occurs


def _check_shape(image_shape: tuple[int, int, int]) -> None:
    height, width, channels = image_shape
    step = 2 ** (NUM_LEVELS - 1)
    if height % step or width % step or min(height, width) < step:
        raise ConfigError(f"PixelCNN++ needs a height and width divisible by {step}, the images are {height} x {width}")
    if channels not in (1, 3):
        raise ConfigError(f"PixelCNN++ needs 1 or 3 channels, the images have {channels}")


class PixelCNN(nn.Module):
    """The model of images of `image_shape` (H, W, C).

    Parameters
    ----------
    class_counts : training rows of each class, for a conditional model; None for the others.

    Raises
    ------
    ConfigError
        when H or W is not divisible by 4, C is neither 1 nor 3, or there are no classes to condition on.
    """

    def __init__(
        self, config: PixelCNNConfig, image_shape: tuple[int, int, int], class_counts: tuple[int, ...] | None = None
    ):
        super().__init__()
        _check_shape(image_shape)
        self.config, self.image_shape = config, image_shape
        self._classes = ClassLabels(class_counts, "generator.pixelcnn.conditional") if config.conditional else None
        num_classes = self._classes.num_classes if self._classes else 0
        channels, outputs = image_shape[2], logistic_mixture.num_params(config.mixtures, image_shape[2])
        self.net = PixelNet(channels, outputs, config.blocks, config.filters, config.dropout, num_classes)

    def prepare(self, data: tuple[np.ndarray, ...], seed: int) -> None:
        """Fit gains and biases to some of the training rows, a function of the seed; called once, before training.

        Parameters
        ----------
        data : images (N, H, W, C) uint8, and labels (N,) of a conditional model.
        """
        chosen = np.sort(noise.generator(seed, "pixelcnn/first").permutation(len(data[0]))[:_FIRST_ROWS])
        device = self.net.last.bias.device
        batch = tuple(torch.from_numpy(array[chosen]).to(device) for array in data)
        rows = len(chosen)
        fitted = [m.register_forward_pre_hook(fit_to_input) for m in self.modules() if isinstance(m, WeightNormed)]
        with torch.no_grad():
            self._params(batch, BatchNoise(seed, 0, 0, rows, rows, device))
        for hook in fitted:
            hook.remove()

    def _params(self, batch: tuple[torch.Tensor, ...], dropout: BatchNoise | None) -> torch.Tensor:
        """Parameters of every pixel's mixture, (N, K, H, W) float32 (or the weights' dtype)."""
        if self._classes and len(batch) < 2:
            raise self._classes.missing()
        x = unit(batch[0].permute(0, 3, 1, 2).to(self.net.last.bias.dtype))
        params: torch.Tensor = self.net(x, batch[1].long() if self.config.conditional else None, dropout)
        return params.to(x.dtype)

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean of -log P of (N, H, W, C) uint8 images, nats a row; metric `bpd`, the same in bits per pixel value."""
        params = self._params(batch, noise if self.training else None)
        nats = -logistic_mixture.log_prob(params, batch[0].permute(0, 3, 1, 2)).flatten(1).sum(1).mean()
        return nats, {"bpd": nats.detach() / (math.log(2) * math.prod(self.image_shape))}

    def pixel_noise(self, sample_ids: np.ndarray, seed: int, stream: str) -> PixelNoise:
        """Noise of the given ids, on the model's device and in its dtype; each a function of (seed, stream, id)."""
        (height, width, channels), like = self.image_shape, self.net.last.bias
        shape = (height, width, self.config.mixtures + channels)

        def draw(rng: np.random.Generator, n: int) -> np.ndarray:
            return rng.random((n, *shape), dtype=np.float32)

        drawn = torch.from_numpy(noise.by_block(seed, stream, sample_ids, draw)).to(like).permute(0, 3, 1, 2)
        first, uniform = drawn[:, : self.config.mixtures], drawn[:, self.config.mixtures :]
        gumbel = -torch.log(-torch.log(first.clamp(min=_SMALLEST_UNIFORM)))
        labels = self.sample_labels(sample_ids, seed, stream)
        return PixelNoise(gumbel, uniform, None if labels is None else torch.from_numpy(labels).to(like.device))

    def sample_labels(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray | None:
        """(N,) int64 labels of the given samples; None where the model has no labels."""
        return self._classes.draw(sample_ids, seed, stream) if self._classes else None

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of the given ids; each a function of (seed, stream, id)."""
        values = sample_cached(self.net, self.pixel_noise(sample_ids, seed, stream))
        return to_host(values.to(torch.uint8).permute(0, 2, 3, 1).contiguous())
