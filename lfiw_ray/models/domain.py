"""A small label classifier trained on the real data; its penultimate layer is the `domain` feature space.

Distances in the features of a network that knows the data's own classes see what matters for these data, need
no download, and cost little.  They are blind to whatever does not help to tell the classes apart, and a
real-against-generated classifier built on the same features shares that view: check with a second space.

Group normalisation and no dropout: a row's features depend on that row alone, in training as in evaluation.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.scale import to_unit

NUM_FEATURES = 64
_WIDTHS = (32, 64, 128)  # channels of the stages; further stages keep the last
_GROUPS = 8
_MIN_SIDE = 8


class DomainNet(nn.Module):
    """Convolutional classifier of images of any size >= 8, 1 or 3 channels.

    Stages of convolution, 2 x 2 maximum and group normalisation halve the image until its shorter side is 2 to 4.

    Parameters
    ----------
    image_shape : (H, W, C).
    num_classes : labels are 0 .. num_classes - 1.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int):
        super().__init__()
        height, width, channels = image_shape
        if min(height, width) < _MIN_SIDE or channels not in (1, 3):
            raise ValueError(f"images must be at least {_MIN_SIDE} wide and high with 1 or 3 channels: {image_shape}")
        if num_classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, got {num_classes}")
        self.num_classes = num_classes
        num_stages = max(2, math.ceil(math.log2(min(height, width) / 4)))
        widths = [_WIDTHS[min(stage, len(_WIDTHS) - 1)] for stage in range(num_stages)]
        self.stages = nn.Sequential(
            *(_stage(a, b, 3 if i else 5) for i, (a, b) in enumerate(zip([channels, *widths], widths, strict=False)))
        )
        self.embed = nn.Linear(widths[-1] * (height >> num_stages) * (width >> num_stages), NUM_FEATURES)
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of images: (N, H, W, C) uint8 to (N, 64) float32, all >= 0."""
        return F.relu(self.embed(self.stages(to_unit(x)).flatten(1)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The same as calling the module."""
        return self.forward(x)

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (N, 64) and class probabilities (N, num_classes), in one pass."""
        features = self.forward(x)
        return features, self.head(features).softmax(dim=1)

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """Class probabilities of images: (N, H, W, C) uint8 to (N, num_classes) float32."""
        out: torch.Tensor = self.head(self.forward(x)).softmax(dim=1)
        return out

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # noqa: ARG002
        """Mean cross-entropy, nats a row, of batch (x uint8 NHWC, labels int64); draws no noise."""
        x, labels = batch
        logits = self.head(self.forward(x))
        loss = F.cross_entropy(logits, labels)
        return loss, {"accuracy": (logits.argmax(dim=1) == labels).float().mean()}


def _stage(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2),
        nn.MaxPool2d(2),
        nn.GroupNorm(_GROUPS, channels_out),
        nn.ReLU(),
    )
