"""Spectral normalisation against the singular values of NumPy, its gradient, its state, its precision."""

import numpy as np
import pytest
import torch
from torch import nn

from lfiw_ray.models.spectral_norm import SpectralNorm, spectral_norm

LAYERS = {
    "linear": lambda: nn.Linear(7, 5),
    "one output": lambda: nn.Linear(7, 1),
    "convolution": lambda: nn.Conv2d(3, 6, 3),
    "embedding": lambda: nn.Embedding(10, 4),
}


def largest(weight: torch.Tensor) -> float:
    return float(np.linalg.svd(weight.detach().double().numpy().reshape(len(weight), -1), compute_uv=False)[0])


def converged(kind: str) -> tuple[nn.Module, torch.Tensor]:
    """A layer whose iteration has converged, and its weight as it was."""
    torch.manual_seed(1)
    layer = LAYERS[kind]()
    original = layer.weight.detach().clone()
    spectral_norm(layer)
    for _ in range(300):
        _ = layer.weight
    return layer, original


@pytest.mark.parametrize("kind", LAYERS)
def test_the_norm_is_the_largest_singular_value(kind: str) -> None:
    layer, original = converged(kind)
    np.testing.assert_allclose(layer.weight.detach(), original / largest(original), rtol=2e-6, atol=1e-7)
    assert largest(layer.weight) == pytest.approx(1.0, rel=1e-6)
    assert float(layer.parametrizations.weight[0].sigma(original)) == pytest.approx(largest(original), rel=1e-6)


def test_one_iteration_a_pass_keeps_up_with_a_weight_that_moves() -> None:
    """A thousandth of the weight's size a step, as training moves it; the estimate is never above the value."""
    layer, original = converged("convolution")
    worst = 0.0
    for step in range(200):
        noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(step))
        with torch.no_grad():
            layer.parametrizations.weight.original.add_(noise * original.std() * 1e-3)
        worst = max(worst, largest(layer.weight) - 1.0)
        assert largest(layer.weight) > 1 - 1e-5
    assert worst < 0.01


def test_the_gradient_is_that_of_the_singular_value() -> None:
    """Against autograd through a full decomposition, in float64 from the same weight."""
    layer, original = converged("linear")
    x = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    layer(x).square().sum().backward()
    reference = original.double().requires_grad_()
    sigma = torch.linalg.svdvals(reference)[0]
    (x.double() @ (reference / sigma).T + layer.bias.detach().double()).square().sum().backward()
    assert reference.grad is not None
    found = layer.parametrizations.weight.original.grad
    np.testing.assert_allclose(found, reference.grad, rtol=1e-4, atol=1e-5)


def test_the_singular_vectors_are_constants_to_the_gradient() -> None:
    """Also before the iteration has converged: of sigma it is u v^T."""
    torch.manual_seed(5)
    norm = SpectralNorm(torch.randn(30, 40))
    torch.nn.init.normal_(norm.u)
    weight = torch.randn(30, 40, requires_grad=True)
    norm.sigma(weight).backward()
    v = weight.detach().T @ norm.u
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad, torch.outer(norm.u, v / v.norm()), rtol=1e-4, atol=1e-5)


def test_evaluation_leaves_the_iteration_alone_and_training_does_not() -> None:
    torch.manual_seed(2)
    layer = spectral_norm(nn.Linear(50, 40))
    before = layer.parametrizations.weight[0].u.clone()
    layer.eval()
    first = layer.weight
    assert torch.equal(layer.weight, first)
    assert torch.equal(layer.parametrizations.weight[0].u, before)
    layer.train()
    _ = layer.weight
    assert not torch.equal(layer.parametrizations.weight[0].u, before)


def test_the_iteration_lies_in_the_state() -> None:
    """A layer that takes over the state goes on with the same bits."""
    torch.manual_seed(3)
    first, second = spectral_norm(nn.Linear(50, 40)), spectral_norm(nn.Linear(50, 40))
    for _ in range(3):
        _ = first.weight
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        assert torch.equal(first.weight, second.weight)


def test_two_passes_of_one_step_can_both_be_differentiated() -> None:
    torch.manual_seed(4)
    layer, x = spectral_norm(nn.Linear(6, 3)), torch.ones(2, 6)
    (layer(x).sum() + layer(2 * x).square().sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_autocast_does_not_coarsen_the_norm() -> None:
    """bfloat16 has a relative precision of 4e-3."""
    layer, original = converged("linear")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weight = layer.weight
    assert weight.dtype == torch.float32
    np.testing.assert_allclose(weight.detach(), original / largest(original), rtol=2e-6, atol=1e-7)
