"""Weights divided by their largest singular value (Miyato et al. 2018, "Spectral normalization for GANs").

A linear map W / sigma(W) is 1-Lipschitz.  sigma is found by power iteration: with W as a matrix of one row an output,

    v = W^T u / |W^T u|,   u = W v / |W v|,   sigma = u^T W v,

where u starts where the last training pass ended: a weight changes little in a step, so one iteration a pass keeps up
with it.  u and v are constants to the gradient, which then is that of sigma itself, u v^T.

u is a function of the weights alone, never of a batch, so it is the same on all workers; it lies in the state, so
a resumed training goes on with it.  It is iterated in float32 also under autocast: bfloat16 has three digits.
"""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

_Module = TypeVar("_Module", bound=nn.Module)
_FIRST_ITERATIONS = 20  # from a random start, before the first pass


class SpectralNorm(nn.Module):
    """Parametrisation of a weight (outputs, ...) float32 as weight / sigma; each training pass iterates once."""

    u: torch.Tensor

    def __init__(self, weight: torch.Tensor):
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(len(weight), device=weight.device), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self._iterate(weight.detach().flatten(1))

    @torch.no_grad()
    def _iterate(self, matrix: torch.Tensor) -> None:
        self.u.copy_(F.normalize(matrix @ F.normalize(matrix.T @ self.u, dim=0), dim=0))

    def sigma(self, weight: torch.Tensor) -> torch.Tensor:
        """Estimate of the largest singular value, a scalar, never above it; gradients flow to the weight."""
        matrix = weight.flatten(1)
        u = self.u.clone()  # a later pass of the same step moves the buffer
        v = F.normalize(matrix.detach().T @ u, dim=0)
        return torch.dot(u, matrix @ v)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The normalised weight."""
        device = "cpu" if weight.is_meta else weight.device.type  # autocast knows no device without memory
        with torch.autocast(device, enabled=False):
            if self.training:
                self._iterate(weight.detach().flatten(1))
            return weight / self.sigma(weight)


def spectral_norm(module: _Module) -> _Module:
    """The same module with its `weight` normalised at every use; the weight must not be zero."""
    parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight))  # type: ignore[arg-type]
    return module
