"""The layers: weight normalisation, padding, upsampling as the transpose, and the mask of dropout."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.pixelcnn_layers import Upsampling, concat_elu, horizontal, shifted_down, shifted_right, vertical


def test_weights_have_the_gain_as_norm() -> None:
    layer = vertical(3, 5)
    torch.nn.init.uniform_(layer.gain, 0.5, 2.0)
    norms = layer.weight().detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, layer.gain.detach())
    cosine = F.cosine_similarity(layer.weight().flatten(1), layer.direction.flatten(1))
    torch.testing.assert_close(cosine.detach(), torch.ones(5))


@pytest.mark.parametrize("stride", [1, 2])
def test_each_stream_sees_its_rows_and_columns(stride: int) -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 4, 4] = 1.0
    for conv, rows, columns in ((vertical, (4, 5), (3, 4, 5)), (horizontal, (4, 5), (4, 5))):
        out = conv(1, 1, stride)(x)[0, 0]
        seen = {(r * stride, c * stride) for r, c in out.nonzero().tolist()}
        assert seen == {(r, c) for r in rows for c in columns if r % stride == 0 and c % stride == 0}


@pytest.mark.parametrize(("kernel", "first"), [((2, 3), 1), ((2, 2), 0)])
def test_upsampling_places_each_input_at_its_pixels(kernel: tuple[int, int], first: int) -> None:
    layer = Upsampling(2, 3, kernel)
    x = torch.zeros(1, 2, 4, 4)
    x[0, :, 1, 2] = torch.tensor([0.5, -2.0])
    out = (layer(x) - layer.bias[:, None, None])[0]
    patch = torch.einsum("oihw,i->ohw", layer.weight(), x[0, :, 1, 2])
    expected = torch.zeros(3, 8, 8)
    expected[:, 2:4, 4 - first : 4 - first + kernel[1]] = patch
    torch.testing.assert_close(out, expected)


def test_shifts_and_concat_elu() -> None:
    x = torch.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    assert shifted_down(x).flatten().tolist() == [0, 0, 1, 2]
    assert shifted_right(x).flatten().tolist() == [0, 1, 0, 3]
    assert concat_elu(torch.tensor([[2.0]])).tolist() == [[2.0, pytest.approx(np.expm1(-2.0))]]


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_keeps_with_its_probability_and_keeps_the_mean(probability: float) -> None:
    """Of 300,003 numbers; 4.5 standard errors, false alarm 7e-6 each."""
    x = torch.ones(3, 100_001)
    dropped = BatchNoise(0, 0, 0, 3, 3).dropout(x, probability)
    kept = (dropped != 0).double().mean().item()
    assert abs(kept - (1 - probability)) < 4.5 * np.sqrt(probability * (1 - probability) / 300_003)
    np.testing.assert_allclose(dropped[dropped != 0].numpy(), 1 / (1 - probability), rtol=1e-3)


def test_dropout_is_of_the_row_and_of_the_call() -> None:
    x = torch.ones(8, 7)
    whole, noise = BatchNoise(0, 3, 0, 8, 8), BatchNoise(0, 3, 2, 5, 8)
    first, second = whole.dropout(x, 0.5), whole.dropout(x, 0.5)
    assert torch.equal(noise.dropout(x[2:5], 0.5), first[2:5])
    assert torch.equal(noise.dropout(x[2:5], 0.5), second[2:5])
    assert not torch.equal(first, second)
    assert not torch.equal(first, BatchNoise(0, 4, 0, 8, 8).dropout(x, 0.5))
