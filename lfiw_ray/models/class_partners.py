"""For each image another one of its class, drawn from the training rows."""

import numpy as np
import torch

from lfiw_ray.errors import ConfigError


class ClassPartners:
    """Training rows in the order of their classes, on a device; not part of a model's state.

    Parameters
    ----------
    x : (N, H, W, C) uint8.
    labels : (N,) int64.

    Raises
    ------
    ConfigError
        naming a class with a single row, which has no other.
    """

    def __init__(self, x: np.ndarray, labels: np.ndarray, device: torch.device):
        classes, first, counts = np.unique(np.sort(labels), return_index=True, return_counts=True)
        if (lonely := classes[counts < 2]).size:
            raise ConfigError(
                f"class {lonely[0]} ({len(lonely)} in all) has a single training row, and no other to pair it with; "
                "leave the class out or raise data.generator_fraction"
            )
        order = np.argsort(labels, kind="stable")
        self._x = torch.from_numpy(x[order]).to(device)
        self._classes, self._first, self._counts = (torch.from_numpy(a).to(device) for a in (classes, first, counts))

    def draw(self, x: torch.Tensor, labels: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) uint8: for each row one of its class, by a number in [0, 1); never the row itself.

        An image that is drawn for itself is replaced by the next of its class, so each of the n - 1 others is drawn
        with probability 1/n or (the next) 2/n.

        Raises
        ------
        ConfigError
            naming a class without training rows.
        """
        where = torch.searchsorted(self._classes, labels).clamp(max=len(self._classes) - 1)
        if not torch.equal(self._classes[where], labels):
            missing = labels[self._classes[where] != labels][0]
            raise ConfigError(f"class {int(missing)} has no training rows to pair its held-out rows with")
        first, counts = self._first[where], self._counts[where]
        place = (uniform * counts).long()
        same = (self._x[first + place] == x).flatten(1).all(1)
        drawn: torch.Tensor = self._x[first + (place + same) % counts]
        return drawn
