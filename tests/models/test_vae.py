"""The VAE: shapes, what a sample depends on, its distribution, and that training lowers the loss."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.core import losses
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.vae import VAE

SMALL = VAEConfig(latents=4, width=8)


def build(config: VAEConfig = SMALL, shape: tuple[int, int, int] = (12, 8, 1)) -> VAE:
    torch.manual_seed(3)
    return VAE(config, shape).eval()


def stripes(rows: int, shape: tuple[int, int, int] = (12, 8, 1)) -> torch.Tensor:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 256, (rows, 1, 1, 1))
    return torch.from_numpy(np.broadcast_to(level, (rows, *shape)).astype(np.uint8))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (4, 4, 3), (12, 8, 1)])
def test_loss_and_samples_have_the_shape_of_the_images(shape: tuple[int, int, int]) -> None:
    model = build(shape=shape)
    x = stripes(6, shape)
    loss, metrics = model.loss((x,), BatchNoise(0, 0, 0, 6, 6))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert set(metrics) == {"elbo_bpd", "kl_nats"}
    assert not any(value.requires_grad for value in metrics.values())
    samples = model.sample(np.arange(5), 0, "samples")
    assert samples.shape == (5, *shape)
    assert samples.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "named"), [((30, 28, 1), "30 x 28"), ((28, 0, 1), "28 x 0"), ((28, 28, 2), "have 2")]
)
def test_other_shapes_are_refused(shape: tuple[int, int, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        VAE(SMALL, shape)


def test_sample_depends_on_the_id_and_not_on_the_other_ids() -> None:
    model = build()
    ids = np.array([0, 5, 1023, 1024, 5000, 7, 2048, 9])
    order = np.array([3, 0, 6, 1, 7, 2, 5, 4])
    a, b = model.sample(ids, 1, "s"), model.sample(ids[order], 1, "s")
    np.testing.assert_array_equal(a[order], b)
    other = np.array([3, 5, 77, 1024, 90, 91, 92, 93])
    np.testing.assert_array_equal(model.sample(other, 1, "s")[[1, 3]], a[[1, 3]])


def test_sample_depends_on_seed_and_stream() -> None:
    model, ids = build(), np.arange(16)
    a = model.sample(ids, 1, "s")
    assert len(np.unique(a.reshape(16, -1), axis=0)) == 16
    assert (a != model.sample(ids, 2, "s")).any()
    assert (a != model.sample(ids, 1, "t")).any()
    np.testing.assert_array_equal(a, model.sample(ids, 1, "s"))


def test_no_global_random_state_is_touched() -> None:
    model = build()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model.sample(np.arange(4), 0, "s")
    model.loss((stripes(4),), BatchNoise(0, 0, 0, 4, 4))
    assert torch.equal(before, torch.get_rng_state())


def constant_decoder(config: VAEConfig, mean: float) -> VAE:
    """A VAE whose decoder gives the same mean for every pixel."""
    model = build(config)
    last = model.decoder[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, mean)
    return model


def test_pixels_are_draws_from_the_likelihood() -> None:
    """Chi-square of 98,304 pixels against the log probabilities; false alarm 1e-4."""
    model = constant_decoder(SMALL, -0.9)
    pixels = model.sample(np.arange(1024), 0, "s").ravel()
    _, log_scale = model.decode(torch.zeros(1, 4))
    expected = losses.discretised_logistic_log_prob(torch.arange(256), torch.tensor(-0.9), log_scale).double().exp()
    last = int(np.flatnonzero(expected.numpy() * len(pixels) > 10)[-1])
    cells = np.append(expected[:last].numpy(), expected[last:].sum())
    observed = np.bincount(np.minimum(pixels, last), minlength=last + 1)
    assert stats.chisquare(observed, cells / cells.sum() * len(pixels)).pvalue > 1e-4


def test_sample_mean_gives_the_mean() -> None:
    model = constant_decoder(SMALL.model_copy(update={"sample_mean": True}), 0.2)
    assert set(model.sample(np.arange(8), 0, "s").ravel()) == {round(1.2 * 127.5)}


def test_elbo_counts_every_pixel_once() -> None:
    """With a constant decoder the reported ELBO is the sum of the pixels' log probabilities less the KL."""
    model, x = constant_decoder(SMALL, 0.1), stripes(32)
    _, metrics = model.loss((x,), BatchNoise(0, 0, 0, 32, 32))
    _, log_scale = model.decode(torch.zeros(1, 4))
    nats = -losses.discretised_logistic_log_prob(x, torch.tensor(0.1), log_scale).sum() / 32 + metrics["kl_nats"]
    assert metrics["elbo_bpd"].item() == pytest.approx(nats.item() / math.log(2) / 96, rel=1e-5)


def test_training_lowers_the_loss() -> None:
    model, x = build().train(), stripes(128)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for step in range(60):
        loss, _ = model.loss((x,), BatchNoise(0, step, 0, 128, 128))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.6 * history[0]
