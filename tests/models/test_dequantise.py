"""The 8-bit grid: cells undo dequantisation exactly, and cover the interval evenly."""

import numpy as np
import torch

from lfiw_ray.models.dequantise import dequantised, to_cells

VALUES = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
LARGEST = 1 - 2.0**-24  # of float32 uniforms


def test_cells_undo_dequantisation_for_every_value_and_the_extremes_of_the_noise() -> None:
    for u in (0.0, 2.0**-24, 1e-3, 0.5, 1 - 2.0**-15, 1 - 2.0**-16, LARGEST):
        points = dequantised(VALUES, torch.full(VALUES.shape, u))
        assert points.shape == (1, 1, 16, 16)
        assert -1 <= points.min() <= points.max() < 1
        assert torch.equal(to_cells(points), VALUES)


def test_noise_that_fills_the_cells_fills_the_interval() -> None:
    """256 values times 64 places in each cell are an even grid of [-1, 1)."""
    places = [dequantised(VALUES, torch.full(VALUES.shape, (k + 0.5) / 64)).flatten() for k in range(64)]
    points = np.sort(torch.cat(places).numpy())
    np.testing.assert_array_equal(np.diff(points), 2 / (256 * 64))


def test_points_at_and_beyond_the_ends_get_the_end_values() -> None:
    points = torch.tensor([-1.5, -1.0, 1.0, 1.5]).reshape(1, 1, 2, 2)
    assert to_cells(points).flatten().tolist() == [0, 0, 255, 255]


def test_channels_go_to_their_place() -> None:
    x = torch.arange(24, dtype=torch.uint8).reshape(1, 4, 2, 3)
    points = dequantised(x, torch.zeros(x.shape))
    assert points.shape == (1, 3, 4, 2)
    assert float(points[0, 2, 1, 0]) == float(x[0, 1, 0, 2]) / 128 - 1
    assert torch.equal(to_cells(points), x)
