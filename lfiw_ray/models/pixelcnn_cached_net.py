"""The whole network of PixelCNN++ one position at a time; `pixelcnn_cache` has its layers.

A coarse level acts at every second row and column of the next finer one, as a strided convolution does, and its
upsampled outputs wait until the finer level comes to them.  An image thus costs about one forward pass altogether,
where the plain sampler makes one for each pixel.
"""

import torch
import torch.nn.functional as F

from lfiw_ray.models.pixelcnn_cache import (
    PixelBlock,
    PixelConv,
    PixelGrowth,
    RowBlock,
    RowConv,
    RowGrowth,
    concat_elu,
    taps,
)
from lfiw_ray.models.pixelcnn_net import Inner, Level, PixelNet


class CachedLevel:
    """One resolution and those inside; see `pixelcnn_net.Level`."""

    def __init__(self, level: Level, width: int, batch: int, labels: torch.Tensor | None):
        self._down_u, self._up_u = (
            [RowBlock(block, width, batch, labels) for block in blocks]  # type: ignore[arg-type]
            for blocks in (level.down_u, level.up_u)
        )
        self._down_ul, self._up_ul = (
            [PixelBlock(block, width, batch, labels) for block in blocks]  # type: ignore[arg-type]
            for blocks in (level.down_ul, level.up_ul)
        )
        self._inner = None if level.inner is None else CachedInner(level.inner, width, batch, labels)

    def begin(self, row: int, u: torch.Tensor) -> torch.Tensor:
        """Begin a row: its whole vertical stream, from flat u to flat output, and what the horizontal one owes it."""
        active = concat_elu(u)
        sides = [active]
        for down_u, down_ul in zip(self._down_u, self._down_ul, strict=True):
            u = down_u.row(u, active, None)
            active = concat_elu(u)
            sides.append(active)
            down_ul.begin(active)
        if self._inner is None:
            sides.pop()
        else:
            u = self._inner.begin(row, u)
            active = concat_elu(u)
        for up_u, up_ul in zip(self._up_u, self._up_ul, strict=True):
            u = up_u.row(u, active, sides.pop())
            active = concat_elu(u)
            up_ul.begin(active)
        return u

    def pixel(self, row: int, column: int, ul: torch.Tensor) -> torch.Tensor:
        """The horizontal stream at a position, (N, I) to (N, I)."""
        sides = []
        for down in self._down_ul:
            ul = down.pixel(column, ul)
            sides.append(down.active(column))
        if self._inner is not None:
            sides.append(concat_elu(ul))
            ul = self._inner.pixel(row, column, ul)
        for up in self._up_ul:
            ul = up.pixel(column, ul, sides.pop())
        return ul


class CachedInner:
    """A level of half the resolution, with the way there and back."""

    def __init__(self, inner: Inner, width: int, batch: int, labels: torch.Tensor | None):
        self._shrink_u = RowConv(inner.shrink_u, width, batch)
        self._shrink_ul = PixelConv(inner.shrink_ul, width, batch)
        self._level = CachedLevel(inner.level, width // 2, batch, labels)
        self._grow_u = RowGrowth(inner.grow_u, width // 2, batch)
        self._grow_ul = PixelGrowth(inner.grow_ul, width // 2, batch)
        self._u: list[torch.Tensor] = []

    def begin(self, row: int, u: torch.Tensor) -> torch.Tensor:
        """See `CachedLevel.begin`; the coarse level begins at even rows."""
        self._shrink_u.feed(u)
        self._shrink_ul.turn()
        if row % 2 == 0:
            self._shrink_ul.prepare()
            self._u = self._grow_u.rows(self._level.begin(row // 2, self._shrink_u.row()))
        return self._u[row % 2]

    def pixel(self, row: int, column: int, ul: torch.Tensor) -> torch.Tensor:
        """See `CachedLevel.pixel`; the coarse level acts at even rows and columns."""
        self._shrink_ul.place(column).whole.copy_(ul)
        if row % 2 == 0 and column % 2 == 0:
            coarse = self._level.pixel(row // 2, column // 2, self._shrink_ul.pixel(column))
            self._grow_ul.put(column // 2, coarse)
        return self._grow_ul.get(row, column)


class CachedNet:
    """A network over the positions of a batch of images in raster order: `begin` a row; then `pixel` and `put` each.

    Parameters
    ----------
    labels : (N,) int64, or None.
    """

    def __init__(self, net: PixelNet, width: int, batch: int, labels: torch.Tensor | None):
        self._above = RowConv(net.above, width, batch)
        self._above_row = RowConv(net.above_row, width, batch)
        self._left_above, self._left = taps(net.left)[:, 0]
        self._left_bias = net.left.bias
        self._level = CachedLevel(net.level, width, batch, labels)
        self._last, self._last_bias = taps(net.last)[0, 0], net.last.bias
        self._batch, self._shape = batch, (width, batch, net.left.bias.shape[0])
        self._x = net.left.bias.new_ones(width, batch, net.left.direction.shape[1])  # the last channel stays 1
        self._inputs: tuple[torch.Tensor, ...] = ()

    def begin(self, row: int) -> None:
        """Begin a row, after all positions of the one above were put.  At row 0 nothing is above, not even a bias."""
        n, above = self._batch, self._x.flatten(0, 1)
        u = above.new_zeros(self._shape).flatten(0, 1)
        ul = torch.zeros_like(u)
        ul[n:] += self._left_bias
        if row:
            self._above.feed(above)
            self._above_row.feed(above)
            u = self._above.row()
            ul += self._above_row.row()
            ul[n:].addmm_(above[:-n], self._left_above)
        self._level.begin(row, u)
        self._inputs = ul.view(self._shape).unbind(0)

    def pixel(self, row: int, column: int) -> torch.Tensor:
        """The network's outputs (N, outputs) at a position."""
        ul = self._inputs[column]
        if column:
            ul.addmm_(self._x[column - 1], self._left)
        ul = self._level.pixel(row, column, ul)
        return torch.addmm(self._last_bias, F.elu(ul), self._last)

    def put(self, column: int, x: torch.Tensor) -> None:
        """Take in the pixel at a position, (N, C) in [-1, 1]."""
        self._x[column, :, :-1] = x
