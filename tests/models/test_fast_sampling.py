"""Samples in bfloat16 and of a compiled network: near those in float32, the same ids and labels, one compilation."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo.utils
import torch._functorch.config
import torch._inductor.config
from torch._dynamo.testing import CompileCounter

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_generators import FAST_SAMPLING, DAGANConfig, IWAEConfig, SNGANConfig, VAEConfig
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.dagan import DAGAN
from lfiw_ray.models.fast_sampling import FastSampler, Model, Speed
from lfiw_ray.models.iwae import IWAE
from lfiw_ray.models.sngan import SNGAN
from lfiw_ray.models.vae import VAE

SHAPE = (8, 8, 1)
BATCH = 64
IDS = np.arange(BATCH)


def built(name: str, shape: tuple[int, int, int] = SHAPE) -> Model:
    """A small model with random weights, in evaluation mode."""
    torch.manual_seed(1)
    models: dict[str, Any] = {
        "vae": lambda: VAE(VAEConfig(latents=3, width=4), shape),
        "iwae": lambda: IWAE(IWAEConfig(architecture="conv", latents=3, hidden=32), shape),
        "sngan": lambda: SNGAN(SNGANConfig(latents=4, width=8, critic_width=8, conditional=True), shape, (3, 1)),
        "dagan": lambda: DAGAN(DAGANConfig(latents=4, width=8, examples=4), shape),
    }
    model: Model = models[name]().eval()
    return model


# what inductor imports warns of itself
importing_inductor = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("name", FAST_SAMPLING)
def test_bfloat16_changes_samples_by_rounding(name: str) -> None:
    model = built(name)
    exact = model.sample(IDS, 5, "samples").astype(int)
    found = FastSampler(model, Speed(bf16=True), BATCH).sample(IDS, 5, "samples")
    assert found.dtype == np.uint8
    assert found.shape == exact.shape
    assert not np.array_equal(found, exact)
    assert np.abs(found - exact).mean() < 1.0
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", FAST_SAMPLING)
def test_the_sampled_network_is_one_graph_for_all_batches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled as it is meant to be but by a backend that only counts; the last batch is smaller."""
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    model = built(name)
    exact = [copy.deepcopy(model).sample(ids, 5, "samples") for ids in (IDS, IDS + BATCH)]
    sampler = FastSampler(model, Speed(compiled=True), BATCH)
    assert np.array_equal(sampler.sample(IDS, 5, "samples"), exact[0])
    for count in (BATCH, 11, 1):
        assert np.array_equal(sampler.sample(IDS[:count] + BATCH, 5, "samples"), exact[1][:count])
    assert counter.frame_count == 1


@importing_inductor
def test_a_compiled_network_gives_the_same_images_up_to_rounding() -> None:
    model = built("vae")
    exact = model.sample(IDS, 5, "samples").astype(int)
    counters = torch._dynamo.utils.counters["stats"]
    counters.clear()
    sampler = FastSampler(model, Speed(compiled=True), BATCH)
    found = sampler.sample(IDS, 5, "samples")
    assert counters["unique_graphs"] == 1
    assert np.abs(found - exact).max() <= 1
    assert (found != exact).mean() < 1e-3
    assert np.array_equal(sampler.sample(IDS[:5], 5, "samples"), found[:5])


@importing_inductor
def test_a_machine_that_cannot_compile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/no/such/compiler",))
    monkeypatch.setattr(torch._inductor.config, "fx_graph_cache", False)
    monkeypatch.setattr(torch._functorch.config, "enable_autograd_cache", False)
    sampler = FastSampler(built("vae"), Speed(compiled=True), BATCH)
    with pytest.raises(
        ConfigError,
        match=r"generate.compile: torch cannot .* CPU \(.*No working C\+\+ compiler found.*\); it needs a C\+\+",
    ):
        sampler.sample(IDS, 5, "samples")


def test_labels_stay() -> None:
    model = built("sngan")
    assert isinstance(model, SNGAN)
    labels = model.sample_labels(IDS, 5, "samples")
    found = FastSampler(model, Speed(bf16=True), BATCH).sample_labels(IDS, 5, "samples")
    assert labels is not None
    assert len(set(labels)) == 2
    assert np.array_equal(found, labels)
    assert not hasattr(FastSampler(built("vae"), Speed(bf16=True), BATCH), "sample_labels")


def test_the_fields_are_refused_where_they_do_not_apply() -> None:
    assert PipelineConfig().generate.bf16 is False
    assert PipelineConfig().generate.compile is False
    for field in ("bf16", "compile"):
        for model in FAST_SAMPLING:
            PipelineConfig.model_validate({"generator": {"model": model}, "generate": {field: True}})
        for model in ("pixelcnn", "flow", "import", "torchscript", "diffusers", "folder"):
            with pytest.raises(
                ValueError, match=f"generate.{field}: it applies to .*, sngan, dagan; {model} is sampled"
            ):
                PipelineConfig.model_validate({"generator": {"model": model}, "generate": {field: True}})


@pytest.mark.gpu
@importing_inductor
@pytest.mark.parametrize("speed", [Speed(bf16=True), Speed(compiled=True), Speed(True, True)])
def test_a_gpu_samples_near_float32(speed: Speed) -> None:
    model = built("sngan", (32, 32, 3)).cuda()
    exact = model.sample(IDS, 5, "samples").astype(int)
    sampler = FastSampler(model, speed, BATCH)
    found = sampler.sample(IDS, 5, "samples")
    assert np.abs(found - exact).mean() < (1.0 if speed.bf16 else 0.01)
    assert np.array_equal(sampler.sample(IDS[:5], 5, "samples"), found[:5])
