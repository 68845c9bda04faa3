"""Labels of a conditional generator's samples: as often as in the training rows, a function of (seed, stream, id)."""

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError


class ClassLabels:
    """The classes that a model is conditioned on.

    Parameters
    ----------
    counts : training rows of each class.
    field : of the configuration, for the message.

    Raises
    ------
    ConfigError
        when there are no classes.
    """

    def __init__(self, counts: tuple[int, ...] | None, field: str):
        self._field = field
        if not counts or not sum(counts):
            raise self.missing()
        self._edges = np.cumsum(counts)[:-1] / sum(counts)
        self.num_classes = len(counts)

    def missing(self) -> ConfigError:
        """The error of training rows without labels."""
        return ConfigError(f"{self._field} needs labelled training rows; name data.label_column")

    def draw(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """(N,) int64 labels of the given samples."""
        drawn = noise.by_block(seed, f"{stream}/labels", sample_ids, lambda rng, n: rng.random(n))
        return np.searchsorted(self._edges, drawn, side="right").astype(np.int64)
