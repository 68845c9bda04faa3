"""Classifier of real against generated images; its logit estimates the log density ratio.

With binary cross-entropy on n_real and n_generated rows, the optimal logit is log(p(x) n_real / (q(x) n_generated)).
On pixels, Gaussian noise N(0, noise_sigma^2) is added to both sides, in training and when a row is scored: the logit
is then the log ratio of the two *smoothed* densities, which is finite and estimable where the densities themselves
hardly overlap (the instance noise of Sonderby et al. 2017).  On frozen features a small head sees the density of the
features, whose ratio is E[p/q | features]: smoother as well, but blind to what the features leave out.  Both side by
side are the ratio of their joint density.  Features come in ready made: a batch holds the inputs that `inputs` names.

With `bridges` there is one output per step from generated to real, and the logit is their sum (`models.bridges`).

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| x | images | (N, H, W, C) uint8 |
| features | frozen features | (N, D) float32 |
| y | 1 real, 0 generated | (N,) float32 |
| seen | what the layers get to see of the inputs, in the order of `inputs` | tuple of (N, ...) float32 |
| steps | log ratios of neighbouring distributions; one column without bridges | (N, bridges + 1) float32, nats |
| logits | log odds of real, the sum of the steps | (N,) float32, nats |
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core import losses, noise
from lfiw_ray.models import bridges
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.scale import to_unit
from lfiw_ray.models.transfer import to_device

_HIDDEN = 256  # units of the head on frozen features
_INPUTS = {"pixels": ("x",), "features": ("features",), "both": ("x", "features")}


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


def _head(num_features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_features, _HIDDEN),
        nn.SiLU(),
        nn.Linear(_HIDDEN, _HIDDEN),
        nn.SiLU(),
    )


class Classifier(nn.Module):
    """ResNet on noised pixels, small head on frozen features, or both, under one last layer.

    Parameters
    ----------
    config : its `input` says which.
    image_shape : (H, W, C).
    num_features : D, for "features" and "both"; None for "pixels".

    Attributes
    ----------
    inputs : names of what a batch holds before y, and of what `logits` takes: ("x",), ("features",) or both.

    Raises
    ------
    ValueError
        when `num_features` is given for pixels, or missing or not positive for the others.
    """

    def __init__(self, config: ClassifierConfig, image_shape: tuple[int, int, int], num_features: int | None = None):
        super().__init__()
        self.config = config
        self.image_shape = image_shape
        self.inputs = _INPUTS[config.input]
        sees_features = "features" in self.inputs
        if sees_features != (num_features is not None) or (num_features is not None and num_features < 1):
            raise ValueError(f"input {config.input!r} with num_features {num_features}: features need > 0, pixels None")
        width = 0
        if "x" in self.inputs:
            self.trunk = _resnet(image_shape[2], config.width)
            width += 4 * config.width
        if num_features is not None:
            self.head = _head(num_features)
            width += _HIDDEN
        self.last = nn.Linear(width, config.bridges + 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What training lowers, nats a row, and figures of batch (*inputs, y).

        It is the mean binary cross-entropy `log_loss`; with bridges the mean of it and those of their steps.  A batch
        of one class has no pairs to build bridges from and leaves the steps out.
        """
        *inputs, y = batch
        seen = self._seen(tuple(inputs), noise.normal)
        uniform = noise.uniform if self.training else None
        if self.config.bridges and 0 < y.sum() < len(y):
            costs = bridges.costs(self._steps, seen, y, self.config.bridges, noise.uniform(), uniform)
            return costs.mean(), {"log_loss": costs.ends.detach(), "accuracy": costs.accuracy}
        logits = self._steps(seen, uniform).sum(1)
        loss = losses.binary_cross_entropy(logits, y).mean()
        return loss, {"log_loss": loss.detach(), "accuracy": ((logits > 0) == (y > 0.5)).float().mean()}

    @torch.no_grad()
    def logits(self, inputs: tuple[torch.Tensor, ...], sample_ids: np.ndarray, seed: int, stream: str) -> torch.Tensor:
        """Log odds of real, (N,) float32, mean of `noise_draws` noisy copies; a function of (row, seed, stream, id).

        Parameters
        ----------
        inputs : tensors in the order of `self.inputs`, on the model's device.
        """
        device = inputs[0].device
        draws = self.config.noise_draws if self._noisy else 1
        total = torch.zeros(len(inputs[0]), device=device)
        for draw in range(draws):
            normal = _noise_of_ids(sample_ids, seed, f"{stream}/{draw}", device)
            total += self._steps(self._seen(inputs, normal), None).sum(1)
        return total / draws

    @property
    def _noisy(self) -> bool:
        return "x" in self.inputs and self.config.noise_sigma > 0

    def _seen(self, inputs: tuple[torch.Tensor, ...], normal: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Noised pixels in [-1, 1] and signed log(1 + |features|), which tames any scale and loses nothing."""
        if len(inputs) != len(self.inputs):
            raise ValueError(f"the classifier takes {self.inputs}, got {len(inputs)} inputs")
        given = zip(self.inputs, inputs, strict=True)
        return tuple(self._noised(t, normal) if name == "x" else _tamed(t) for name, t in given)

    def _noised(self, x: torch.Tensor, normal: Callable[..., torch.Tensor]) -> torch.Tensor:
        seen = to_unit(x)
        if self._noisy:
            seen += self.config.noise_sigma * normal(*seen.shape[1:])
        return seen

    def _steps(self, seen: tuple[torch.Tensor, ...], uniform: Callable[..., torch.Tensor] | None) -> torch.Tensor:
        """(N, bridges + 1) float32; `uniform` draws the dropout of each row, None: no dropout."""
        layers = {"x": "trunk", "features": "head"}
        h = torch.cat([getattr(self, layers[name])(t) for name, t in zip(self.inputs, seen, strict=True)], dim=1)
        if uniform is not None and self.config.dropout > 0:
            h = h * (uniform(h.shape[1]) >= self.config.dropout) / (1 - self.config.dropout)
        out: torch.Tensor = self.last(h).float()
        return out


def _tamed(features: torch.Tensor) -> torch.Tensor:
    features = features.float()
    return features.sign() * features.abs().log1p()


def _noise_of_ids(ids: np.ndarray, seed: int, stream: str, device: torch.device) -> Callable[..., torch.Tensor]:
    """Standard normal of the given ids, any shape a row."""

    def normal(*shape: int) -> torch.Tensor:
        drawn = noise.by_block(seed, stream, ids, lambda rng, n: rng.standard_normal((n, *shape), dtype=np.float32))
        return to_device(drawn, device)

    return normal
