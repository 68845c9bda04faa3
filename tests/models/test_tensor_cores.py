"""Channels last changes how a model lies in memory and rounds, nothing else; bfloat16 only where it is asked for."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.config_generators import DAGANConfig, FlowConfig, IWAEConfig, PixelCNNConfig, SNGANConfig, VAEConfig
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.dagan import DAGAN
from lfiw_ray.models.flow import Flow
from lfiw_ray.models.iwae import IWAE
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.pixelcnn import PixelCNN
from lfiw_ray.models.pixelcnn_sampler import sample_cached
from lfiw_ray.models.players import players_of
from lfiw_ray.models.sngan import SNGAN
from lfiw_ray.models.tensor_cores import bfloat16, channels_last
from lfiw_ray.models.vae import VAE

SHAPE = (16, 16, 3)
ROWS = 6

MODELS: dict[str, Callable[[], nn.Module]] = {
    "vae": lambda: VAE(VAEConfig(latents=3, width=4), SHAPE),
    "iwae": lambda: IWAE(IWAEConfig(architecture="conv", latents=3, hidden=32, num_importance=2), SHAPE),
    "sngan": lambda: SNGAN(SNGANConfig(latents=4, width=8, critic_width=8), SHAPE),
    "dagan": lambda: DAGAN(DAGANConfig(latents=4, width=8, examples=4), SHAPE),
    "flow": lambda: Flow(FlowConfig(steps=1, width=8), SHAPE),
    "pixelcnn": lambda: PixelCNN(PixelCNNConfig(blocks=1, filters=6, mixtures=2, dropout=0.0), SHAPE),
    "classifier": lambda: Classifier(ClassifierConfig(width=8), SHAPE),
}


def batch(name: str) -> tuple[torch.Tensor, ...]:
    x = np.random.default_rng(0).integers(0, 256, (ROWS, *SHAPE)).astype(np.uint8)
    labels = np.arange(ROWS) % 2
    return torch.from_numpy(x), torch.from_numpy(labels.astype(np.float32 if name == "classifier" else np.int64))


def both(name: str) -> tuple[nn.Module, nn.Module]:
    """The same model twice, the second one turned."""
    torch.manual_seed(0)
    model = MODELS[name]()
    if hasattr(model, "prepare"):
        model.prepare(tuple(t.numpy() for t in batch(name)), 0)
    if isinstance(model, Classifier):
        nn.init.normal_(model.last.weight)  # as built it is zero, and all gradients before it
    return model, channels_last(copy.deepcopy(model))


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_gradients_stay_up_to_rounding(name: str) -> None:
    found = []
    for model in both(name):
        given = batch(name)
        losses = [p.loss(given, BatchNoise(0, 0, 0, ROWS, ROWS))[0] for p in players_of(model.train())]
        torch.stack(losses).sum().backward()
        found.append((torch.stack(losses).detach(), {n: p.grad for n, p in model.named_parameters()}))
    (losses, gradients), (turned_losses, turned) = found
    torch.testing.assert_close(turned_losses, losses, rtol=1e-5, atol=1e-5)
    scale = max(float(g.abs().max()) for g in gradients.values() if g is not None)
    assert scale > 0
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(turned[parameter], gradient, rtol=1e-3, atol=1e-4 * scale, msg=parameter)


@pytest.mark.parametrize("name", MODELS)
def test_kernels_lie_with_their_channels_last(name: str) -> None:
    model, turned = both(name)
    kernels = [t for t in model.parameters() if t.ndim == 4]
    lying = [t for t in turned.parameters() if t.ndim == 4]
    assert kernels
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in lying)
    assert not all(t.is_contiguous(memory_format=torch.channels_last) for t in kernels)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), turned.state_dict().values(), strict=True)
    )


def test_what_a_convolution_makes_lies_as_its_weight() -> None:
    model, turned = both("sngan")
    assert isinstance(model, SNGAN)
    assert isinstance(turned, SNGAN)
    seen: list[torch.Tensor] = []
    for one in (model, turned):
        one.generator.blocks[0].conv1.register_forward_hook(lambda _, __, out: seen.append(out))
        one.eval().sample(np.arange(4), 0, "samples")
    assert [t.is_contiguous(memory_format=torch.channels_last) for t in seen] == [False, True]


def test_images_differ_only_where_a_point_lies_on_the_edge_of_its_cell() -> None:
    model, turned = both("sngan")
    assert isinstance(model, SNGAN)
    assert isinstance(turned, SNGAN)
    ids = np.arange(256)
    images, again = (one.eval().sample(ids, 0, "samples").astype(int) for one in (model, turned))
    with torch.no_grad():
        cells = (model.generator(*model.latents(ids, 0, "samples")) + 1) * 128
    to_edge = (cells - cells.round()).abs().permute(0, 2, 3, 1).numpy()
    assert np.ptp(images) > 50
    assert np.abs(again - images).max() <= 1
    assert (to_edge[again != images] < 1e-3).all()
    assert (again != images).mean() < 1e-3


def test_the_cached_sampler_of_pixelcnn_does_not_see_the_order() -> None:
    model, turned = both("pixelcnn")
    assert isinstance(model, PixelCNN)
    assert isinstance(turned, PixelCNN)
    noise = model.pixel_noise(np.arange(2), 0, "samples")
    assert torch.equal(sample_cached(turned.net, noise), sample_cached(model.net, noise))


def test_bfloat16_is_taken_where_it_is_wanted() -> None:
    a = torch.eye(3)
    dtypes = []
    for wanted in (False, True):
        with bfloat16(torch.device("cpu"), wanted):
            dtypes.append((a @ a).dtype)
    assert dtypes == [torch.float32, torch.bfloat16]


@pytest.mark.gpu
def test_a_gpu_trains_near_float32() -> None:
    model, turned = both("sngan")
    given = tuple(t.cuda() for t in batch("sngan"))
    losses = []
    for one, wanted in ((model.cuda(), False), (turned.cuda(), True)):
        with bfloat16(torch.device("cuda"), wanted):
            losses.append(float(one.loss(given, BatchNoise(0, 0, 0, ROWS, ROWS, "cuda"))[0]))
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
