"""The vision transformer of DINOv2 (Oquab et al. 2024), for its published weights.

A pre-norm transformer (Dosovitskiy et al. 2021) over 14 x 14 patches with a class token, whose residual branches are
scaled per channel (LayerScale, Touvron et al. 2021):

    x <- x + g1 * attention(norm(x)),      x <- x + g2 * mlp(norm(x)),

and whose features are the normalised class token.  Position embeddings were trained on a 37 x 37 grid and are
resized bicubically; the scale factor there is (n + 0.1) / 37 for n patches a side, which the published weights
were used with ever since, so it belongs to the features.  The largest model has a SwiGLU in place of the MLP.

torch-fidelity takes this network from `torch.hub`, which downloads and runs the newest code of a repository; here
nothing but tensors is downloaded.  Parameters carry the names of the published files.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

PATCH = 14
_NORM_EPS = 1e-6
_GRID_OFFSET = 0.1


class Size(NamedTuple):
    """Of a network: features D, blocks, heads of attention, and whether it has a SwiGLU."""

    num_features: int
    depth: int
    num_heads: int
    gated: bool = False


class DinoV2(nn.Module):
    """(N, 3, H, W) normalised float images, H and W multiples of 14, to (N, D) features.

    Parameters
    ----------
    size : of the network.
    grid : patches a side of the position embeddings.
    """

    def __init__(self, size: Size, grid: int = 37):
        super().__init__()
        d = size.num_features
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, d, PATCH, PATCH)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.mask_token = nn.Parameter(torch.zeros(1, d))  # of training alone; the files hold it
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid**2, d))
        self.blocks = nn.Sequential(*[_Block(size) for _ in range(size.depth)])
        self.norm = nn.LayerNorm(d, eps=_NORM_EPS)
        self._grid = grid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of a batch."""
        patches = self.patch_embed["proj"](x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches.flatten(2).mT], dim=1)
        tokens = tokens + self._positions(patches.shape[2], patches.shape[3])
        out: torch.Tensor = self.norm(self.blocks(tokens)[:, 0])
        return out

    def _positions(self, height: int, width: int) -> torch.Tensor:
        if (height, width) == (self._grid, self._grid):
            return self.pos_embed
        square = self.pos_embed[:, 1:].mT.reshape(1, -1, self._grid, self._grid)
        scales = [(n + _GRID_OFFSET) / self._grid for n in (height, width)]
        resized = F.interpolate(square, scale_factor=scales, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).mT], dim=1)


class _Block(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        d = size.num_features
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=_NORM_EPS), nn.LayerNorm(d, eps=_NORM_EPS)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(d, 3 * d), "proj": nn.Linear(d, d)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": torch.ones(d)}) for _ in range(2))
        self.mlp = _SwiGLU(d) if size.gated else _MLP(d)
        self._num_heads = size.num_heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1["gamma"] * self._attention(self.norm1(x))
        out: torch.Tensor = x + self.ls2["gamma"] * self.mlp(self.norm2(x))
        return out

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.attn["qkv"](x).unflatten(2, (3, self._num_heads, -1))  # (N, tokens, 3, heads, D / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out: torch.Tensor = self.attn["proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class _MLP(nn.Module):
    def __init__(self, d: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _SwiGLU(nn.Module):
    """Two thirds of the MLP's width, rounded up to a multiple of 8 (Shazeer 2020)."""

    def __init__(self, d: int):
        super().__init__()
        hidden = (8 * d // 3 + 7) // 8 * 8
        self.w12, self.w3 = nn.Linear(d, 2 * hidden), nn.Linear(hidden, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        out: torch.Tensor = self.w3(F.silu(gate) * value)
        return out
