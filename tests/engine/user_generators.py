"""Generators as users write them: sound ones, and one for each kind of mistake."""

from pathlib import Path

import numpy as np

SIDE = 4


def pixels(sample_ids: np.ndarray, seed: int) -> np.ndarray:
    """(n, 4, 4, 1) uint8: the id's four bytes in the first row, the seed's in the second."""
    x = np.zeros((len(sample_ids), SIDE, SIDE, 1), np.uint8)
    x[:, 0, :, 0] = sample_ids.astype("<u4")[:, None].view(np.uint8)
    x[:, 1, :, 0] = np.array([seed], "<u4").view(np.uint8)
    return x


class Sound:
    """Class that a worker makes one of."""

    def sample(self, sample_ids: np.ndarray, seed: int) -> np.ndarray:
        return pixels(sample_ids, seed)


class Told:
    """Does what a file says: a mistake that its owner mends between two runs."""

    def __init__(self, note: Path):
        self._note = note

    def sample(self, sample_ids: np.ndarray, seed: int) -> np.ndarray:
        x = pixels(sample_ids, seed)
        mistake = self._note.read_text() if 70_000 in sample_ids else ""
        if mistake == "raise":
            raise ValueError("no idea for this one")
        return {"floats": x / np.float32(255), "count": x[1:], "shape": x[:, 1:], "": x, "list": list(x)}[mistake]


class Poisoned:
    """Fails for one sample, always."""

    def sample(self, sample_ids: np.ndarray, seed: int) -> np.ndarray:
        if 9000 in sample_ids:
            raise ArithmeticError("divided by a sample")
        return pixels(sample_ids, seed)
