"""Layers of PixelCNN++ (Salimans et al. 2017): weight normalisation, shifted convolutions, gated residual blocks.

A convolution looks only at pixels that come before in raster order because of where its zeros are padded:

| stream | kernel | sees, of row r and column c | padding (left, right, top, bottom) |
|---|---|---|---|
| vertical (down-shifted) | 2 x 3 | rows r - 1 and r, columns c - 1 to c + 1 | 1, 1, 1, 0 |
| horizontal (down-right-shifted) | 2 x 2 | rows r - 1 and r, columns c - 1 and c | 1, 0, 1, 0 |

The first layer of each stream is moved on by one row or column (`shifted_down`, `shifted_right`), so that the rest may
see position (r, c) itself.  Weights are w = g v / |v|, the norm over all inputs of an output channel (Salimans and
Kingma 2016), and `fit_to_input` sets g and b from data so that the layer's outputs have mean 0 and a given deviation.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.models.noise import BatchNoise

Padding = tuple[int, int, int, int]
VERTICAL: tuple[tuple[int, int], Padding] = (2, 3), (1, 1, 1, 0)
HORIZONTAL: tuple[tuple[int, int], Padding] = (2, 2), (1, 0, 1, 0)
_GATE_GAIN = 0.1  # of a block's second convolution, so that at the start a block is nearly the identity
_LEAST_VARIANCE = 1e-6  # of an output channel on the first data; a constant one would get an infinite gain


class WeightNormed(nn.Module):
    """A convolution (N, I, H, W) to (N, O, H / stride, W / stride), padded with zeros.

    Parameters
    ----------
    gain : deviation of the outputs at the start.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], padding: Padding, stride: int = 1, gain: float = 1.0
    ):
        super().__init__()
        self.padding, self.stride, self.first_gain = padding, stride, gain
        self.direction = nn.Parameter(0.05 * torch.randn(outputs, inputs, *kernel))
        self.gain = nn.Parameter(torch.full((outputs,), gain))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> torch.Tensor:
        """(O, I, height, width), normalised."""
        norm = torch.linalg.vector_norm(self.direction, dim=(1, 2, 3))
        weight: torch.Tensor = self.direction * (self.gain / norm)[:, None, None, None]
        return weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, self.padding), self.weight(), self.bias, self.stride)


class Upsampling(WeightNormed):
    """The transpose of a strided one: (N, I, H, W) to (N, O, 2 H, 2 W).

    Row i reaches rows 2 i and 2 i + 1.  Column j reaches 2 j and 2 j + 1, and of a kernel of width 3 also 2 j - 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int]):
        super().__init__(inputs, outputs, kernel, (0, 0, 0, 0), stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.conv_transpose2d(x, self.weight().transpose(0, 1), self.bias, self.stride)
        first = out.shape[3] - 2 * x.shape[3]
        return out[:, :, :, first:]


def vertical(inputs: int, outputs: int, stride: int = 1, gain: float = 1.0) -> WeightNormed:
    """A convolution of the vertical stream."""
    return WeightNormed(inputs, outputs, *VERTICAL, stride, gain)


def horizontal(inputs: int, outputs: int, stride: int = 1, gain: float = 1.0) -> WeightNormed:
    """A convolution of the horizontal stream."""
    return WeightNormed(inputs, outputs, *HORIZONTAL, stride, gain)


def pointwise(inputs: int, outputs: int) -> WeightNormed:
    """A linear map of each position ("network in network")."""
    return WeightNormed(inputs, outputs, (1, 1), (0, 0, 0, 0))


def shifted_down(x: torch.Tensor) -> torch.Tensor:
    """Row r of the result is row r - 1; row 0 is zero."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def shifted_right(x: torch.Tensor) -> torch.Tensor:
    """Column c of the result is column c - 1; column 0 is zero."""
    return F.pad(x, (1, 0))[:, :, :, :-1]


def concat_elu(x: torch.Tensor) -> torch.Tensor:
    """elu of x and of -x, along axis 1: twice the channels."""
    return F.elu(torch.cat([x, -x], dim=1))


class GatedBlock(nn.Module):
    """x + a * sigmoid(b), where (a, b) is two convolutions of x, of other streams, and of the label.

    Parameters
    ----------
    conv : `vertical` or `horizontal`.
    num_sides : tensors of other layers that enter at the same position, through concat_elu and a linear map.
    num_classes : of the labels; 0: no labels.
    """

    def __init__(self, filters: int, dropout: float, horizontally: bool, num_sides: int, num_classes: int):
        super().__init__()
        conv = horizontal if horizontally else vertical
        self.dropout = dropout
        self.first = conv(2 * filters, filters)
        self.side = pointwise(2 * num_sides * filters, filters) if num_sides else None
        self.second = conv(2 * filters, 2 * filters, gain=_GATE_GAIN)
        self.classes = nn.Parameter(0.05 * torch.randn(num_classes, 2 * filters)) if num_classes else None

    def forward(
        self,
        x: torch.Tensor,
        sides: Sequence[torch.Tensor],
        labels: torch.Tensor | None,
        noise: BatchNoise | None,
    ) -> torch.Tensor:
        h = self.first(concat_elu(x))
        if self.side is not None:
            h = h + self.side(torch.cat([concat_elu(side) for side in sides], dim=1))
        h = concat_elu(h)
        if noise is not None and self.dropout:
            h = noise.dropout(h, self.dropout)
        h = self.second(h)
        if self.classes is not None and labels is not None:
            h = h + self.classes[labels][:, :, None, None]
        return x + F.glu(h, dim=1)


@torch.no_grad()
def fit_to_input(layer: WeightNormed, inputs: tuple[torch.Tensor, ...]) -> None:
    """Set g and b so that each output channel has mean 0 and deviation `first_gain` on these inputs.

    A forward pre-hook: attached to every layer, one pass through a network fits them in their order.
    """
    layer.gain.fill_(1.0)
    layer.bias.zero_()
    variance, mean = torch.var_mean(layer.forward(*inputs), dim=(0, 2, 3), correction=0)
    layer.gain.copy_(layer.first_gain * (variance + _LEAST_VARIANCE).rsqrt())
    layer.bias.copy_(-mean * layer.gain)
