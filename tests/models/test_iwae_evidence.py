"""Log likelihood and active units of an IWAE: known answers, and what they depend on."""

import numpy as np
import pytest
import torch

from lfiw_ray.config_generators import IWAEConfig
from lfiw_ray.models import iwae_evidence
from lfiw_ray.models.iwae import IWAE

SHAPE = (2, 3, 1)


def build(**fields: object) -> IWAE:
    torch.manual_seed(1)
    return IWAE(IWAEConfig(**({"latents": 3, "hidden": 8, "likelihood": "bernoulli"} | fields)), SHAPE).eval()


def bits(rows: int) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 2, (rows, *SHAPE), dtype=np.uint8) * np.uint8(255)
    x.flags.writeable = False  # as arrays read from a file are
    return x


def test_pixels_without_latents_have_their_exact_likelihood() -> None:
    """A decoder that ignores z and q = p: every weight is p(x), so the estimate is exact at any k."""
    model = build()
    with torch.no_grad():
        for layer in (model.posteriors[0].layers[-2], model.decoder[-2]):
            layer.weight.zero_()
            layer.bias.zero_()
        model.decoder[-2].bias.fill_(float(np.log(3)))  # P(255) = 3/4
    x = bits(5)
    ink = (x.reshape(5, -1) == 255).sum(1)
    expected = ink * np.log(0.75) + (6 - ink) * np.log(0.25)
    for num_samples in (1, 7):
        got = iwae_evidence.log_likelihood(model, x, np.arange(5), 0, "s", num_samples)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_probabilities_of_all_images_sum_to_one() -> None:
    """64 images of 6 bits, whose weights have a relative sd below 1.5: to 1 % with 2,000 draws each (5 sd)."""
    model = build(architecture="mlp2", latents=1)
    with torch.no_grad():
        for posterior, size in zip(model.posteriors, model.sizes, strict=True):
            last = [layer for layer in posterior.layers if isinstance(layer, torch.nn.Linear)][-1]
            last.bias[size:] += 0.4  # wider than the prior: weights of finite variance
    codes = np.arange(64)[:, None] >> np.arange(6) & 1
    x = codes.astype(np.uint8).reshape(64, *SHAPE) * np.uint8(255)
    total = np.exp(iwae_evidence.log_likelihood(model, x, np.arange(64), 0, "s", 2_000)).sum()
    assert total == pytest.approx(1, abs=0.01)


def test_a_row_depends_on_its_id_and_not_on_chunks_or_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, ids = build(architecture="mlp2"), bits(3), np.array([4, 9, 2_000])
    whole = iwae_evidence.log_likelihood(model, x, ids, 0, "s", 60)
    np.testing.assert_allclose(iwae_evidence.log_likelihood(model, x[1:2], ids[1:2], 0, "s", 60), whole[1:2])
    assert (iwae_evidence.log_likelihood(model, x, ids + 1, 0, "s", 60) != whole).all()
    monkeypatch.setattr(iwae_evidence, "_CHUNK", 7)
    np.testing.assert_allclose(iwae_evidence.log_likelihood(model, x, ids, 0, "s", 60), whole, rtol=1e-5)
    means = iwae_evidence.posterior_means(model, x, ids, 0, "s", 60)
    monkeypatch.setattr(iwae_evidence, "_CHUNK", 500)
    for a, b in zip(iwae_evidence.posterior_means(model, x, ids, 0, "s", 60), means, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_more_draws_never_hurt_a_bad_posterior() -> None:
    model, x = build(), bits(20)
    with torch.no_grad():
        model.posteriors[0].layers[-2].bias[:3] = 2.0
        model.decoder[0].weight.mul_(5)
    by_k = [iwae_evidence.log_likelihood(model, x, np.arange(20), 0, "s", k).mean() for k in (1, 30, 1_000)]
    assert by_k[0] < by_k[1] < by_k[2]


def test_units_whose_mean_moves_by_more_than_a_tenth_are_active() -> None:
    """Means +-0.11 of unit 0, +-0.09 of unit 1, constant of unit 2, over equally many rows: variances around 0.01."""
    model = build()
    with torch.no_grad():
        for parameter in model.posteriors[0].parameters():
            parameter.zero_()
        first, _, second, _, last = model.posteriors[0].layers[1:6]
        first.weight[0] = 1.0  # all ink or none: tanh saturates at +-1
        second.weight[0, 0] = 10.0
        last.weight[0, 0], last.weight[1, 0], last.bias[2] = 0.11, 0.09, 3.0
    x = np.repeat(np.array([0, 255], np.uint8), 50)[:, None, None, None] * np.ones((1, *SHAPE), np.uint8)
    means = iwae_evidence.posterior_means(model, x, np.arange(100), 0, "s", 5)
    assert [layer.shape for layer in means] == [(100, 3)]
    np.testing.assert_allclose(np.abs(means[0]), np.broadcast_to([0.11, 0.09, 3.0], (100, 3)), rtol=1e-4)
    assert iwae_evidence.active_units(means) == [1]


def test_means_of_the_second_layer_average_over_the_first() -> None:
    """E[z_2 | x] of a linear second network is that network at E[z_1 | x]; 4.5 standard errors of 4,000 draws."""
    model = build(architecture="mlp2", latents=2)
    torch.manual_seed(0)
    model.posteriors[1].layers = torch.nn.Linear(4, 4)
    first, second = iwae_evidence.posterior_means(model, bits(2), np.arange(2), 0, "s", 4_000)
    assert [first.shape, second.shape] == [(2, 4), (2, 2)]
    weight, bias = (p.detach().double().numpy()[:2] for p in model.posteriors[1].layers.parameters())
    np.testing.assert_allclose(second, first @ weight.T + bias, atol=4.5 * 2 * np.abs(weight).max() / 4_000**0.5)
