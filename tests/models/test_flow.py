"""The flow: invertible, its log determinant is autograd's, its density has mass 1 and is that of its samples."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from lfiw_ray.config_generators import FlowConfig
from lfiw_ray.errors import ConfigError
from lfiw_ray.models import flow, registry
from lfiw_ray.models.checkpoint import Description
from lfiw_ray.models.flow import Flow
from lfiw_ray.models.flow_layers import Affine, Coupling, Mix, squeeze, unsqueeze
from lfiw_ray.models.noise import BatchNoise

SHAPE = (4, 4, 1)


def build(shape: tuple[int, int, int] = SHAPE, moved: float = 0.2, **fields: int) -> Flow:
    """A flow whose parameters, zeros included, are `moved` at random."""
    torch.manual_seed(2)
    model = Flow(FlowConfig(**({"steps": 2, "width": 8} | fields)), shape).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(moved * torch.randn_like(parameter))
    return model


def images(rows: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (rows, *shape), dtype=np.uint8))


def uniforms(rows: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).random((rows, *shape), dtype=np.float32))


@pytest.mark.parametrize(("shape", "steps"), [((28, 28, 1), 4), ((32, 32, 3), 4), ((4, 8, 3), 6)])
@torch.no_grad()
def test_it_is_invertible_to_1e_5(shape: tuple[int, int, int], steps: int) -> None:
    model = build(shape, moved=0.05, steps=steps)
    logits, _ = flow._logit(images(8, shape).permute(0, 3, 1, 2), uniforms(8, shape).permute(0, 3, 1, 2))
    z, _ = model.to_normal(logits)
    assert z.shape == (8, math.prod(shape))
    assert (model.from_normal(z) - logits).abs().max() < 1e-5 * logits.abs().max()
    assert (z - logits.flatten(1)).abs().mean() > 0.1


def test_the_log_determinant_is_that_of_the_jacobian() -> None:
    model, t = build(), torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    _, log_det = model.to_normal(t)
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda h: model.to_normal(h)[0][0], t[row : row + 1])
        expected = torch.linalg.slogdet(jacobian.reshape(16, 16).double()).logabsdet.item()
        assert abs(expected) > 0.1
        assert log_det[row].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(Affine, ((4, 1, 1), 6)), (Affine, ((4, 3, 2), 1, -1.0)), (Mix, (4, 6)), (Coupling, ((4, 3, 2), 5))],
)
def test_each_layer_knows_its_determinant_and_inverse(kind: type[torch.nn.Module], arguments: tuple[Any, ...]) -> None:
    torch.manual_seed(4)
    layer = kind(*arguments)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    h = torch.randn(1, 4, 3, 2, generator=torch.Generator().manual_seed(2))
    out, log_det = layer(h)
    torch.testing.assert_close(layer.inverse(out), h, rtol=1e-5, atol=1e-5)
    jacobian = torch.autograd.functional.jacobian(lambda t: layer(t)[0], h).reshape(24, 24).double()
    assert torch.as_tensor(log_det).sum().item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-4)


def test_a_squeeze_makes_channels_of_two_by_two_pixels() -> None:
    h = torch.arange(32.0).reshape(1, 2, 4, 4)
    assert squeeze(h)[0, :4, 0, 0].tolist() == [0.0, 1.0, 4.0, 5.0]
    assert torch.equal(unsqueeze(squeeze(h)), h)


def test_the_logit_and_its_derivative_are_exact_at_both_ends() -> None:
    x = torch.tensor([0, 0, 17, 128, 255, 255], dtype=torch.uint8).reshape(1, 1, 1, 6)
    u = torch.tensor([0.0, 0.5, 0.25, 0.0, 0.5, 1 - 2.0**-24]).reshape(1, 1, 1, 6)
    for at in range(6):
        t, log_det = flow._logit(x[..., at : at + 1], u[..., at : at + 1])
        kept = np.clip(np.float64(u[..., at]) + 2.0**-25, 0, 1 - 2.0**-24)
        v = np.float64(x[..., at]) + kept
        np.testing.assert_allclose(t.item(), np.log(v) - np.log(256 - v), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(log_det.item(), np.log(1 / v + 1 / (256 - v)), rtol=1e-6)


def test_a_fresh_flow_has_pixels_of_a_known_law() -> None:
    """Before training t ~ N(0, 4^2) in every pixel, so the cell of a value v has probability
    Phi(logit((v + 1) / 256) / 4) - Phi(logit(v / 256) / 4): averages of p(x + u) tend to it, and samples follow it
    (chi-square of 32,768 pixels, false alarm 1e-4)."""
    model = build(moved=0.0)
    edges = np.concatenate([[-np.inf], np.log(np.arange(1, 256) / (256 - np.arange(1, 256))), [np.inf]])
    law = np.diff(stats.norm.cdf(edges / 4))
    x = images(1)
    with torch.no_grad():
        log_p = model.log_prob(x.expand(40_000, *SHAPE), uniforms(40_000)).double()
    z_score = (log_p.exp().mean() / math.exp(np.log(law[x.numpy()]).sum()) - 1) / (
        log_p.exp().std() / log_p.exp().mean() / 200
    )
    assert abs(z_score) < 4.5
    assert log_p.mean() < np.log(law[x.numpy()]).sum()
    pixels = model.sample(np.arange(2_048), 0, "s").ravel()
    assert stats.chisquare(np.bincount(pixels, minlength=256), law * len(pixels)).pvalue > 1e-4


@torch.no_grad()
def test_the_density_is_that_of_the_samples_and_has_mass_one() -> None:
    """E[r(t) / p(t)] = 1 over the flow's own logits t, for r = N(m, 0.8^2 S) of their own mean and covariance: true
    only when p is their density, with its constant.  4.5 standard errors (false alarm 7e-6)."""
    model = build(moved=0.1)
    z = torch.from_numpy(np.random.default_rng(3).standard_normal((100_000, 16), dtype=np.float32))
    t = model.from_normal(z)
    back, log_det = model.to_normal(t)
    log_p = -0.5 * (back.square() + math.log(2 * math.pi)).sum(1) + log_det
    flat = t.flatten(1).double().numpy()
    log_r = stats.multivariate_normal(flat.mean(0), 0.64 * np.cov(flat.T)).logpdf(flat)
    ratio = np.exp(log_r - log_p.double().numpy())
    assert ratio.std() < 5
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / len(ratio) ** 0.5
    assert 4.5 * ratio.std() / len(ratio) ** 0.5 < 0.05


def test_samples_are_rounded_down_draws_of_the_density() -> None:
    model, ids = build(moved=0.1), np.arange(64)
    seen: list[torch.Tensor] = []
    model.from_normal = lambda z, inner=model.from_normal: seen.append(inner(z)) or seen[-1]
    x = model.sample(ids, 0, "s")
    v = 256 * torch.sigmoid(seen[0].double())
    cells = np.floor(v.permute(0, 2, 3, 1).numpy())
    assert (np.abs(cells - x) <= 1).all()  # float32 rounds a few over an edge
    assert (cells == x).mean() > 0.995


def test_sample_depends_on_seed_stream_and_id_alone() -> None:
    model, ids = build(), np.array([0, 5, 1023, 1024, 5000, 7])
    a = model.sample(ids, 1, "s")
    assert (a.shape, a.dtype) == ((6, *SHAPE), np.uint8)
    np.testing.assert_array_equal(model.sample(ids[::-1], 1, "s")[::-1], a)
    assert (a != model.sample(ids, 2, "s")).any()
    assert (a != model.sample(ids, 1, "t")).any()


def test_the_ends_of_the_grid_and_of_the_noise_have_finite_densities_and_gradients() -> None:
    model = build()
    x = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).reshape(4, 1, 1, 1).expand(4, *SHAPE)
    u = torch.tensor([0.0, 1 - 2.0**-24, 0.0, 1 - 2.0**-24]).reshape(4, 1, 1, 1).expand(4, *SHAPE)
    log_p = model.log_prob(x, u)
    log_p.sum().backward()
    assert torch.isfinite(log_p).all()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in model.parameters())


def test_loss_is_minus_the_log_probability() -> None:
    model, x = build(), images(6)
    loss, metrics = model.loss((x,), BatchNoise(0, 0, 0, 6, 6))
    expected = -model.log_prob(x, BatchNoise(0, 0, 0, 6, 6).uniform(*SHAPE)).mean()
    assert loss.item() == pytest.approx(expected.item())
    assert metrics["bpd"].item() == pytest.approx(loss.item() / math.log(2) / 16)
    assert not metrics["bpd"].requires_grad


@pytest.mark.parametrize("shape", [(30, 28, 1), (28, 0, 1), (28, 6, 3)])
def test_other_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=f"{shape[0]} x {shape[1]}"):
        Flow(FlowConfig(), shape)


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8, got torch"):
        build().log_prob(images(2).float(), uniforms(2))


def test_training_raises_the_likelihood() -> None:
    model, x = build(moved=0.0).train(), (images(1).expand(64, *SHAPE) // 8 + 100).contiguous()
    optimiser, history = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for step in range(60):
        loss, _ = model.loss((x,), BatchNoise(0, step, 0, 64, 64))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]


def test_the_registry_builds_a_flow_and_an_iwae() -> None:
    assert isinstance(registry.build(Description("flow", FlowConfig(width=8).model_dump(), SHAPE, {})), Flow)
    iwae = registry.build(Description("iwae", {"architecture": "mlp2", "latents": 2}, SHAPE, {}))
    assert type(iwae).__name__ == "IWAE"
    assert iwae.sizes == [4, 2]
