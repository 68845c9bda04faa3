"""Classifier of real against generated images; its logit estimates the log density ratio.

With binary cross-entropy on n_real and n_generated rows, the optimal logit is log(p(x) n_real / (q(x) n_generated)).
On pixels, Gaussian noise N(0, noise_sigma^2) is added to both sides, in training and when a row is scored: the logit
is then the log ratio of the two *smoothed* densities, which is finite and estimable where the densities themselves
hardly overlap (the instance noise of Sonderby et al. 2017).  On frozen features a small head sees the density of the
features, whose ratio is E[p/q | features]: smoother as well, but blind to what the features leave out.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| y | 1 real, 0 generated | (N,) float32 |
| logits | log odds of real | (N,) float32, nats |
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core import losses, noise
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.scale import to_unit

_HIDDEN = 256  # units of the head on frozen features


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with group normalisation; halves the resolution when `stride` is 2."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(channels_in), channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(_groups(channels_out), channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.stride = stride
        self.skip = (
            nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1, bias=False)
        )

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """(N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        update = self.conv1(F.relu(self.norm1(h)))
        update = self.conv2(F.relu(self.norm2(update)))
        shortcut = h if self.stride == 1 else F.avg_pool2d(h, self.stride, ceil_mode=True)
        out: torch.Tensor = self.skip(shortcut) + update
        return out


def _groups(channels: int) -> int:
    """Groups of about eight channels that divide `channels`."""
    return next(groups for groups in range(max(channels // 8, 1), 0, -1) if channels % groups == 0)


def _resnet(channels: int, width: int) -> nn.Sequential:
    """Pre-activation ResNet (He et al. 2016) to (N, 4 * width) features."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, stride=2, padding=2),
        ResidualBlock(width, width, 1),
        ResidualBlock(width, 2 * width, 2),
        ResidualBlock(2 * width, 4 * width, 2),
        nn.GroupNorm(_groups(4 * width), 4 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class Classifier(nn.Module):
    """ResNet on noised pixels, or a small head on frozen features.

    Parameters
    ----------
    config : with `input` "pixels" or "features".
    image_shape : (H, W, C).
    extractor : for "features": module from (N, H, W, C) uint8 to (N, D) float32.  It is frozen, kept in evaluation
        mode and saved with the head.

    Raises
    ------
    ValueError
        when `extractor` is given for pixels or missing for features.
    """

    def __init__(self, config: ClassifierConfig, image_shape: tuple[int, int, int], extractor: nn.Module | None = None):
        super().__init__()
        if (extractor is not None) != (config.input == "features"):
            raise ValueError(f"input {config.input!r} with extractor {extractor!r}: features need one, pixels none")
        self.config = config
        self.image_shape = image_shape
        self.extractor = extractor
        if extractor is None:
            width = 4 * config.width
            self.trunk = _resnet(image_shape[2], config.width)
        else:
            width = _HIDDEN
            self.trunk = _head(_freeze(extractor, image_shape))
        self.last = nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode of everything but the frozen extractor."""
        super().train(mode)
        if self.extractor is not None:
            self.extractor.eval()
        return self

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean binary cross-entropy, nats a row, of batch (x, y)."""
        x, y = batch
        logits = self._forward(x, noise.normal, noise.uniform if self.training else None)
        loss = losses.binary_cross_entropy(logits, y).mean()
        return loss, {"log_loss": loss.detach(), "accuracy": ((logits > 0) == (y > 0.5)).float().mean()}

    @torch.no_grad()
    def logits(self, x: torch.Tensor, sample_ids: np.ndarray, seed: int, stream: str) -> torch.Tensor:
        """Log odds of real, (N,) float32, mean of `noise_draws` noisy copies; a function of (x, seed, stream, id)."""
        draws = self.config.noise_draws if self._noisy else 1
        total = torch.zeros(len(x), device=x.device)
        for draw in range(draws):
            total += self._forward(x, _noise_of_ids(sample_ids, seed, f"{stream}/{draw}", x.device), None)
        return total / draws

    @property
    def _noisy(self) -> bool:
        return self.extractor is None and self.config.noise_sigma > 0

    def _forward(
        self,
        x: torch.Tensor,
        normal: Callable[..., torch.Tensor],
        uniform: Callable[..., torch.Tensor] | None,
    ) -> torch.Tensor:
        if self.extractor is not None:
            with torch.no_grad():
                features = self.extractor(x).float()
            seen = features.sign() * features.abs().log1p()  # tames any scale and loses nothing
        else:
            seen = to_unit(x)
            if self._noisy:
                seen += self.config.noise_sigma * normal(*seen.shape[1:])
        h = self.trunk(seen)
        if uniform is not None and self.config.dropout > 0:
            h = h * (uniform(h.shape[1]) >= self.config.dropout) / (1 - self.config.dropout)
        out: torch.Tensor = self.last(h).squeeze(1).float()
        return out


def _head(num_features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_features, _HIDDEN),
        nn.SiLU(),
        nn.Linear(_HIDDEN, _HIDDEN),
        nn.SiLU(),
    )


def _freeze(extractor: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Freeze in place; the number of features it gives."""
    extractor.requires_grad_(False).eval()
    with torch.no_grad():
        return int(extractor(torch.zeros(1, *image_shape, dtype=torch.uint8)).shape[1])


def _noise_of_ids(ids: np.ndarray, seed: int, stream: str, device: torch.device) -> Callable[..., torch.Tensor]:
    """Standard normal of the given ids, any shape a row."""

    def normal(*shape: int) -> torch.Tensor:
        drawn = noise.by_block(seed, stream, ids, lambda rng, n: rng.standard_normal((n, *shape), dtype=np.float32))
        return torch.from_numpy(drawn).to(device)

    return normal
