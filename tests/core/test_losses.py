"""Likelihoods: they sum to one, agree with float64 SciPy and sampling, and stay finite at the extremes."""

import numpy as np
import pytest
import torch
from scipy import stats

from lfiw_ray.core import losses
from lfiw_ray.models.scale import to_bytes

ALL_VALUES = torch.arange(256)


@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.123, 1.0, 2.5])
@pytest.mark.parametrize("log_scale", [-9.0, -7.0, -4.0, -2.5, 0.0, 3.0])
def test_discretised_logistic_sums_to_one(mean: float, log_scale: float) -> None:
    log_prob = losses.discretised_logistic_log_prob(ALL_VALUES, torch.tensor(mean), torch.tensor(log_scale))
    assert log_prob.dtype == torch.float32
    assert torch.isfinite(log_prob).all()
    assert log_prob.double().exp().sum().item() == pytest.approx(1.0, abs=2e-5)


@pytest.mark.parametrize(("mean", "scale"), [(-0.99, 0.02), (0.3, 0.08), (0.9, 0.5), (-1.3, 0.08)])
def test_discretised_logistic_is_a_difference_of_cdfs(mean: float, scale: float) -> None:
    edges = (np.arange(255) + 0.5) / 127.5 - 1.0
    cdf = np.concatenate([[0.0], stats.logistic(mean, scale).cdf(edges), [1.0]])
    got = losses.discretised_logistic_log_prob(
        ALL_VALUES, torch.tensor(mean, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64).log()
    )
    np.testing.assert_allclose(got.exp().numpy(), np.diff(cdf), atol=1e-12)


def test_far_tails_keep_exact_logarithms() -> None:
    """Where a difference of float32 CDFs is 0, the log probability falls linearly with the distance."""
    log_prob = losses.discretised_logistic_log_prob(ALL_VALUES, torch.tensor(-1.0), torch.tensor(-6.0))
    steps = torch.diff(log_prob[50:255])
    np.testing.assert_allclose(steps.numpy(), -np.exp(6.0) * 2 / 255, rtol=1e-3)


def test_gradients_are_finite_at_the_extremes() -> None:
    mean = torch.tensor([-50.0, -1.0, 0.0, 1.0, 50.0], requires_grad=True)
    for log_scale in (-9.0, -7.0, 0.0, 8.0):
        scale = torch.full((5,), log_scale, requires_grad=True)
        for value in (0, 1, 128, 254, 255):
            log_prob = losses.discretised_logistic_log_prob(torch.full((5,), value), mean, scale)
            for gradient in torch.autograd.grad(log_prob.sum(), (mean, scale)):
                assert torch.isfinite(gradient).all(), (value, log_scale)


def test_samples_follow_the_likelihood() -> None:
    """Chi-square against the log probabilities, 200,000 draws; false alarm 1e-4."""
    rng = np.random.default_rng(1)
    uniform = torch.from_numpy(rng.random((200_000, 1, 1, 1), dtype=np.float32))
    mean, log_scale = torch.tensor(-0.93), torch.tensor(-2.5)
    drawn = to_bytes(losses.logistic_quantile(uniform, mean, log_scale)).flatten().numpy()
    expected = losses.discretised_logistic_log_prob(ALL_VALUES, mean, log_scale).double().exp().numpy()
    last = int(np.flatnonzero(expected * len(drawn) > 10)[-1])
    observed = np.bincount(np.minimum(drawn, last), minlength=last + 1)
    cells = np.append(expected[:last], expected[last:].sum())
    assert stats.chisquare(observed, cells / cells.sum() * len(drawn)).pvalue > 1e-4


def test_quantile_of_the_extreme_uniforms_is_finite() -> None:
    ends = torch.tensor([0.0, 1.0 - 2.0**-24])
    assert torch.isfinite(losses.logistic_quantile(ends, torch.tensor(0.0), torch.tensor(0.0))).all()


def test_gaussian_kl_agrees_with_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_std = torch.randn(2, 50, 7, generator=generator)
    one = torch.distributions.Normal(torch.zeros(7), torch.ones(7))
    other = torch.distributions.Normal(mean, log_std.exp())
    expected = torch.distributions.kl_divergence(other, one).sum(-1)
    torch.testing.assert_close(losses.gaussian_kl(mean, log_std), expected, rtol=1e-5, atol=1e-5)
    assert losses.gaussian_kl(torch.zeros(1, 7), torch.zeros(1, 7)).item() == 0.0


def test_binary_cross_entropy_known_values() -> None:
    logits, y = torch.tensor([0.0, 100.0, 100.0, -100.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    got = losses.binary_cross_entropy(logits, y)
    torch.testing.assert_close(got, torch.tensor([np.log(2), 0.0, 100.0, 0.0], dtype=torch.float32))
