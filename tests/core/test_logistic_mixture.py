"""The pixel's mixture: it sums to one, agrees with SciPy component by component, and is what is sampled."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from lfiw_ray.core import logistic_mixture
from lfiw_ray.core.losses import logistic_quantile

ALL_VALUES = torch.arange(256)


def some_params(components: int, channels: int, rows: int, scale: float = 1.0) -> torch.Tensor:
    rng = np.random.default_rng(components + channels)
    params = rng.normal(scale=scale, size=(rows, logistic_mixture.num_params(components, channels)))
    params[:, (1 + channels) * components : (1 + 2 * channels) * components] -= 2.0  # log scales
    return torch.from_numpy(params)


@pytest.mark.parametrize(("components", "channels", "count"), [(10, 3, 100), (10, 1, 30), (1, 3, 10)])
def test_the_number_of_parameters_is_the_papers(components: int, channels: int, count: int) -> None:
    assert logistic_mixture.num_params(components, channels) == count


@pytest.mark.parametrize("components", [1, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("scale", "dtype", "atol"), [(1.0, torch.float32, 3e-5), (12.0, torch.float64, 1e-9)])
def test_each_channel_given_those_before_sums_to_one(
    components: int, channels: int, scale: float, dtype: torch.dtype, atol: float
) -> None:
    params = some_params(components, channels, 5, scale).to(dtype)
    before = torch.tensor([0, 255, 7, 130, 250])
    for channel in range(channels):
        values = before[:, None, None].expand(5, channels, 256).clone()
        values[:, channel] = ALL_VALUES
        parts = logistic_mixture.component_log_probs(params[:, :, None].expand(-1, -1, 256), values)
        joint, known = parts[:, : channel + 2].sum(1).logsumexp(1), parts[:, : channel + 1].sum(1).logsumexp(1)
        total = (joint - known).double().exp().sum(1)
        np.testing.assert_allclose(total.numpy(), 1.0, atol=atol)


def cell(value: np.ndarray, mean: float | np.ndarray, scale: float) -> np.ndarray:
    """P(value) as a difference of two CDFs."""
    upper = np.where(value == 255, 1.0, stats.logistic.cdf((value + 0.5) / 127.5 - 1, mean, scale))
    lower = np.where(value == 0, 0.0, stats.logistic.cdf((value - 0.5) / 127.5 - 1, mean, scale))
    return np.asarray(upper - lower)


def joint_of_two(params: np.ndarray, components: int) -> np.ndarray:
    """(256, 256) P(x_0, x_1) of a pixel of three channels, written out with SciPy."""
    part = params.reshape(10, components)
    weight, grid = special.softmax(part[0]), np.arange(256) / 127.5 - 1
    total = np.zeros((256, 256))
    for k in range(components):
        scale = np.exp(np.maximum(part[4:7, k], -7))
        first = cell(np.arange(256), part[1, k], scale[0])
        mean = part[2, k] + np.tanh(part[7, k]) * grid
        total += weight[k] * first[:, None] * cell(np.arange(256)[None], mean[:, None], scale[1])
    return total


def test_log_prob_is_the_mixture_of_products_written_out() -> None:
    params, values = some_params(3, 3, 1), torch.tensor([[10, 200, 255]])
    part = params.numpy().reshape(10, 3)
    weight, x = special.softmax(part[0]), values[0].numpy() / 127.5 - 1
    a, b, c = np.tanh(part[7:])
    means = part[1:4] + np.stack([np.zeros(3), a * x[0], b * x[0] + c * x[1]])
    expected = sum(
        weight[k] * np.prod([cell(values[0, j].numpy(), means[j, k], np.exp(part[4 + j, k])) for j in range(3)])
        for k in range(3)
    )
    assert logistic_mixture.log_prob(params, values).exp().item() == pytest.approx(expected, rel=1e-9)


def test_samples_follow_the_joint_distribution() -> None:
    """Chi-square of the first two channels of 60,000 pixels on 64 cells; false alarm 1e-4."""
    rng, rows = np.random.default_rng(1), 60_000
    params = some_params(3, 3, 1)
    gumbel, uniform = torch.from_numpy(rng.gumbel(size=(rows, 3))), torch.from_numpy(rng.random((rows, 3)))
    drawn = logistic_mixture.sample(params.expand(rows, -1), gumbel, uniform).long().numpy()
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    cells = joint_of_two(params[0].numpy(), 3).reshape(8, 32, 8, 32).sum((1, 3)).ravel()
    observed = np.bincount(drawn[:, 0] // 32 * 8 + drawn[:, 1] // 32, minlength=64)
    common = cells * rows > 5
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(cells[common], cells[~common].sum()) * rows
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_the_last_channel_is_drawn_given_the_rounded_ones_before() -> None:
    """One component: the third channel is the quantile at the location that the first two values give."""
    rng = np.random.default_rng(2)
    params = some_params(1, 3, 50)
    uniform = torch.from_numpy(rng.random((50, 3)))
    drawn = logistic_mixture.sample(params, torch.zeros(50, 1), uniform)
    x = drawn / 127.5 - 1
    mean = params[:, 3] + params[:, 8].tanh() * x[:, 0] + params[:, 9].tanh() * x[:, 1]
    exact = (logistic_quantile(uniform[:, 2], mean, params[:, 6].clamp(min=-7)) + 1) * 127.5
    assert (drawn[:, 2] - exact.round().clamp(0, 255)).abs().max() == 0


def test_axes_after_the_second_are_positions() -> None:
    params = some_params(2, 3, 12)
    rng = np.random.default_rng(3)
    gumbel, uniform = torch.from_numpy(rng.gumbel(size=(12, 2))), torch.from_numpy(rng.random((12, 3)))
    flat = logistic_mixture.sample(params, gumbel, uniform)

    def image(t: torch.Tensor) -> torch.Tensor:
        return t.reshape(2, 3, 2, -1).permute(0, 3, 1, 2)

    drawn = logistic_mixture.sample(image(params), image(gumbel), image(uniform))
    assert torch.equal(drawn, image(flat))
    torch.testing.assert_close(
        logistic_mixture.log_prob(image(params), drawn), image(logistic_mixture.log_prob(params, flat))[:, 0]
    )


def test_gradients_are_finite_at_the_extremes() -> None:
    params = torch.full((4, logistic_mixture.num_params(2, 3)), -200.0)
    params[2:] = 200.0
    params.requires_grad_()
    values = torch.tensor([[0, 255, 0], [255, 0, 128]] * 2)
    loss = -logistic_mixture.log_prob(params, values).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert params.grad is not None
    assert torch.isfinite(params.grad).all()
