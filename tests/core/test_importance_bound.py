"""Bounds from importance weights: agreement with torch's distributions, extremes, gradients by hand."""

import math

import pytest
import torch

from lfiw_ray.core.importance_bound import (
    doubly_reparameterised,
    effective_samples,
    gaussian_log_prob,
    log_mean_exp,
    mean_log,
)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_gaussian_log_prob_agrees_with_torch() -> None:
    z, mean, log_std = normal(3, 4, 5, 6)
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(gaussian_log_prob(z, mean, log_std), expected)
    at_zero = gaussian_log_prob(torch.zeros(2), torch.zeros(()), torch.zeros(()))
    assert at_zero.item() == pytest.approx(-math.log(2 * math.pi))


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_means_of_logs_and_logs_of_means(shift: float) -> None:
    log_w = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64).log() + shift
    log_w[1] = shift
    torch.testing.assert_close(log_mean_exp(log_w), torch.tensor([math.log(2), 0.0], dtype=torch.float64) + shift)
    expected = torch.tensor([math.log(6) / 3, 0.0], dtype=torch.float64) + shift
    torch.testing.assert_close(mean_log(log_w), expected)
    torch.testing.assert_close(effective_samples(log_w), torch.tensor([36 / 14, 3.0], dtype=torch.float64))


def test_one_sample_has_one_bound() -> None:
    log_w = normal(4, 1)
    torch.testing.assert_close(log_mean_exp(log_w), mean_log(log_w))
    torch.testing.assert_close(effective_samples(log_w), torch.ones(4))


def test_nothing_overflows_where_one_weight_has_it_all() -> None:
    log_w = torch.tensor([[-1e30, 0.0, -1e30], [-math.inf, -5e3, 0.0]], requires_grad=True)
    bound = log_mean_exp(log_w)
    bound.sum().backward()
    torch.testing.assert_close(bound.detach(), torch.full((2,), -math.log(3)))
    assert log_w.grad is not None
    assert log_w.grad.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def test_doubly_reparameterised_gradients_square_the_weights_of_z_alone() -> None:
    """With log w = a z^2: the gradient at a is sum v z^2, that at z is v^2 2 a z."""
    a, z = torch.tensor(0.7, requires_grad=True), normal(2, 3, 1).requires_grad_()
    used = z.clone()
    log_w = (a * used.square()).sum(-1)
    bound = doubly_reparameterised(log_w, [used])
    torch.testing.assert_close(bound, log_mean_exp(log_w))
    of_a, of_z = torch.autograd.grad(bound.sum(), (a, z))
    v = log_w.detach().softmax(-1)
    at = z.detach()[..., 0]
    torch.testing.assert_close(of_a, (v * at.square()).sum())
    torch.testing.assert_close(of_z[..., 0], v.square() * 2 * 0.7 * at)
