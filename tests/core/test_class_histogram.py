"""Class histograms and their total variation."""

import numpy as np
import pytest

from lfiw_ray.core import class_histogram
from lfiw_ray.errors import NonFiniteError


def test_histogram_and_distance() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.4, 0.4, 0.2]])
    plain = class_histogram.of(p)
    np.testing.assert_allclose(plain, [0.75, 0.25, 0])
    weighted = class_histogram.of(p, np.log([1.0, 7.0, 1.0, 1.0]) + 2_000)
    np.testing.assert_allclose(weighted, [0.3, 0.7, 0])
    assert class_histogram.total_variation(plain, weighted) == pytest.approx(0.45)
    assert class_histogram.total_variation(plain, plain) == 0
    assert class_histogram.total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1


def test_bad_input() -> None:
    with pytest.raises(NonFiniteError, match="row 1"):
        class_histogram.of(np.array([[0.5, 0.5], [np.nan, 0.5]]))
    with pytest.raises(ValueError, match="weight above zero"):
        class_histogram.of(np.ones((2, 1)), np.full(2, -np.inf))
    with pytest.raises(ValueError, match="differ in shape"):
        class_histogram.total_variation(np.ones(2), np.ones(3))
