"""PixelCNN++: what an output may depend on, the likelihood, the fit to the first rows, labels, and learning."""

import math

import numpy as np
import pytest
import torch

from lfiw_ray.config import GeneratorConfig
from lfiw_ray.config_generators import PixelCNNConfig
from lfiw_ray.core import logistic_mixture
from lfiw_ray.errors import ConfigError
from lfiw_ray.models import registry
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.pixelcnn import PixelCNN

SMALL = PixelCNNConfig(blocks=1, filters=6, mixtures=2)
LABELLED = SMALL.model_copy(update={"conditional": True})
SHAPE = (8, 8, 1)


def build(config: PixelCNNConfig = SMALL, shape: tuple[int, int, int] = SHAPE, **kwargs: tuple[int, ...]) -> PixelCNN:
    torch.manual_seed(3)
    return PixelCNN(config, shape, **kwargs).eval()


def stripes(rows: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Each image has one level; noise of a few grid steps."""
    rng = np.random.default_rng(0)
    level = rng.integers(20, 236, (rows, 1, 1, 1))
    return (level + rng.integers(-4, 5, (rows, *shape))).astype(np.uint8)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (4, 4, 3), (12, 8, 1)])
def test_loss_and_samples_have_the_shape_of_the_images(shape: tuple[int, int, int]) -> None:
    model = build(shape=shape)
    loss, metrics = model.loss((torch.from_numpy(stripes(3, shape)),), BatchNoise(0, 0, 0, 3, 3))
    assert loss.shape == ()
    assert metrics["bpd"].item() == pytest.approx(loss.item() / math.log(2) / math.prod(shape), rel=1e-6)
    assert not metrics["bpd"].requires_grad
    samples = model.sample(np.arange(2), 0, "samples")
    assert samples.shape == (2, *shape)
    assert samples.dtype == np.uint8
    assert samples.std() > 0


@pytest.mark.parametrize(
    ("shape", "named"), [((30, 28, 1), "30 x 28"), ((28, 0, 1), "28 x 0"), ((28, 28, 2), "have 2")]
)
def test_other_shapes_are_refused(shape: tuple[int, int, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PixelCNN(SMALL, shape)


@pytest.mark.parametrize("at", [(0, 0), (0, 5), (3, 0), (4, 4), (5, 7), (7, 2)])
def test_an_output_depends_on_the_pixels_before_it_and_on_all_its_neighbours(at: tuple[int, int]) -> None:
    """Gradients in float64: exactly 0 from (row, column) on, in raster order, and not 0 at any earlier pixel."""
    model, (row, column) = build(shape=(8, 8, 3)).double(), at
    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 3, 8, 8))).requires_grad_()
    out = model.net(x, None, None)
    weight = torch.from_numpy(np.random.default_rng(2).normal(size=out.shape[1]))
    gradient = torch.autograd.grad((out[0, :, row, column] * weight).sum(), x, allow_unused=True)[0][0]
    changed = (gradient != 0).all(0).flatten().numpy()
    np.testing.assert_array_equal((gradient != 0).any(0).flatten().numpy(), changed)
    assert not changed[8 * row + column :].any()
    for r, c in [(row, column - 1), (row - 1, column - 1), (row - 1, column), (row - 1, column + 1), (row, column - 2)]:
        assert changed[8 * r + c] or not (r >= 0 and 0 <= c < 8), (r, c)


def test_the_probabilities_of_all_images_sum_to_one() -> None:
    """By the chain rule: at each pixel in turn, given the ones before, the 256 values of a 4 x 4 image."""
    model, x = build(shape=(4, 4, 1)), torch.from_numpy(stripes(1, (4, 4, 1)))
    for row, column in [(0, 0), (1, 3), (3, 1)]:
        images = x.repeat(256, 1, 1, 1)
        images[:, row, column, 0] = torch.arange(256)
        params = model._params((images,), None)[:, :, row, column]
        total = logistic_mixture.log_prob(params, images[:, row, column]).double().exp().sum()
        assert total.item() == pytest.approx(1.0, abs=1e-4)


def test_first_rows_set_every_layers_outputs_to_mean_0_and_their_deviation() -> None:
    model, x = build(PixelCNNConfig(blocks=2, filters=8, mixtures=2, dropout=0.0)), stripes(50)
    model.prepare((x,), 5)
    seen = {}
    hooks = [
        layer.register_forward_hook(lambda layer, _, out: seen.update({layer: out}))
        for layer in model.modules()
        if hasattr(layer, "first_gain")
    ]
    model.loss((torch.from_numpy(x),), BatchNoise(0, 0, 0, 50, 50))
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(hooks)
    for layer, out in seen.items():
        np.testing.assert_allclose(out.mean((0, 2, 3)).detach().numpy(), 0.0, atol=2e-3)
        np.testing.assert_allclose(out.std((0, 2, 3)).detach().numpy(), layer.first_gain, rtol=2e-2)


def test_the_fit_is_a_function_of_the_seed_and_works_on_constant_images() -> None:
    a, b, c = build(), build(), build()
    for model, seed in ((a, 1), (b, 1), (c, 2)):
        model.prepare((stripes(200),), seed)
    a.loss((torch.from_numpy(stripes(9)),), BatchNoise(0, 0, 0, 9, 9))  # fits nothing any more
    assert torch.equal(a.net.last.gain, b.net.last.gain)
    assert not torch.equal(a.net.last.gain, c.net.last.gain)
    flat = build()
    flat.prepare((np.zeros((70, *SHAPE), np.uint8),), 0)
    loss, _ = flat.loss((torch.zeros((2, *SHAPE), dtype=torch.uint8),), BatchNoise(0, 0, 0, 2, 2))
    assert torch.isfinite(loss)


def test_dropout_is_of_the_row_and_only_in_training() -> None:
    """Two halves of a batch on two workers have the mean loss of the whole; a lost mask would change it."""
    model, x = build(PixelCNNConfig(blocks=1, filters=6, mixtures=2, dropout=0.5)).double(), stripes(6)
    model.prepare((x,), 0)

    def loss(start: int, stop: int, step: int = 0) -> float:
        noise = BatchNoise(0, step, start, stop, 6)
        return model.loss((torch.from_numpy(x[start:stop]),), noise)[0].item()

    assert loss(0, 6) == loss(0, 6, step=1)
    model.train()
    whole = loss(0, 6)
    assert (2 * loss(0, 2) + 4 * loss(2, 6)) / 6 == pytest.approx(whole, rel=1e-12)
    assert loss(0, 6, step=1) != whole


def test_labels_shift_the_distribution_and_are_drawn_by_frequency() -> None:
    """Labels of 20,000 ids, each class within 4.5 standard errors; false alarm 3e-5."""
    model = build(LABELLED, class_counts=(30, 0, 60, 10))
    x, noise = torch.from_numpy(stripes(4)), BatchNoise(0, 0, 0, 4, 4)
    losses = [model.loss((x, torch.full((4,), label)), noise)[0].item() for label in (0, 2)]
    assert losses[0] != losses[1]
    labels = model.sample_labels(np.arange(20_000), 0, "s")
    assert labels is not None
    p = np.array([0.3, 0.0, 0.6, 0.1])
    error = np.sqrt(20_000 * p * (1 - p))
    assert (np.abs(np.bincount(labels, minlength=4) - 20_000 * p) <= 4.5 * error).all()
    other = model.sample_labels(np.array([17, 3]), 0, "s")
    np.testing.assert_array_equal(other, labels[[17, 3]])
    assert build().sample_labels(np.arange(3), 0, "s") is None


def test_labels_that_are_missing_are_named() -> None:
    with pytest.raises(ConfigError, match="labelled training rows"):
        PixelCNN(LABELLED, SHAPE)
    with pytest.raises(ConfigError, match="labelled training rows"):
        build(LABELLED, class_counts=(1, 1)).loss((torch.from_numpy(stripes(4)),), BatchNoise(0, 0, 0, 4, 4))


def test_the_registry_builds_it() -> None:
    config = GeneratorConfig(model="pixelcnn", pixelcnn=LABELLED)
    model = registry.build(registry.generator_description(config, SHAPE, [3, 4]))
    assert isinstance(model, PixelCNN)
    assert model.sample(np.arange(2), 0, "s").shape == (2, *SHAPE)


def test_training_lowers_the_loss_and_samples_look_like_the_data() -> None:
    """Images of one level each: neighbours differ by at most 8 grid steps, at random by 85 on average."""
    model, x = build(PixelCNNConfig(blocks=1, filters=12, mixtures=1, dropout=0.0)), stripes(256)
    model.prepare((x,), 0)
    optimiser, history = torch.optim.Adam(model.train().parameters(), lr=5e-3), []
    for step in range(50):
        rows = x[step * 16 % 256 :][:16]
        loss, metrics = model.loss((torch.from_numpy(rows),), BatchNoise(0, step, 0, 16, 16))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        history.append(metrics["bpd"].item())
    assert np.mean(history[-10:]) < 7 < history[0]
    samples = model.eval().sample(np.arange(32), 0, "s").astype(int)
    assert np.abs(np.diff(samples[..., 0], axis=2)).mean() < 50
