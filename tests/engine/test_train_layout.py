"""Training with channels last, as on a GPU: the same weights up to rounding, kept and resumed like any others."""

from pathlib import Path

import pytest
import torch
from engine_toys import ALONE, SHAPE, equal, images, job
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.engine import train_loop
from lfiw_ray.engine.train_loop import train
from lfiw_ray.engine.train_state import TrainState
from lfiw_ray.engine.train_step import precision, uses_tensor_cores
from lfiw_ray.models.checkpoint import tensors_to_bytes
from lfiw_ray.models.vae import VAE

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def wide_vae() -> nn.Module:
    return VAE(VAEConfig(latents=2, width=4), SHAPE)


def trained(folder: Path, epochs: int) -> TrainState:
    # a step of Adam is the sign of a gradient at first, so rates are small and epsilon's part is not seen
    work = job(folder, wide_vae, epochs=epochs, schedule="constant", lr=1e-4, held_out=images(20, 1))
    return train(work, work.data, work.held_out, ALONE, lambda _: None)


def test_bfloat16_and_channels_last_are_for_gpus_that_are_asked_for_them() -> None:
    asked = TrainConfig()
    assert uses_tensor_cores(asked, GPU)
    assert not uses_tensor_cores(asked, CPU)
    assert not uses_tensor_cores(TrainConfig(bf16=False), GPU)
    a = torch.eye(2)
    with precision(asked, CPU):
        assert (a @ a).dtype == torch.float32


def test_training_with_channels_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = trained(tmp_path / "usual", 4)
    monkeypatch.setattr(train_loop, "uses_tensor_cores", lambda *_: True)
    turned = trained(tmp_path / "turned", 4)
    kernels = [t for t in turned.model.parameters() if t.ndim == 4]
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in kernels)
    assert not all(t.is_contiguous() for t in kernels)
    weights, kept = turned.averaged(), usual.averaged()
    for name, tensor in kept.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=2e-4)
    assert turned.progress.history[-1]["held_out_loss"] == pytest.approx(
        usual.progress.history[-1]["held_out_loss"], 1e-4
    )
    assert len(tensors_to_bytes(weights)) == len(tensors_to_bytes(kept))
    trained(tmp_path / "cut", 2)
    assert equal(trained(tmp_path / "cut", 4).averaged(), weights)
