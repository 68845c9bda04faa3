"""The IWAE: its bound against a quadrature of log p(x), shapes, what a sample depends on, its distribution."""

import numpy as np
import pytest
import torch
from scipy import stats

from lfiw_ray.config_generators import IWAEConfig
from lfiw_ray.core.importance_bound import log_mean_exp, mean_log
from lfiw_ray.errors import ConfigError, DataError
from lfiw_ray.models.iwae import IWAE
from lfiw_ray.models.noise import BatchNoise

SHAPE = (2, 2, 1)
TINY = {"latents": 1, "hidden": 6, "num_importance": 3}


def build(shape: tuple[int, int, int] = SHAPE, sharp: float = 1.0, **fields: object) -> IWAE:
    """A small model; `sharp` scales the parameters of p, so that z matters and q, which stays wide, is wrong."""
    torch.manual_seed(3)
    model = IWAE(IWAEConfig(**(TINY | fields)), shape).eval()
    with torch.no_grad():
        for parameter in (*model.decoder.parameters(), *model.priors.parameters()):
            parameter.mul_(sharp)
        for posterior in model.posteriors:
            last = [layer for layer in posterior.layers if isinstance(layer, torch.nn.Linear)][-1]
            last.bias[len(last.bias) // 2 :] += 0.3  # wider than the prior: weights of finite variance
    return model


def bits(rows: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 2, (rows, *shape), dtype=np.uint8) * np.uint8(255))


def greys(rows: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(60, 200, (rows, *shape), dtype=np.uint8))


def normals(rows: int, k: int, model: IWAE, seed: int = 5) -> torch.Tensor:
    drawn = np.random.default_rng(seed).standard_normal((rows, k, model.num_normals), dtype=np.float32)
    return torch.from_numpy(drawn)


@torch.no_grad()
def exact_log_prob(model: IWAE, x: torch.Tensor) -> float:
    """log p(x) of one image by the trapezoidal rule over a grid of all latents; the encoder has no part in it."""
    axis = torch.linspace(-7, 7, 2001 if len(model.sizes) == 1 else 71)
    cell = float(axis[1] - axis[0])
    if len(model.sizes) == 1:
        grid = axis[None, :, None]
        log_p = model.log_likelihood(x, grid)[0] - 0.5 * axis.square() - 0.5 * np.log(2 * np.pi)
        return float(torch.logsumexp(log_p.double(), 0) + np.log(cell))
    total = []
    mean, log_std = model.priors[0](axis[None, :, None])
    for at, (m, s) in enumerate(zip(mean[0], log_std[0], strict=True)):  # z_1 = m + exp(s) e, over two e and one z_2
        e = torch.cartesian_prod(axis, axis)
        log_p = model.log_likelihood(x, (m + s.exp() * e)[None])[0].double() - 0.5 * e.square().sum(-1)
        total.append(torch.logsumexp(log_p, 0) - 0.5 * axis[at] ** 2)
    return float(torch.logsumexp(torch.stack(total), 0) + 3 * (np.log(cell) - 0.5 * np.log(2 * np.pi)))


CASES = [
    ("mlp1", "bernoulli", 4.0),
    ("mlp1", "logistic", 1.5),
    ("mlp2", "bernoulli", 3.0),
]


@pytest.mark.parametrize(("architecture", "likelihood", "sharp"), CASES)
@torch.no_grad()
def test_weights_are_unbiased_and_the_bound_climbs_to_log_p(architecture: str, likelihood: str, sharp: float) -> None:
    """Against a quadrature; 4.5 standard errors (false alarm 7e-6 a comparison)."""
    model = build(architecture=architecture, likelihood=likelihood, sharp=sharp)
    x = (bits if likelihood == "bernoulli" else greys)(3)[2:]
    truth = exact_log_prob(model, x)
    log_w = model.log_weights(x, normals(1, 400_000, model))[0].double()
    ratio = (log_w - truth).exp()
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / len(ratio) ** 0.5
    gaps = {k: (truth - log_mean_exp(log_w.reshape(-1, k))).numpy() for k in (1, 5, 50, 500)}
    errors = {k: gap.std() / len(gap) ** 0.5 for k, gap in gaps.items()}
    means = {k: gap.mean() for k, gap in gaps.items()}
    assert means[1] > 0.02  # q is wrong enough for the test to mean something
    for fewer, more in ((1, 5), (5, 50), (50, 500)):
        blocks = gaps[fewer].reshape(len(gaps[more]), -1).mean(1) - gaps[more]  # the same draws: paired
        assert blocks.mean() > -1e-6
        assert blocks.mean() > 4.5 * blocks.std() / len(blocks) ** 0.5 or means[fewer] < 1e-3
    assert all(means[k] > -4.5 * errors[k] for k in means)
    assert means[500] < 0.05 * means[1] + 4.5 * errors[500]


@pytest.mark.parametrize("architecture", ["mlp1", "mlp2", "conv"])
@pytest.mark.parametrize("objective", ["iwae", "vae", "dreg"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_loss_is_the_objective_and_every_parameter_learns(architecture: str, objective: str, likelihood: str) -> None:
    shape = (8, 4, 3)
    model = build(shape, hidden=16, architecture=architecture, objective=objective, likelihood=likelihood)
    x = (bits if likelihood == "bernoulli" else greys)(6, shape)
    loss, metrics = model.loss((x,), BatchNoise(0, 0, 0, 6, 6))
    log_w = model.log_weights(x, BatchNoise(0, 0, 0, 6, 6).normal(3, model.num_normals))
    expected = mean_log(log_w) if objective == "vae" else log_mean_exp(log_w)
    assert loss.item() == pytest.approx(-expected.mean().item(), rel=1e-5)
    assert metrics["bound_bpd"].item() == pytest.approx(loss.item() / np.log(2) / 96, rel=1e-5)
    assert 1 <= metrics["ess"] <= 3
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    samples = model.sample(np.arange(5), 0, "s")
    assert (samples.shape, samples.dtype) == ((5, *shape), np.uint8)
    if likelihood == "bernoulli":
        assert set(np.unique(samples)) == {0, 255}


def gradients(model: IWAE, k: int, repeats: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(repeats, P) gradients of the bound of one image, means over `rows` draws: of the encoder, and of the rest."""
    x, normal = bits(3)[2:].expand(rows, *SHAPE), normals(repeats * rows, k, model)
    encoder, rest = list(model.posteriors.parameters()), [*model.decoder.parameters(), *model.priors.parameters()]
    found = []
    for one in normal.split(rows):
        value = model.bound(x, one)[1].mean()
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(value, [*encoder, *rest])]))
    size = sum(p.numel() for p in encoder)
    together = torch.stack(found).double()
    return together[:, :size], together[:, size:]


@pytest.mark.parametrize("architecture", ["mlp1", "mlp2"])
def test_doubly_reparameterised_gradients_are_those_of_the_bound(architecture: str) -> None:
    """Equal in expectation: the largest of some eighty |z| below 5.5 (false alarm 1e-4 at 150 repeats)."""
    by = {}
    for objective in ("iwae", "dreg"):
        model = build(hidden=4, architecture=architecture, objective=objective, likelihood="bernoulli", sharp=3.0)
        with torch.no_grad():
            for name, parameter in model.posteriors[1:].named_parameters():
                parameter.mul_(2.5 if "weight" in name else 1)  # z_2 must depend on z_1 for its path to matter
        by[objective] = gradients(model, 4, 150, 400)
    difference = by["iwae"][0] - by["dreg"][0]  # the same noise: paired
    error = difference.std(0) / len(difference) ** 0.5
    moves = error > 1e-6
    assert moves.sum() > 20
    assert (difference.mean(0)[moves] / error[moves]).abs().max() < 5.5
    assert (by["dreg"][0].mean(0)[moves].abs() / error[moves]).max() > 30  # an absent gradient would be seen
    torch.testing.assert_close(by["iwae"][1], by["dreg"][1], rtol=1e-4, atol=1e-6)  # the decoder's, draw by draw


def test_doubly_reparameterised_gradients_keep_their_signal_as_k_grows() -> None:
    """Signal to noise of the encoder's gradient, and its variance against the plain estimator's."""
    variance, signal = {}, {}
    for objective in ("iwae", "dreg"):
        model = build(hidden=4, objective=objective, likelihood="bernoulli", sharp=3.0)
        for k in (4, 256):
            found, _ = gradients(model, k, 400, 4)
            variance[objective, k] = found.var(0).sum().item()
            signal[objective, k] = (found.mean(0).square().sum() / found.var(0).sum()).sqrt().item()
    assert variance["dreg", 4] < variance["iwae", 4]
    assert variance["dreg", 256] < 0.1 * variance["iwae", 256]
    assert signal["dreg", 256] > 2 * signal["dreg", 4]


def test_held_out_loss_of_dreg_needs_no_gradient() -> None:
    model = build(objective="dreg")
    with torch.no_grad():
        loss, _ = model.loss((greys(4),), BatchNoise(0, 0, 0, 4, 4))
    assert torch.isfinite(loss)


@pytest.mark.parametrize("architecture", ["mlp1", "mlp2"])
def test_sample_depends_on_seed_stream_and_id_alone(architecture: str) -> None:
    model = build(architecture=architecture, sharp=3.0)
    ids = np.array([0, 5, 1023, 1024, 5000, 7])
    a = model.sample(ids, 1, "s")
    np.testing.assert_array_equal(model.sample(ids[::-1], 1, "s")[::-1], a)
    assert (a != model.sample(ids, 2, "s")).any()
    assert (a != model.sample(ids, 1, "t")).any()


@pytest.mark.parametrize("architecture", ["mlp1", "mlp2"])
def test_samples_follow_the_model(architecture: str) -> None:
    """All 16 images of 4 bits: chi-square of 20,480 samples against quadratures; false alarm 1e-4."""
    model = build(architecture=architecture, likelihood="bernoulli", sharp=3.0)
    codes = np.arange(16)[:, None] >> np.arange(4) & 1
    images = torch.from_numpy(codes.astype(np.uint8).reshape(16, *SHAPE) * np.uint8(255))
    expected = np.exp([exact_log_prob(model, image[None]) for image in images])
    assert expected.sum() == pytest.approx(1, abs=1e-4)
    samples = model.sample(np.arange(20_480), 0, "s")
    observed = np.bincount((samples.reshape(-1, 4) > 0) @ (1 << np.arange(4)), minlength=16)
    assert stats.chisquare(observed, expected / expected.sum() * len(samples)).pvalue > 1e-4


def test_grey_images_are_refused_by_a_bernoulli_likelihood() -> None:
    x = bits(4)
    x[2, 1, 0, 0] = 17
    with pytest.raises(DataError, match="row 2 of the batch has a pixel of 17"):
        build(likelihood="bernoulli").loss((x,), BatchNoise(0, 0, 0, 4, 4))


def test_only_the_convolutional_one_needs_sizes_divisible_by_4() -> None:
    assert build((5, 3, 2)).sample(np.arange(2), 0, "s").shape == (2, 5, 3, 2)
    with pytest.raises(ConfigError, match="5 x 3"):
        build((5, 3, 1), architecture="conv")


def test_training_raises_the_bound() -> None:
    model, x = build((4, 4, 1), latents=2, hidden=16, objective="dreg").train(), greys(1, (4, 4, 1)).repeat(64, 1, 1, 1)
    optimiser, history = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for step in range(80):
        loss, _ = model.loss((x,), BatchNoise(0, step, 0, 64, 64))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]
