"""Kernels of the kernel distance, with the field's defaults.

- `Polynomial`: k(x, y) = (gamma x·y + coef0)^degree.  KID's is cubic with gamma = 1 / D and coef0 = 1 (Binkowski et
  al. 2018).  It compares three moments of the two sets.
- `Rbf`: k(x, y) = exp(-|x - y|² / (2 sigma²)).  It tells all distributions apart, but only at the scale sigma, which
  has to fit the feature space: torch-fidelity's default of 10 is meant for Inception's 2,048 features.

A distance belongs to its kernel, parameters included: `str(kernel)` stands beside the number.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Kernel(Protocol):
    """A symmetric positive semidefinite function of two rows."""

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(N, M) float64 values at all pairs of rows of x (N, D) and y (M, D)."""


@dataclass(frozen=True)
class Polynomial:
    """(gamma x·y + coef0)^degree; gamma None is 1 / D."""

    degree: int = 3
    gamma: float | None = None
    coef0: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no kernel; a ValueError."""
        if self.degree < 1 or self.coef0 < 0 or not (self.gamma is None or self.gamma > 0):
            raise ValueError(f"a polynomial kernel needs degree >= 1, gamma > 0 and coef0 >= 0, got {self}")

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(N, M) float64."""
        gamma = 1 / x.shape[1] if self.gamma is None else self.gamma
        base = x.astype(np.float64) @ y.astype(np.float64).T
        base *= gamma
        base += self.coef0
        values = base
        for _ in range(self.degree - 1):  # many times faster than a power
            values = values * base
        return values


@dataclass(frozen=True)
class Rbf:
    """exp(-|x - y|² / (2 sigma²)); sigma in units of the features."""

    sigma: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what is no kernel; a ValueError."""
        if not self.sigma > 0:
            raise ValueError(f"sigma of an RBF kernel must be above 0, got {self.sigma}")

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(N, M) float64, in [0, 1]."""
        x, y = x.astype(np.float64), y.astype(np.float64)
        centre = y.mean(axis=0)  # distances do not change, their rounding does
        x, y = x - centre, y - centre
        sq_distances = x @ y.T
        sq_distances *= -2
        sq_distances += np.einsum("ij,ij->i", x, x)[:, None]
        sq_distances += np.einsum("ij,ij->i", y, y)
        np.maximum(sq_distances, 0, out=sq_distances)
        sq_distances /= -2 * self.sigma**2
        return np.asarray(np.exp(sq_distances, out=sq_distances))


CUBIC = Polynomial()
"""KID's kernel"""
