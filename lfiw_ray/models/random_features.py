"""A fixed random convolutional network: a feature space that no data and no labels have shaped.

Random features are what Naeem et al. (2020, section 4.3) recommend where an ImageNet network does not fit the
data.  Here they are the independent check on a distance measured in features that a model was trained with.

Three strided convolutions with random orthogonal filters and random biases, ReLU between; kept are the mean
and the root mean square of the first two maps per channel (texture, contrast, stroke width) and the last map
on a 2 x 2 grid (layout), projected to 64 numbers by an orthogonal matrix, which keeps distances up to a
constant (Johnson and Lindenstrauss).

Every parameter is a function of the image's channels alone: drawn by `core.noise` from a constant seed, so that
all runs and machines measure in the same space.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.core import noise
from lfiw_ray.models.scale import to_unit

NUM_FEATURES = 64
_SEED = 2020
_WIDTHS = (32, 64, 64)
_KERNELS = (5, 3, 3)
_GRID = 2
_BIAS_SIGMA = 0.3
_MIN_SIDE = 8


class RandomFeatures(nn.Module):
    """The network; nothing in it is trained.

    Parameters
    ----------
    image_shape : (H, W, C), sides >= 8, 1 or 3 channels.
    """

    def __init__(self, image_shape: tuple[int, int, int]):
        super().__init__()
        height, width, channels = image_shape
        if min(height, width) < _MIN_SIDE or channels not in (1, 3):
            raise ValueError(f"images must be at least {_MIN_SIDE} wide and high with 1 or 3 channels: {image_shape}")
        rng = noise.generator(_SEED, "random features", channels)
        self.convs = nn.ModuleList(
            _conv(rng, a, b, kernel) for a, b, kernel in zip((channels, *_WIDTHS), _WIDTHS, _KERNELS, strict=False)
        )
        num_statistics = 2 * sum(_WIDTHS[:-1]) + _WIDTHS[-1] * _GRID**2
        projection = _orthogonal(rng, NUM_FEATURES, num_statistics) * math.sqrt(num_statistics / NUM_FEATURES)
        self.projection: torch.Tensor
        self.register_buffer("projection", torch.from_numpy(projection.astype(np.float32)))
        self.requires_grad_(False).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of images: (N, H, W, C) uint8 to (N, 64) float32."""
        h = to_unit(x)
        statistics = []
        for conv in self.convs[:-1]:
            h = F.relu(conv(h))
            statistics += [h.mean(dim=(2, 3)), h.square().mean(dim=(2, 3)).sqrt()]
        h = F.relu(self.convs[-1](h))
        statistics.append(F.adaptive_avg_pool2d(h, _GRID).flatten(1))
        return torch.cat(statistics, dim=1) @ self.projection.T

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (N, 64); there are no classes."""
        return self.forward(x), None


def _conv(rng: np.random.Generator, channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    """Stride-2 convolution: filters of norm sqrt(2) in random directions (He et al. 2015), biases N(0, 0.3²)."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2)
    filters = _orthogonal(rng, channels_out, channels_in * kernel**2)
    filters *= math.sqrt(2.0) / np.linalg.norm(filters, axis=1, keepdims=True)
    conv.weight = nn.Parameter(torch.from_numpy(filters.astype(np.float32)).reshape(conv.weight.shape))
    conv.bias = nn.Parameter(torch.from_numpy(_BIAS_SIGMA * rng.standard_normal(channels_out, dtype=np.float32)))
    return conv


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) float64 with orthonormal rows, or columns where there are more rows; uniform (Haar)."""
    drawn = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diag(r))  # makes the factorisation unique, whatever the linear algebra library
    return q if rows >= columns else q.T
