"""The label classifier: shapes, seeded weights, rows that do not see each other."""

import pytest
import torch

from lfiw_ray.models.labeller import Labeller


def build(shape: tuple[int, int, int] = (28, 28, 1), seed: int = 0) -> Labeller:
    return Labeller(shape, 10, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (7, 9, 3), (1, 1, 1)])
def test_images_of_any_size(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    assert build(shape)(torch.zeros(2, channels, height, width)).shape == (2, 10)


def test_weights_are_a_function_of_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = build().state_dict()
    torch.manual_seed(2)
    again, other = build().state_dict(), build(seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


def test_a_rows_logits_do_not_depend_on_the_other_rows() -> None:
    net = build()
    x = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x)[:2], net(torch.cat([x[:2], 100 * x[2:]]))[:2])


def test_fresh_logits_are_of_order_one() -> None:
    x = 2 * torch.rand(500, 1, 28, 28, generator=torch.Generator().manual_seed(0)) - 1
    spread = torch.stack([build(seed=seed)(x) for seed in range(5)]).std().item()
    assert 0.2 < spread < 3


@pytest.mark.parametrize(("shape", "num_classes"), [((0, 28, 1), 10), ((28, 28, 1), 1)])
def test_impossible_sizes_are_refused(shape: tuple[int, int, int], num_classes: int) -> None:
    with pytest.raises(ValueError, match="at least 2 classes"):
        Labeller(shape, num_classes, torch.Generator())
