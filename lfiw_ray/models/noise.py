"""Noise of one training step, independent of how many workers share the step.

The noise of the whole batch is drawn from (seed, step) and each worker keeps the rows it trains on.
"""

import math

import numpy as np
import torch

from lfiw_ray.core import noise
from lfiw_ray.models.transfer import to_device


class BatchNoise:
    """Random numbers of rows `start .. stop` of a step's batch of `total` rows.

    Calls are numbered, so that a model must ask for its noise in a fixed order.
    """

    def __init__(self, seed: int, step: int, start: int, stop: int, total: int, device: torch.device | str = "cpu"):
        if not 0 <= start <= stop <= total:
            raise ValueError(f"rows {start}..{stop} do not lie in a batch of {total}")
        self._rng = noise.generator(seed, "train", step)
        self._rows = slice(start, stop)
        self._total = total
        self._device = device

    def _keep(self, drawn: np.ndarray) -> torch.Tensor:
        return to_device(drawn[self._rows], self._device)

    def normal(self, *shape: int) -> torch.Tensor:
        """(rows, *shape) float32 standard normal."""
        return self._keep(self._rng.standard_normal((self._total, *shape), dtype=np.float32))

    def uniform(self, *shape: int) -> torch.Tensor:
        """(rows, *shape) float32 in [0, 1)."""
        return self._keep(self._rng.random((self._total, *shape), dtype=np.float32))

    def dropout(self, x: torch.Tensor, probability: float) -> torch.Tensor:
        """x (rows, ...) with each number set to 0 with the probability (to 16 bits), the others scaled up.

        The mask of a CPU differs from that of a GPU, which draws it itself: it has as many numbers as x.
        """
        kept, shape = max(round((1 - probability) * 2**16), 1), (self._total, *x.shape[1:])
        if x.device.type == "cpu":
            words = self._rng.bit_generator.random_raw(-(-math.prod(shape) // 4))
            bits = words.astype("<u8", copy=False).view(np.uint16)[: math.prod(shape)].reshape(shape)
            mask = torch.from_numpy(bits[self._rows] < kept)
        else:
            own = torch.Generator(x.device).manual_seed(int(self._rng.integers(2**62)))
            mask = torch.randint(2**16, shape, generator=own, device=x.device, dtype=torch.int32)[self._rows] < kept
        return x * mask * (2**16 / kept)
