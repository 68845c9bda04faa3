"""Two samplers of PixelCNN++ that give the same images for the same noise.

The plain one makes a forward pass over the whole image for each pixel; the cached one computes each layer once at
each position.  Both are the same sums in another order, so that in float32 a value may be rounded to the neighbouring
one where the drawn number lies within rounding of the middle of two grid values (2 of 49,152 values were seen to).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from lfiw_ray.core import logistic_mixture
from lfiw_ray.models.pixelcnn_cached_net import CachedNet
from lfiw_ray.models.pixelcnn_net import PixelNet


class PixelNoise(NamedTuple):
    """All that is random in a batch of samples."""

    gumbel: torch.Tensor  # (N, M, H, W), of the component
    uniform: torch.Tensor  # (N, C, H, W) in [0, 1), of the channels
    labels: torch.Tensor | None  # (N,) int64


def unit(values: torch.Tensor) -> torch.Tensor:
    """Values 0 .. 255 to the [-1, 1] range."""
    return values / 127.5 - 1.0


@torch.inference_mode()
def sample_cached(net: PixelNet, noise: PixelNoise) -> torch.Tensor:
    """Images (N, C, H, W), integers 0 .. 255 in the network's dtype."""
    batch, _, height, width = noise.uniform.shape
    gumbel, uniform = (t.permute(2, 3, 0, 1).contiguous() for t in noise[:2])
    out = torch.empty_like(uniform)
    cached = CachedNet(net, width, batch, noise.labels)
    for row in range(height):
        cached.begin(row)
        for column in range(width):
            params = cached.pixel(row, column)
            values = logistic_mixture.sample(params, gumbel[row, column], uniform[row, column])
            cached.put(column, unit(values))
            out[row, column] = values
    return out.permute(2, 3, 0, 1)


@torch.inference_mode()
def sample_plain(net: PixelNet, noise: PixelNoise, pixels: Iterable[tuple[int, int]] | None = None) -> torch.Tensor:
    """The same images by a whole forward pass for each pixel.

    Parameters
    ----------
    pixels : (row, column) of those to draw, in raster order; the others stay 0.  None: all.
    """
    _, _, height, width = noise.uniform.shape
    values = torch.zeros_like(noise.uniform)
    for row, column in pixels or ((row, column) for row in range(height) for column in range(width)):
        params = net(unit(values), noise.labels, None)[:, :, row, column]
        drawn = logistic_mixture.sample(params, noise.gumbel[:, :, row, column], noise.uniform[:, :, row, column])
        values[:, :, row, column] = drawn
    return values


@torch.inference_mode()
def redraw(net: PixelNet, noise: PixelNoise, values: torch.Tensor) -> torch.Tensor:
    """What the plain sampler draws at each pixel when those before it are the given ones, by one forward pass.

    It equals `values` everywhere exactly when the plain sampler gives `values`: by induction over the pixels.
    """
    return logistic_mixture.sample(net(unit(values), noise.labels, None), noise.gumbel, noise.uniform)
