"""A small convolutional network that names the class of a small image; trained with few labels.

Two convolutions of stride 2 and two linear layers.  There is no batch normalisation on purpose: a row's logits
depend on that row alone, so that unlabelled rows of a step act through their loss and not through the
statistics of a common batch.

All initial weights are drawn from one explicit generator: the same generator state gives the same network.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Labeller(nn.Module):
    """Logits of the classes, one coin a class (sigmoid, not softmax).

    Parameters
    ----------
    image_shape : (H, W, C) of the images at rest.
    num_classes : at least 2.
    generator : source of the initial weights (CPU).
    width : channels after the first convolution; the second has twice as many.
    hidden : units of the linear layer before the last.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        generator: torch.Generator,
        width: int = 16,
        hidden: int = 128,
    ):
        super().__init__()
        if min(*image_shape, width, hidden) < 1 or num_classes < 2:
            raise ValueError(
                f"sizes must be positive with at least 2 classes, got image_shape {image_shape}, "
                f"num_classes {num_classes}, width {width}, hidden {hidden}"
            )
        height, breadth, channels = image_shape
        self.conv1 = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.linear = nn.Linear(2 * width * _quarter(height) * _quarter(breadth), hidden)
        self.head = nn.Linear(hidden, num_classes)
        self._draw_weights(generator)

    def _draw_weights(self, generator: torch.Generator) -> None:
        """He et al. (2015) before a ReLU, unit-variance logits, zero biases."""
        for layer in (self.conv1, self.conv2, self.linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.normal_(self.head.weight, std=self.head.in_features**-0.5, generator=generator)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 in [-1, 1] to (N, num_classes) logits, nats."""
        features = F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1)
        logits: Tensor = self.head(F.relu(self.linear(features)))
        return logits


def _quarter(size: int) -> int:
    """Length after two convolutions of stride 2: ceil(size / 4)."""
    return -(-size // 4)
