"""The classifier: log odds of known densities for every input, noise by id, bridges."""

import numpy as np
import pytest
import torch
from torch import nn

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core import calibration
from lfiw_ray.core.logistic import log_loss
from lfiw_ray.models import registry
from lfiw_ray.models.checkpoint import Description
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.noise import BatchNoise

SMALL = ClassifierConfig(width=8)
HEAD = ClassifierConfig(input="features")
SHAPE = (12, 12, 1)


BOTH = ClassifierConfig(input="both", width=8)
BRIDGED = {"bridges": 3}


def inputs_of(config: ClassifierConfig, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What a classifier of this configuration takes for images x: the images, their mean and spread, or both."""
    flat = x.float().flatten(1) / 255
    features = torch.stack([flat.mean(1), flat.std(1)], 1)
    return {"pixels": (x,), "features": (features,), "both": (x, features)}[config.input]


def build(config: ClassifierConfig = SMALL, shape: tuple[int, int, int] = SHAPE) -> Classifier:
    torch.manual_seed(1)
    return Classifier(config, shape, None if config.input == "pixels" else 2)


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
        batch = (*inputs_of(model.config, x), y)
        loss, _ = model.loss(batch, BatchNoise(0, step, 0, len(x), len(x)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@pytest.mark.parametrize("config", [SMALL, HEAD, BOTH, BOTH.model_copy(update=BRIDGED)])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (9, 14, 1)])
def test_an_untrained_classifier_has_even_odds(shape: tuple[int, int, int], config: ClassifierConfig) -> None:
    model = build(config, shape).eval()
    inputs = inputs_of(config, images(6, 0, 256, shape=shape))
    logits = model.logits(inputs, np.arange(6), 0, "score")
    assert logits.dtype == torch.float32
    assert logits.tolist() == [0.0] * 6
    loss, metrics = model.loss((*inputs, (torch.arange(6) < 2).float()), BatchNoise(0, 0, 0, 6, 6))
    assert loss.item() == pytest.approx(np.log(2))
    assert set(metrics) == {"log_loss", "accuracy"}


@pytest.mark.parametrize(
    ("config", "bridges"),
    [(SMALL, 0), (HEAD, 0), (HEAD, 3), (BOTH, 3)],
    ids=["pixels", "features", "bridged features", "bridged both"],
)
def test_logits_are_the_log_odds_of_overlapping_levels(config: ClassifierConfig, bridges: int) -> None:
    """Real is twice as often bright as generated is, so the log odds are +-log 2, within .25 nats."""
    real = torch.cat([images(128, 200, 201), images(64, 50, 51)])
    generated = torch.cat([images(64, 200, 201), images(128, 50, 51)])
    model = build(config.model_copy(update={"bridges": bridges}))
    fit(model, torch.cat([real, generated]), torch.cat([torch.ones(192), torch.zeros(192)]))
    bright, dark = (
        model.logits(inputs_of(config, images(64, level, level + 1)), np.arange(64), 0, "t").mean().item()
        for level in (200, 50)
    )
    assert bright == pytest.approx(np.log(2), abs=0.25)
    assert dark == pytest.approx(-np.log(2), abs=0.25)


def test_noise_of_a_row_is_a_function_of_its_id() -> None:
    model = give_last_layer_weights(build())
    x, ids = images(8, 0, 256), np.array([4, 1024, 9, 3000, 2, 1, 0, 5])
    a = model.logits((x,), ids, 0, "score")
    order = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4])
    torch.testing.assert_close(
        model.logits((x[order],), ids[order.numpy()], 0, "score"), a[order], rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(a, model.logits((x,), ids + 1, 0, "score"))
    assert not torch.allclose(a, model.logits((x,), ids, 1, "score"))
    assert not torch.allclose(a, model.logits((x,), ids, 0, "other"))


def test_draws_are_averaged() -> None:
    """The variance over noise of the mean of 16 logits is about a sixteenth: its ratio lies within 1/8 .. 1/32."""
    one = give_last_layer_weights(build())
    many = give_last_layer_weights(build(SMALL.model_copy(update={"noise_draws": 16})))
    x, ids = images(1, 128, 129).repeat(256, 1, 1, 1), np.arange(256)
    ratio = (many.logits((x,), ids, 0, "s").var() / one.logits((x,), ids, 0, "s").var()).item()
    assert 1 / 32 < ratio < 1 / 8


def test_without_noise_equal_images_have_equal_logits() -> None:
    model = give_last_layer_weights(build(SMALL.model_copy(update={"noise_sigma": 0.0})))
    logits = model.logits((images(1, 128, 129).repeat(4, 1, 1, 1),), np.arange(4), 0, "s")
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


def test_inputs_are_what_the_configuration_asks_for() -> None:
    assert [build(config).inputs for config in (SMALL, HEAD, BOTH)] == [("x",), ("features",), ("x", "features")]
    for config, num_features in ((SMALL, 2), (HEAD, None), (BOTH, None), (HEAD, 0)):
        with pytest.raises(ValueError, match=f"num_features {num_features}: features need > 0, pixels None"):
            Classifier(config, SHAPE, num_features)
    with pytest.raises(ValueError, match=r"takes \('x', 'features'\), got 1 inputs"):
        build(BOTH).logits((images(2, 0, 256),), np.arange(2), 0, "s")


def test_both_inputs_count() -> None:
    model = give_last_layer_weights(build(BOTH))
    x, features = inputs_of(BOTH, images(4, 0, 256))
    logits = model.logits((x, features), np.arange(4), 0, "s")
    for other in ((255 - x, features), (x, features + 1)):
        assert (model.logits(other, np.arange(4), 0, "s") != logits).all()


def test_features_of_any_scale_are_tamed() -> None:
    """Log-compressed, odd in the sign: the layers see +-log(1 + |f|)."""
    model, seen = build(HEAD), []
    model.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.logits((torch.tensor([[1e6, -np.e + 1]], dtype=torch.float64),), np.arange(1), 0, "s")
    assert seen[0].dtype == torch.float32
    assert seen[0].tolist()[0] == pytest.approx([np.log1p(1e6), -1.0])


def test_the_registry_builds_what_a_description_says() -> None:
    for config, extra in ((SMALL, {}), (BOTH.model_copy(update=BRIDGED), {"num_features": 5})):
        model = registry.build(Description("classifier", config.model_dump(), SHAPE, extra))
        assert isinstance(model, Classifier)
        assert model.config == config
        assert model.last.weight.shape == (config.bridges + 1, 32 + (256 if extra else 0))


def test_the_logit_is_the_sum_of_the_steps() -> None:
    model = give_last_layer_weights(build(HEAD.model_copy(update=BRIDGED)))
    features = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        steps = model.last(model.head(features.sign() * features.abs().log1p()))
    assert steps.shape == (8, 4)
    torch.testing.assert_close(model.logits((features,), np.arange(8), 0, "s"), steps.sum(1))


def test_a_batch_of_one_class_is_judged_by_the_sum() -> None:
    model = give_last_layer_weights(build(HEAD.model_copy(update=BRIDGED)))
    features = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    logits = model.logits((features,), np.arange(8), 0, "s")
    for y in (torch.ones(8), torch.zeros(8)):
        loss, metrics = model.loss((features, y), BatchNoise(0, 0, 0, 8, 8))
        assert loss.item() == pytest.approx(nn.functional.binary_cross_entropy_with_logits(logits, y).item(), rel=1e-5)
        assert set(metrics) == {"log_loss", "accuracy"}
        loss.backward()
        assert (model.last.weight.grad != 0).all()


def test_pairs_come_from_the_batch_noise() -> None:
    model = give_last_layer_weights(build(BOTH.model_copy(update=BRIDGED | {"dropout": 0.5}))).train()
    batch = (*inputs_of(BOTH, images(8, 0, 256)), (torch.arange(8) < 3).float())
    state = torch.get_rng_state()
    first, again, other = (model.loss(batch, BatchNoise(0, step, 0, 8, 8))[0].item() for step in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert first == again != other


def test_a_bridged_classifier_is_calibrated() -> None:
    """N(mu, 1) three times as often as N(-mu, 1) in 4 dimensions: the log odds are 2 mu x + log 3.

    Platt's correction on 8,000 other rows: slope within .15 of 1 and intercept within .25 of 0; log loss within .01
    nats of the true one's.
    """
    rng, mu = np.random.default_rng(0), 0.5
    y = (np.arange(16_000) % 4 > 0).astype(np.float32)
    x = rng.standard_normal((16_000, 4)).astype(np.float32) + mu * (2 * y[:, None] - 1)
    true = 2 * mu * x.sum(1) + np.log(3)
    torch.manual_seed(1)
    model = Classifier(HEAD.model_copy(update=BRIDGED), SHAPE, 4).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(250):
        rows = rng.integers(0, 8_000, 128)
        loss, _ = model.loss((torch.from_numpy(x[rows]), torch.from_numpy(y[rows])), BatchNoise(0, step, 0, 128, 128))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    logits = model.eval().logits((torch.from_numpy(x[8_000:]),), np.arange(8_000), 0, "s").double().numpy()
    fitted = calibration.fit(logits, y[8_000:], "platt")
    assert fitted.a == pytest.approx(1, abs=0.15)
    assert fitted.b == pytest.approx(0, abs=0.25)
    assert log_loss(logits, y[8_000:]) == pytest.approx(log_loss(true[8_000:], y[8_000:]), abs=0.01)
