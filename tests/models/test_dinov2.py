"""DINOv2's transformer against its equations written out."""

import numpy as np
import torch
from torch.nn import functional as F

from lfiw_ray.models import dinov2
from lfiw_ray.models.dinov2 import DinoV2, Size


def test_dinov2_by_another_way() -> None:
    """A block of attention written out, on the grid of the embeddings."""
    torch.manual_seed(0)
    size = Size(6, 1, 2)
    net = DinoV2(size, grid=3).eval()
    state = {key: torch.randn_like(value) for key, value in net.state_dict().items()}
    net.load_state_dict(state)
    x = torch.randn(2, 3, 3 * dinov2.PATCH, 3 * dinov2.PATCH)
    with torch.no_grad():
        np.testing.assert_allclose(net(x), _one_block(state, x, num_heads=2), rtol=1e-4, atol=1e-5)


def test_dinov2_on_another_grid() -> None:
    """Embeddings are read between the patches of the trained grid, by the cubic kernel with a = -3/4."""
    net = DinoV2(Size(2, 1, 1), grid=5).eval()
    grid = torch.randn(5, 5, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.pos_embed[0, 1:] = grid.reshape(25, 2)
        found = net._positions(3, 4)[0, 1:].reshape(3, 4, 2).numpy()
    rows, columns = _cubic(5, 3), _cubic(5, 4)
    np.testing.assert_allclose(found, np.einsum("ya,xb,abd->yxd", rows, columns, grid), rtol=1e-4, atol=1e-5)


def _cubic(old: int, new: int) -> np.ndarray:
    """(new, old) weights of a row's old patches in each new one; the scale is (new + 0.1) / old."""
    out, a = np.zeros((new, old)), -0.75
    for i in range(new):
        place = (i + 0.5) * old / (new + 0.1) - 0.5
        for j in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            t = abs(place - j)
            near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            out[i, min(max(j, 0), old - 1)] += near if t <= 1 else far
    return out


def _one_block(p: dict[str, torch.Tensor], x: torch.Tensor, num_heads: int) -> np.ndarray:
    def norm(t: torch.Tensor, name: str) -> torch.Tensor:
        centred = t - t.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * p[f"{name}.weight"] + p[f"{name}.bias"]
        )

    def linear(t: torch.Tensor, name: str) -> torch.Tensor:
        return t @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    out = []
    for image in x:
        cut = image.unfold(1, 14, 14).unfold(2, 14, 14).permute(1, 2, 0, 3, 4).reshape(9, -1)
        patches = cut @ p["patch_embed.proj.weight"].flatten(1).T + p["patch_embed.proj.bias"]
        t = torch.cat([p["cls_token"][0], patches]) + p["pos_embed"][0]
        q, k, v = linear(norm(t, "blocks.0.norm1"), "blocks.0.attn.qkv").split(6, dim=1)
        heads = []
        for low in range(0, 6, 6 // num_heads):
            part = slice(low, low + 6 // num_heads)
            heads.append((q[:, part] @ k[:, part].T / (6 / num_heads) ** 0.5).softmax(1) @ v[:, part])
        t = t + p["blocks.0.ls1.gamma"] * linear(torch.cat(heads, 1), "blocks.0.attn.proj")
        hidden = F.gelu(linear(norm(t, "blocks.0.norm2"), "blocks.0.mlp.fc1"))
        t = t + p["blocks.0.ls2.gamma"] * linear(hidden, "blocks.0.mlp.fc2")
        out.append(norm(t, "norm")[0])
    return torch.stack(out).numpy()
