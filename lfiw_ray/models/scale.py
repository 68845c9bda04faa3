"""The two forms of an image: uint8 NHWC at rest, float32 NCHW in [-1, 1] inside models."""

import torch


def to_unit(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [-1, 1]: v / 127.5 - 1."""
    if x.dtype != torch.uint8:
        raise ValueError(f"images at rest are uint8, got {x.dtype}")
    return x.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous()


def to_bytes(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) float in [-1, 1] to (N, H, W, C) uint8, to the nearest of the 256 values."""
    grid = x.float().add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return grid.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
