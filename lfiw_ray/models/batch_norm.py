"""Batch normalisation by the statistics of the whole batch, however many workers share it; optionally by class.

In training a channel is normalised by its mean and variance over all rows and pixels of the batch (Ioffe and Szegedy
2015).  When workers each hold a stripe of it, they sum first the values and then the squared distances from the mean,
so the result and its gradient are those of one worker up to rounding.  In evaluation the running mean and variance of
the training's batches take their place, so that no row depends on the others.

Gain and bias belong to the class of each row where there are classes (Dumoulin et al. 2017; Miyato and Koyama 2018).
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

_EPS = 1e-5
_MOMENTUM = 0.1  # share of the newest batch in the running statistics


class _SumOverWorkers(torch.autograd.Function):
    """Sum of a tensor over all workers; the gradient of the sum of their losses is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _workers() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class BatchNorm(nn.Module):
    """Normalises (N, channels, H, W); `num_classes` None: one gain and bias for all rows."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, num_classes: int | None = None):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num_classes or 1, channels))
        self.bias = nn.Parameter(torch.zeros(num_classes or 1, channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, h: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Normalised, scaled and shifted; `labels` (N,) int64 of the classes, None without classes."""
        if labels is None and not self._together:
            return self._normalised(h, self.gain[0], self.bias[0])  # in one pass over the memory
        normalised = self._normalised_together(h) if self._together else self._normalised(h, None, None)
        gain, bias = (table if labels is None else table[labels] for table in (self.gain, self.bias))
        return normalised * gain[:, :, None, None] + bias[:, :, None, None]

    @property
    def _together(self) -> bool:
        return self.training and _workers() > 1

    def _normalised(self, h: torch.Tensor, gain: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
        running = self.running_mean, self.running_var
        return F.batch_norm(h, *running, gain, bias, training=self.training, momentum=_MOMENTUM, eps=_EPS)

    def _normalised_together(self, h: torch.Tensor) -> torch.Tensor:
        values = h.float()
        count = values.new_tensor([values.numel() / values.shape[1]])
        dist.all_reduce(count)
        mean = _sum_over_workers(values.sum((0, 2, 3))) / count
        centred = values - mean[:, None, None]
        var = _sum_over_workers(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, _MOMENTUM)
            self.running_var.lerp_(var * count / (count - 1), _MOMENTUM)
        return (centred * torch.rsqrt(var + _EPS)[:, None, None]).to(h.dtype)


def _sum_over_workers(value: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = _SumOverWorkers.apply(value)  # type: ignore[no-untyped-call]
    return total
