"""Invertible layers of a flow: each maps (N, C, H, W) to the same shape and knows log |det| and its inverse.

Affine: h exp(s) + b, per channel or per value.  Mix: a square matrix applied to the channels at every place (the
invertible 1 x 1 convolution of Kingma and Dhariwal 2018, equation 3.2).  Coupling (Dinh et al. 2017, equations 7
and 8): one half a of the channels stays, the other becomes b exp(s(a)) + t(a), so that the Jacobian is triangular.
All but the coupling's networks is computed in float32, whatever the precision of training: an inverse and a
determinant of rounded maps would be those of other maps.
"""

import torch
import torch.nn.functional as F
from torch import nn

_LOG_SCALE_LIMIT = 2.0  # of a coupling: bounds how far an error grows on the way back


def squeeze(h: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) to (N, 4 C, H / 2, W / 2): each 2 x 2 pixels become channels."""
    return F.pixel_unshuffle(h, 2)


def unsqueeze(h: torch.Tensor) -> torch.Tensor:
    """The inverse of `squeeze`."""
    return F.pixel_shuffle(h, 2)


class Affine(nn.Module):
    """h exp(log_scale) + shift with parameters of `shape`, each of which serves `num_places` values of an image."""

    def __init__(self, shape: tuple[int, int, int], num_places: int, log_scale: float = 0.0):
        super().__init__()
        self.num_places = num_places
        self.log_scale = nn.Parameter(torch.full(shape, log_scale))
        self.shift = nn.Parameter(torch.zeros(shape))

    def forward(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and log |det| (scalar: the same for every row)."""
        return h * self.log_scale.exp() + self.shift, self.log_scale.sum() * self.num_places

    def inverse(self, h: torch.Tensor) -> torch.Tensor:
        """(h - shift) exp(-log_scale)."""
        return (h - self.shift) * torch.exp(-self.log_scale)


class Mix(nn.Module):
    """One invertible matrix on the channels of each of `num_places` places; a random rotation at first."""

    def __init__(self, channels: int, num_places: int):
        super().__init__()
        self.num_places = num_places
        self.matrix = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))

    def forward(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and log |det| (scalar)."""
        return _mixed(self.matrix, h), torch.linalg.slogdet(self.matrix).logabsdet * self.num_places

    def inverse(self, h: torch.Tensor) -> torch.Tensor:
        """With the inverse matrix, which is found in float64."""
        return _mixed(torch.linalg.inv(self.matrix.double()).float(), h)


def _mixed(matrix: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    with torch.autocast(h.device.type, enabled=False):
        return torch.einsum("ij,njhw->nihw", matrix, h)


class Coupling(nn.Module):
    """The second half of the channels, scaled and shifted by a network of the first half and of the place.

    Parameters
    ----------
    shape : (C, H, W) of what is mapped.
    width : channels of the network.
    """

    def __init__(self, shape: tuple[int, int, int], width: int):
        super().__init__()
        channels, height, breadth = shape
        self.place = nn.Parameter(torch.zeros(width, height, breadth))  # what a convolution cannot know
        self.first = nn.Conv2d(channels // 2, width, 3, padding=1)
        self.middle = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and log |det| (N,)."""
        kept, changed = h.chunk(2, 1)
        log_scale, shift = self._parameters_of(kept)
        return torch.cat([kept, changed * log_scale.exp() + shift], 1), log_scale.flatten(1).sum(1)

    def inverse(self, h: torch.Tensor) -> torch.Tensor:
        """The half that stayed gives the same scale and shift again."""
        kept, changed = h.chunk(2, 1)
        log_scale, shift = self._parameters_of(kept)
        return torch.cat([kept, (changed - shift) * torch.exp(-log_scale)], 1)

    def _parameters_of(self, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = F.silu(self.middle(F.silu(self.first(kept) + self.place)))
        log_scale, shift = self.last(hidden).float().chunk(2, 1)
        return _LOG_SCALE_LIMIT * torch.tanh(log_scale / _LOG_SCALE_LIMIT), shift
