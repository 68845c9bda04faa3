"""Residual blocks of the generator and the critic of Miyato et al. (2018), appendix B.4, figure 8.

Convolutions start from Glorot's uniform distribution, with gain sqrt(2) inside the blocks, as published.  Unlike there,
the generator's have no bias: the batch norms that follow, the last one at the latest, take any constant away.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.models.batch_norm import BatchNorm
from lfiw_ray.models.spectral_norm import spectral_norm


def convolution(channels_in: int, channels_out: int, size: int, gain: float = 1.0, *, bias: bool = True) -> nn.Conv2d:
    """Convolution of size x size that keeps the resolution."""
    conv = nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=bias)
    nn.init.xavier_uniform_(conv.weight, gain)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class UpBlock(nn.Module):
    """Doubles the resolution: batch norm, ReLU, twice the size, convolution, batch norm, ReLU, convolution."""

    def __init__(self, channels_in: int, channels_out: int, num_classes: int | None):
        super().__init__()
        self.norm1, self.norm2 = BatchNorm(channels_in, num_classes), BatchNorm(channels_out, num_classes)
        self.conv1 = convolution(channels_in, channels_out, 3, math.sqrt(2), bias=False)
        self.conv2 = convolution(channels_out, channels_out, 3, math.sqrt(2), bias=False)
        self.skip = convolution(channels_in, channels_out, 1, bias=False)

    def forward(self, h: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """(N, channels_in, H, W) to (N, channels_out, 2 H, 2 W)."""
        update = self.conv1(_twice(F.relu(self.norm1(h, labels))))
        update = self.conv2(F.relu(self.norm2(update, labels)))
        out: torch.Tensor = update + _twice(self.skip(h))  # a 1 x 1 convolution before or after: the same, but cheaper
        return out


def _twice(h: torch.Tensor) -> torch.Tensor:
    return F.interpolate(h, scale_factor=2.0, mode="nearest")


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, all spectrally normalised; then half the resolution if `halves`.

    The first block of a network sees pixels, to which no ReLU is applied.
    """

    def __init__(self, channels_in: int, channels_out: int, *, halves: bool, first: bool = False):
        super().__init__()
        self.halves, self.first = halves, first
        self.conv1 = spectral_norm(convolution(channels_in, channels_out, 3, math.sqrt(2)))
        self.conv2 = spectral_norm(convolution(channels_out, channels_out, 3, math.sqrt(2)))
        bends = halves or channels_in != channels_out
        self.skip = spectral_norm(convolution(channels_in, channels_out, 1)) if bends else nn.Identity()

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H, W), or half of H and W, rounded up."""
        update = self.conv2(F.relu(self.conv1(h if self.first else F.relu(h))))
        out: torch.Tensor = _half(update) + self.skip(_half(h)) if self.halves else update + self.skip(h)
        return out


def _half(h: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(h, 2, ceil_mode=True)
