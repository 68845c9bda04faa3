"""The classifier: log odds of known densities, noise by id, frozen features that stay frozen."""

import numpy as np
import pytest
import torch
from torch import nn

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.noise import BatchNoise

SMALL = ClassifierConfig(width=8)
HEAD = ClassifierConfig(input="features")
SHAPE = (12, 12, 1)


class Means(nn.Module):
    """Stand-in extractor: mean and spread of an image, and a layer that could be trained by mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.float().flatten(1) / 255
        return self.norm(torch.stack([flat.mean(1), flat.std(1)], 1))


def build(config: ClassifierConfig = SMALL, shape: tuple[int, int, int] = SHAPE) -> Classifier:
    torch.manual_seed(1)
    return Classifier(config, shape, Means() if config.input == "features" else None)


def give_last_layer_weights(model: Classifier) -> Classifier:
    """The last layer starts at zero, which would hide every dependence."""
    nn.init.normal_(model.last.weight, generator=torch.Generator().manual_seed(2))
    return model.eval()


def images(rows: int, low: int, high: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    level = np.random.default_rng(seed).integers(low, high, (rows, 1, 1, 1))
    return torch.from_numpy(np.broadcast_to(level, (rows, *shape)).astype(np.uint8))


def fit(model: Classifier, x: torch.Tensor, y: torch.Tensor, steps: int = 60) -> Classifier:
    model.train()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for step in range(steps):
        loss, _ = model.loss((x, y), BatchNoise(0, step, 0, len(x), len(x)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (9, 14, 1)])
def test_an_untrained_classifier_has_even_odds(shape: tuple[int, int, int]) -> None:
    model = build(shape=shape).eval()
    x = images(6, 0, 256, shape=shape)
    logits = model.logits(x, np.arange(6), 0, "score")
    assert logits.dtype == torch.float32
    assert logits.tolist() == [0.0] * 6
    loss, metrics = model.loss((x, torch.ones(6)), BatchNoise(0, 0, 0, 6, 6))
    assert loss.item() == pytest.approx(np.log(2))
    assert set(metrics) == {"log_loss", "accuracy"}


@pytest.mark.parametrize("config", [SMALL, HEAD], ids=["pixels", "features"])
def test_logits_are_the_log_odds_of_overlapping_levels(config: ClassifierConfig) -> None:
    """Real is twice as often bright as generated is, so the log odds are +-log 2, within .25 nats."""
    real = torch.cat([images(128, 200, 201), images(64, 50, 51)])
    generated = torch.cat([images(64, 200, 201), images(128, 50, 51)])
    model = fit(build(config), torch.cat([real, generated]), torch.cat([torch.ones(192), torch.zeros(192)]))
    bright = model.logits(images(64, 200, 201), np.arange(64), 0, "t").mean().item()
    dark = model.logits(images(64, 50, 51), np.arange(64), 0, "t").mean().item()
    assert bright == pytest.approx(np.log(2), abs=0.25)
    assert dark == pytest.approx(-np.log(2), abs=0.25)


def test_noise_of_a_row_is_a_function_of_its_id() -> None:
    model = give_last_layer_weights(build())
    x, ids = images(8, 0, 256), np.array([4, 1024, 9, 3000, 2, 1, 0, 5])
    a = model.logits(x, ids, 0, "score")
    order = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4])
    torch.testing.assert_close(model.logits(x[order], ids[order.numpy()], 0, "score"), a[order], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(a, model.logits(x, ids + 1, 0, "score"))
    assert not torch.allclose(a, model.logits(x, ids, 1, "score"))
    assert not torch.allclose(a, model.logits(x, ids, 0, "other"))


def test_draws_are_averaged() -> None:
    """The variance over noise of the mean of 16 logits is about a sixteenth: its ratio lies within 1/8 .. 1/32."""
    one = give_last_layer_weights(build())
    many = give_last_layer_weights(build(SMALL.model_copy(update={"noise_draws": 16})))
    x, ids = images(1, 128, 129).repeat(256, 1, 1, 1), np.arange(256)
    ratio = (many.logits(x, ids, 0, "s").var() / one.logits(x, ids, 0, "s").var()).item()
    assert 1 / 32 < ratio < 1 / 8


def test_without_noise_equal_images_have_equal_logits() -> None:
    model = give_last_layer_weights(build(SMALL.model_copy(update={"noise_sigma": 0.0})))
    logits = model.logits(images(1, 128, 129).repeat(4, 1, 1, 1), np.arange(4), 0, "s")
    assert logits.unique().numel() == 1


def test_dropout_draws_from_the_batch_noise_only_in_training() -> None:
    model = give_last_layer_weights(build(SMALL.model_copy(update={"dropout": 0.5})))
    x, y = images(8, 0, 256), torch.ones(8)
    plain = give_last_layer_weights(build()).loss((x, y), BatchNoise(0, 0, 0, 8, 8))[0]
    assert model.loss((x, y), BatchNoise(0, 0, 0, 8, 8))[0] == plain
    model.train()
    state = torch.get_rng_state()
    dropped = [model.loss((x, y), BatchNoise(0, step, 0, 8, 8))[0].item() for step in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state())
    assert dropped[0] == dropped[1] != dropped[2]
    assert dropped[0] != plain.item()


def test_the_extractor_stays_frozen_and_is_saved() -> None:
    model = build(HEAD)
    x = torch.cat([images(64, 0, 100), images(64, 150, 256)])
    before = {name: t.clone() for name, t in model.extractor.state_dict().items()}
    fit(model, x, torch.cat([torch.ones(64), torch.zeros(64)]), steps=10)
    assert all(torch.equal(t, before[name]) for name, t in model.extractor.state_dict().items())
    assert {f"extractor.{name}" for name in before} <= set(model.state_dict())
    assert not any(p.requires_grad for p in model.extractor.parameters())


def test_extractor_must_fit_the_input() -> None:
    with pytest.raises(ValueError, match="features need one"):
        Classifier(HEAD, SHAPE)
    with pytest.raises(ValueError, match="pixels none"):
        Classifier(SMALL, SHAPE, Means())
