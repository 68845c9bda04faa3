"""Kernels of the kernel distance, with the field's defaults.

- `Polynomial`: k(x, y) = (gamma x·y + coef0)^degree.  KID's is cubic with gamma = 1 / D and coef0 = 1 (Binkowski et
  al. 2018).  It compares three moments of the two sets.
- `Rbf`: k(x, y) = exp(-|x - y|² / (2 sigma²)).  It tells all distributions apart, but only at the scale sigma, which
  has to fit the feature space: torch-fidelity's default of 10 is meant for Inception's 2,048 features.

A distance belongs to its kernel, parameters included: `str(kernel)` stands beside the number.

For any centre c both are k(x, y) = f(s (x - c)·(y - c) + a(x) + a(y)), with

| kernel | f(t) | s | a(x) |
|---|---|---|---|
| polynomial | t^degree | gamma | gamma (c·(x - c) + |c|² / 2) + coef0 / 2 |
| RBF | exp(t) | 1 / sigma² | -|x - c|² / (2 sigma²) |

The products of all pairs, which are nearly all the work, are taken in the rows' own precision; what is large, the
terms a, and all that follows are float64.  With c near the mean of the rows the products are small and their rounding
has no common sign, so that in single precision it all but vanishes from a mean over pairs (a test says how much).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class Rows(NamedTuple):
    """Rows as a kernel sees them: √s (x - c) (N, D) in single or double precision, and a(x) (N,) float64."""

    centred: np.ndarray
    terms: np.ndarray

    def taken(self, which: np.ndarray | slice) -> "Rows":
        """Some of them."""
        return Rows(self.centred[which], self.terms[which])


_ROWS_OF_MEDIAN = 1000


class Kernel(Protocol):
    """A symmetric positive semidefinite function of two rows."""

    def seen(self, x: np.ndarray, centre: np.ndarray) -> Rows:
        """Rows x (N, D) about a centre (D,), in the centre's precision."""

    def of(self, argument: np.ndarray) -> np.ndarray:
        """(N, M) float64 values f(argument); may overwrite the argument, which is float64."""


def centre_of(x: np.ndarray) -> np.ndarray:
    """(D,) a centre for rows (N, D) and others like them: their mean, float32 where they are no wider than that."""
    return np.asarray(x.mean(axis=0, dtype=np.float64).astype(np.result_type(x.dtype, np.float32)))


def values(kernel: Kernel, products: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) float64 kernel of all pairs, from the products of their centred rows and their terms (N,), (M,)."""
    argument = products.astype(np.float64)
    argument += a[:, None]
    argument += b
    return kernel.of(argument)


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

    def seen(self, x: np.ndarray, centre: np.ndarray) -> Rows:
        """See `Kernel`."""
        gamma = 1 / x.shape[1] if self.gamma is None else self.gamma
        centred = _centred(x, centre, math.sqrt(gamma))
        wide = math.sqrt(gamma) * centre.astype(np.float64)
        return Rows(centred, np.einsum("ij,j->i", centred, wide) + (wide @ wide + self.coef0) / 2)

    def of(self, argument: np.ndarray) -> np.ndarray:
        """See `Kernel`."""
        power = argument
        for _ in range(self.degree - 1):  # many times faster than a power
            power = np.multiply(power, argument, out=None if power is argument else power)
        return power


@dataclass(frozen=True)
class Rbf:
    """exp(-|x - y|² / (2 sigma²)); sigma in units of the features."""

    sigma: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what is no kernel; a ValueError."""
        if not self.sigma > 0:
            raise ValueError(f"sigma of an RBF kernel must be above 0, got {self.sigma}")

    def seen(self, x: np.ndarray, centre: np.ndarray) -> Rows:
        """See `Kernel`."""
        centred = _centred(x, centre, 1 / self.sigma)
        return Rows(centred, np.einsum("ij,ij->i", centred, centred, dtype=np.float64) / -2)

    def of(self, argument: np.ndarray) -> np.ndarray:
        """See `Kernel`; rounding may put equal rows above 0."""
        np.minimum(argument, 0, out=argument)
        return np.asarray(np.exp(argument, out=argument))


def _centred(x: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    centred: np.ndarray = x.astype(centre.dtype, copy=False) - centre
    centred *= scale
    return centred


def as_wide_as(features: np.ndarray) -> Rbf:
    """The RBF kernel whose sigma is the median distance between rows of `features` (N, D), N >= 2.

    The usual choice where nothing else is known (Gretton et al. 2012, section 8): of at most 1,000 rows, evenly spread.

    Raises
    ------
    ValueError
        Fewer than two rows, or half of the distances are 0.
    """
    kept = np.unique(np.linspace(0, len(features) - 1, _ROWS_OF_MEDIAN).astype(np.int64))
    x = features[kept].astype(np.float64)
    x -= x.mean(axis=0)
    squares = np.einsum("ij,ij->i", x, x)
    apart = squares[:, None] + squares - 2 * x @ x.T
    pairs = apart[np.triu_indices(len(x), 1)]
    if not pairs.size:
        raise ValueError(f"a median distance needs two rows, got {len(features)}")
    return Rbf(float(np.sqrt(max(np.median(pairs), 0.0))))


CUBIC = Polynomial()
"""KID's kernel"""
