"""The cached sampler against the plain one, and against the network; what a sample depends on."""

import numpy as np
import pytest
import torch
from scipy import stats

from lfiw_ray.config_generators import PixelCNNConfig
from lfiw_ray.models.pixelcnn import PixelCNN
from lfiw_ray.models.pixelcnn_cached_net import CachedNet
from lfiw_ray.models.pixelcnn_sampler import redraw, sample_cached, sample_plain, unit


def fitted(config: PixelCNNConfig, shape: tuple[int, int, int]) -> PixelCNN:
    """A model with random weights whose gains and biases are those of the first step: all biases differ from 0."""
    torch.manual_seed(1)
    model = PixelCNN(config, shape, (3, 5, 1) if config.conditional else None)
    rng = np.random.default_rng(0)
    x, labels = rng.integers(0, 256, (20, *shape)).astype(np.uint8), rng.integers(0, 3, 20)
    model.prepare((x, labels) if config.conditional else (x,), 0)
    with torch.no_grad():  # small scales saturate pixels less, so that more of them tell a difference
        model.net.last.gain.mul_(0.3)
    return model.eval()


@pytest.mark.parametrize(
    ("shape", "blocks", "conditional"),
    [((8, 8, 3), 1, False), ((8, 4, 1), 2, True), ((4, 12, 3), 1, True), ((4, 4, 1), 3, False)],
)
def test_both_samplers_give_the_same_images(shape: tuple[int, int, int], blocks: int, conditional: bool) -> None:
    """In float64, where no value is within rounding of two: every pixel is equal."""
    config = PixelCNNConfig(blocks=blocks, filters=5, mixtures=3, conditional=conditional)
    model = fitted(config, shape).double()
    noise = model.pixel_noise(np.array([3, 1500, 0, 7]), 0, "s")
    cached = sample_cached(model.net, noise)
    assert torch.equal(cached, sample_plain(model.net, noise))
    assert torch.equal(cached, redraw(model.net, noise, cached))
    assert len(cached.unique()) > 20


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)])
def test_every_pixel_of_a_real_size_is_the_plain_samplers(shape: tuple[int, int, int]) -> None:
    """One forward pass over the finished images redraws all their pixels, each given those before."""
    model = fitted(PixelCNNConfig(blocks=1, filters=8, mixtures=5), shape).double()
    noise = model.pixel_noise(np.arange(2), 0, "s")
    cached = sample_cached(model.net, noise)
    assert torch.equal(redraw(model.net, noise, cached), cached)


def test_in_float32_only_roundings_on_the_edge_differ() -> None:
    """Of 6,144 values those within rounding of two neighbours, by one step: fewer than 1 in 1,000."""
    model = fitted(PixelCNNConfig(blocks=1, filters=16, mixtures=5), (32, 32, 3))
    noise = model.pixel_noise(np.arange(2), 0, "s")
    cached = sample_cached(model.net, noise)
    apart = (redraw(model.net, noise, cached) - cached).abs()
    assert (apart > 0).float().mean() < 1e-3
    plain = sample_plain(model.net, noise, [(0, column) for column in range(8)])
    assert torch.equal(plain[:, :, 0, :8], cached[:, :, 0, :8])


def test_the_cached_network_equals_the_network_at_every_position() -> None:
    model = fitted(PixelCNNConfig(blocks=2, filters=8, mixtures=2), (12, 16, 3)).double()
    x = unit(torch.from_numpy(np.random.default_rng(2).integers(0, 256, (3, 3, 12, 16))).double())
    with torch.inference_mode():
        whole, cached = model.net(x, None, None), CachedNet(model.net, 16, 3, None)
        for row in range(12):
            cached.begin(row)
            for column in range(16):
                torch.testing.assert_close(cached.pixel(row, column), whole[:, :, row, column], rtol=0, atol=1e-12)
                cached.put(column, x[:, :, row, column])


def test_the_redrawn_image_tells_one_wrong_pixel() -> None:
    model = fitted(PixelCNNConfig(blocks=1, filters=5, mixtures=3), (8, 8, 1)).double()
    noise = model.pixel_noise(np.arange(2), 0, "s")
    wrong = sample_cached(model.net, noise).clone()
    wrong[1, 0, 4, 4] += 1 if wrong[1, 0, 4, 4] < 255 else -1
    redrawn = redraw(model.net, noise, wrong)
    assert redrawn[1, 0, 4, 4] != wrong[1, 0, 4, 4]


def test_a_sample_depends_on_seed_stream_and_id_alone() -> None:
    model = fitted(PixelCNNConfig(blocks=1, filters=5, mixtures=3), (8, 8, 1)).double()
    ids, order = np.array([0, 5, 1023, 1024, 5000]), np.array([3, 0, 4, 1])
    a = model.sample(ids, 1, "s")
    np.testing.assert_array_equal(model.sample(ids[order], 1, "s"), a[order])
    assert len(np.unique(a.reshape(5, -1), axis=0)) == 5
    assert (a != model.sample(ids, 2, "s")).any()
    assert (a != model.sample(ids, 1, "t")).any()


def test_the_noise_is_gumbel_for_components_and_uniform_for_channels() -> None:
    """Kolmogorov-Smirnov of 4,800 numbers and more each; false alarm 1e-4."""
    model = fitted(PixelCNNConfig(blocks=1, filters=5, mixtures=3), (8, 8, 3))
    noise = model.pixel_noise(np.arange(25), 0, "s")
    assert noise.gumbel.shape == (25, 3, 8, 8)
    assert stats.kstest(noise.gumbel.numpy().ravel(), "gumbel_r").pvalue > 1e-4
    assert stats.kstest(noise.uniform.numpy().ravel(), "uniform").pvalue > 1e-4


def test_no_global_random_state_is_touched() -> None:
    model = fitted(PixelCNNConfig(blocks=1, filters=5, mixtures=3), (8, 8, 1))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model.sample(np.arange(2), 0, "s")
    assert torch.equal(before, torch.get_rng_state())
