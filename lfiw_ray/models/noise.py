"""Noise of one training step, independent of how many workers share the step.

The noise of the whole batch is drawn from (seed, step) and each worker keeps the rows it trains on.
"""

import numpy as np
import torch

from lfiw_ray.core import noise


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
        return torch.from_numpy(drawn[self._rows]).to(self._device)

    def normal(self, *shape: int) -> torch.Tensor:
        """(rows, *shape) float32 standard normal."""
        return self._keep(self._rng.standard_normal((self._total, *shape), dtype=np.float32))

    def uniform(self, *shape: int) -> torch.Tensor:
        """(rows, *shape) float32 in [0, 1)."""
        return self._keep(self._rng.random((self._total, *shape), dtype=np.float32))
