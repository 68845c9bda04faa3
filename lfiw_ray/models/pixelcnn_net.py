"""The network of PixelCNN++: two streams through three resolutions, with a skip from every layer down to one up.

A level is `blocks` residual blocks in each stream, the next coarser level, and `blocks + 1` more blocks (`blocks` on
the coarsest), each of which takes the output of the layer it mirrors.  The vertical stream u of row r knows the rows
above r; the horizontal stream ul of (r, c) also knows row r left of c, and takes u as a side input.  The input has an
additional channel of ones, so that the zeros of the padding differ from a grey pixel.
"""

import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.pixelcnn_layers import (
    GatedBlock,
    Upsampling,
    WeightNormed,
    horizontal,
    pointwise,
    shifted_down,
    shifted_right,
    vertical,
)

NUM_LEVELS = 3


class Level(nn.Module):
    """One resolution, and those coarser than it inside.

    Parameters
    ----------
    coarser : number of levels inside.
    """

    def __init__(self, blocks: int, filters: int, dropout: float, num_classes: int, coarser: int):
        super().__init__()

        def chain(count: int, horizontally: bool, num_sides: int) -> nn.ModuleList:
            return nn.ModuleList(
                GatedBlock(filters, dropout, horizontally, num_sides, num_classes) for _ in range(count)
            )

        up = blocks + 1 if coarser else blocks
        self.down_u, self.down_ul = chain(blocks, False, 0), chain(blocks, True, 1)
        self.up_u, self.up_ul = chain(up, False, 1), chain(up, True, 2)
        self.inner: Inner | None = Inner(blocks, filters, dropout, num_classes, coarser) if coarser else None

    def forward(
        self, u: torch.Tensor, ul: torch.Tensor, labels: torch.Tensor | None, noise: BatchNoise | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        us, uls = [u], [ul]
        for block_u, block_ul in zip(self.down_u, self.down_ul, strict=True):
            us.append(block_u(us[-1], (), labels, noise))
            uls.append(block_ul(uls[-1], (us[-1],), labels, noise))
        if self.inner is None:
            u, ul = us.pop(), uls.pop()
        else:
            u, ul = self.inner(us[-1], uls[-1], labels, noise)
        for block_u, block_ul in zip(self.up_u, self.up_ul, strict=True):
            u = block_u(u, (us.pop(),), labels, noise)
            ul = block_ul(ul, (u, uls.pop()), labels, noise)
        return u, ul


class Inner(nn.Module):
    """A level of half the resolution, with the way there and back."""

    def __init__(self, blocks: int, filters: int, dropout: float, num_classes: int, coarser: int):
        super().__init__()
        self.shrink_u, self.shrink_ul = vertical(filters, filters, stride=2), horizontal(filters, filters, stride=2)
        self.level = Level(blocks, filters, dropout, num_classes, coarser - 1)
        self.grow_u, self.grow_ul = Upsampling(filters, filters, (2, 3)), Upsampling(filters, filters, (2, 2))

    def forward(
        self, u: torch.Tensor, ul: torch.Tensor, labels: torch.Tensor | None, noise: BatchNoise | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        u, ul = self.level(self.shrink_u(u), self.shrink_ul(ul), labels, noise)
        return self.grow_u(u), self.grow_ul(ul)


class PixelNet(nn.Module):
    """Pixels (N, C, H, W) to `outputs` numbers for each position, which depend only on the pixels before it."""

    def __init__(self, channels: int, outputs: int, blocks: int, filters: int, dropout: float, num_classes: int):
        super().__init__()
        self.above = vertical(channels + 1, filters)
        self.above_row = WeightNormed(channels + 1, filters, (1, 3), (1, 1, 0, 0))
        self.left = WeightNormed(channels + 1, filters, (2, 1), (0, 0, 1, 0))
        self.level = Level(blocks, filters, dropout, num_classes, NUM_LEVELS - 1)
        self.last = pointwise(filters, outputs)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None, noise: BatchNoise | None) -> torch.Tensor:
        """(N, C, H, W) in [-1, 1], labels (N,) int64 or None, noise of the dropout or None: (N, outputs, H, W)."""
        x = F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0)
        u = shifted_down(self.above(x))
        ul = shifted_down(self.above_row(x)) + shifted_right(self.left(x))
        _, ul = self.level(u, ul, labels, noise)
        out: torch.Tensor = self.last(F.elu(ul))
        return out
