"""The layers of PixelCNN++ one row, or one position, at a time (Ramachandran et al. 2017, "Fast generation for
convolutional autoregressive models").

A 2-row convolution needs of its input only this row and the one above, so each layer keeps two lines and nothing is
computed twice.  What a row needs of finished rows is one large matrix product, made when the row begins; a position
then costs two small products for each convolution, of its own column and of the one to the left.

Lines are (column, row of the batch, channel), one column of zeros on each padded side, so that a convolution's tap is
a slice, and a matrix, without a copy.  N is the batch, W a line's columns; flat means (W N, channels), column first.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from lfiw_ray.models.pixelcnn_layers import GatedBlock, Upsampling, WeightNormed


def taps(layer: WeightNormed) -> torch.Tensor:
    """(height, width, I, O): the normalised weight as matrices that are applied from the right."""
    return layer.weight().permute(2, 3, 1, 0).contiguous()


def concat_elu(flat: torch.Tensor) -> torch.Tensor:
    """elu of x and of -x, along the last axis."""
    return F.elu(torch.cat([flat, -flat], dim=-1), inplace=True)


class RowConv:
    """A layer of the vertical stream, whose kernel is three columns and one or two rows; a whole row at a time.

    Parameters
    ----------
    offset : (O,) or (N, O) added to every output, beside the layer's own bias; or None.
    """

    def __init__(self, layer: WeightNormed, width: int, batch: int, offset: torch.Tensor | None = None):
        self._taps = taps(layer)
        height, _, inputs, outputs = self._taps.shape
        self._bias = layer.bias if offset is None else layer.bias + offset
        self._batch, self._stride, self._width = batch, layer.stride, width
        self._lines = [self._bias.new_zeros(width + 2, batch, inputs) for _ in range(height)]
        self._out_shape = (width // layer.stride, batch, outputs)

    def feed(self, flat: torch.Tensor) -> None:
        """Take in the next row, flat (W N, I); the oldest is forgotten."""
        self._lines = [*self._lines[1:], self._lines[0]]
        self._lines[-1][1:-1].copy_(flat.view(self._width, self._batch, -1))

    def row(self) -> torch.Tensor:
        """Flat output of the row fed last."""
        out = self._bias.expand(self._out_shape).reshape(-1, self._out_shape[2]).clone()
        for line, of_line in zip(self._lines, self._taps, strict=True):
            for column, tap in enumerate(of_line):
                seen = line[column : column + self._width : self._stride]
                out.addmm_(seen.reshape(-1, seen.shape[2]), tap)
        return out


class Place(NamedTuple):
    """A position of a line, (N, I): as a whole, and its two halves."""

    whole: torch.Tensor
    upper: torch.Tensor
    lower: torch.Tensor

    def put_concat_elu(self, x: torch.Tensor) -> None:
        """Write elu of x and of -x, for x (N, I / 2)."""
        self.upper.copy_(x)
        torch.neg(x, out=self.lower)
        F.elu(self.whole, inplace=True)


class PixelConv:
    """A layer of the horizontal stream, 2 x 2, a position at a time.  `offset` as in `RowConv`."""

    def __init__(self, layer: WeightNormed, width: int, batch: int, offset: torch.Tensor | None = None):
        self._taps = taps(layer)
        inputs, outputs = self._taps.shape[2:]
        self._above = self._taps[0]
        self._left, self._here = self._taps[1]
        self._bias = layer.bias if offset is None else layer.bias + offset
        self._width, self._stride = width, layer.stride
        self._lines = [self._bias.new_zeros(width + 1, batch, inputs) for _ in range(2)]
        self._places = [[Place(t, *t.chunk(2, dim=1)) for t in line] for line in self._lines]
        self._known = self._bias.new_empty(width // layer.stride, batch, outputs)
        self._outputs = self._known.unbind(0)

    def turn(self) -> None:
        """Begin a row: this row becomes the one above."""
        self._lines.reverse()
        self._places.reverse()

    def prepare(self) -> torch.Tensor:
        """Compute what this row's outputs owe to the row above; flat, to which more may be added."""
        self._known.copy_(self._bias)
        known = self._known.flatten(0, 1)
        for column, tap in enumerate(self._above):
            seen = self._lines[0][column : column + self._width : self._stride]
            known.addmm_(seen.reshape(-1, seen.shape[2]), tap)
        return known

    def place(self, column: int) -> Place:
        """Where the input of a position is written."""
        return self._places[1][column + 1]

    def pixel(self, column: int) -> torch.Tensor:
        """(N, O) at a position of the input's grid, once; its input is in place."""
        places = self._places[1]
        out = self._outputs[column // self._stride]
        return out.addmm_(places[column].whole, self._left).addmm_(places[column + 1].whole, self._here)


class RowBlock:
    """A gated block of the vertical stream."""

    def __init__(self, block: GatedBlock, width: int, batch: int, labels: torch.Tensor | None):
        self._first = RowConv(block.first, width, batch, _of_side(block))
        self._side = None if block.side is None else taps(block.side)[0, 0]
        self._second = RowConv(block.second, width, batch, _of_labels(block, labels))

    def row(self, u: torch.Tensor, active: torch.Tensor, side: torch.Tensor | None) -> torch.Tensor:
        """Flat output for flat u, its concat_elu, and the concat_elu of the side input."""
        self._first.feed(active)
        h = self._first.row()
        if self._side is not None and side is not None:
            h.addmm_(side, self._side)
        self._second.feed(concat_elu(h))
        return F.glu(self._second.row(), dim=1).add_(u)


class PixelBlock:
    """A gated block of the horizontal stream; its first side input is the vertical stream's row."""

    def __init__(self, block: GatedBlock, width: int, batch: int, labels: torch.Tensor | None):
        assert block.side is not None
        self._first = PixelConv(block.first, width, batch, _of_side(block))
        self._second = PixelConv(block.second, width, batch, _of_labels(block, labels))
        side, inputs = taps(block.side)[0, 0], block.second.weight().shape[1]
        self._of_row, self._of_pixel = side[:inputs], side[inputs:]

    def begin(self, side: torch.Tensor) -> None:
        """Begin a row, whose vertical stream is concat_elu'd and flat in `side`."""
        self._first.turn()
        self._second.turn()
        self._first.prepare().addmm_(side, self._of_row)
        self._second.prepare()

    def active(self, column: int) -> torch.Tensor:
        """The concat_elu of the input at a position, (N, 2 I), after `pixel`."""
        return self._first.place(column).whole

    def pixel(self, column: int, x: torch.Tensor, side: torch.Tensor | None = None) -> torch.Tensor:
        """(N, O) for x (N, I) and the concat_elu of another layer at this position."""
        self._first.place(column).put_concat_elu(x)
        h = self._first.pixel(column)
        if side is not None:
            h.addmm_(side, self._of_pixel)
        self._second.place(column).put_concat_elu(h)
        return F.glu(self._second.pixel(column), dim=1).add_(x)


def _of_side(block: GatedBlock) -> torch.Tensor | None:
    if block.side is None:
        return None
    bias: torch.Tensor = block.side.bias
    return bias


def _of_labels(block: GatedBlock, labels: torch.Tensor | None) -> torch.Tensor | None:
    if block.classes is None or labels is None:
        return None
    offset: torch.Tensor = block.classes[labels]
    return offset


class RowGrowth:
    """Upsampling of the vertical stream: one row to two of twice the width."""

    def __init__(self, layer: Upsampling, width: int, batch: int):
        self._taps, self._bias, self._shape = taps(layer), layer.bias, (width, batch, -1)

    def rows(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Both rows, flat."""
        out = []
        for before, even, odd in self._taps:
            row = torch.stack([(flat @ even).view(self._shape), (flat @ odd).view(self._shape)], dim=1)
            row[:-1, 1] += (flat @ before).view(self._shape)[1:]
            out.append((row + self._bias).flatten(0, 2))
        return out


class PixelGrowth:
    """Upsampling of the horizontal stream: a position to 2 x 2, kept until their rows come."""

    def __init__(self, layer: Upsampling, width: int, batch: int):
        weight = taps(layer)  # (2, 2, I, O)
        outputs = weight.shape[3]
        self._weight = weight.permute(2, 0, 1, 3).flatten(1).contiguous()
        self._bias = layer.bias.repeat(4)
        self._kept = layer.bias.new_empty(2, 2 * width, batch, outputs)
        self._batch = batch
        self._outputs = [line.unbind(0) for line in self._kept]

    def put(self, column: int, x: torch.Tensor) -> None:
        """Take in position `column` (of the coarse row), (N, I)."""
        grown = torch.addmm(self._bias, x, self._weight).view(self._batch, 2, 2, -1)
        self._kept[:, 2 * column : 2 * column + 2].copy_(grown.permute(1, 2, 0, 3))

    def get(self, row: int, column: int) -> torch.Tensor:
        """(N, O) at a position of the fine grid."""
        kept: torch.Tensor = self._outputs[row % 2][column]
        return kept
