"""Bits per pixel value of a generator on real rows."""

import numpy as np
import pytest
import torch
from engine_toys import SHAPE, images

from lfiw_ray.config_generators import FlowConfig, PixelCNNConfig, VAEConfig
from lfiw_ray.engine.code_length import batch_bpd
from lfiw_ray.engine.summary import code_length_line
from lfiw_ray.models.flow import Flow
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.pixelcnn import PixelCNN
from lfiw_ray.models.registry import CODE_LENGTHS
from lfiw_ray.models.vae import VAE


class Ruler(torch.nn.Module):
    """Its code length is the mean of the pixels, or 1000 in training."""

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # noqa: ARG002
        bits = torch.tensor(1000.0) if self.training else batch[0].float().mean()
        return bits, {"bpd": bits}


def test_batches_are_of_one_size_and_what_is_left_is_dropped() -> None:
    x = np.repeat(np.arange(70, dtype=np.uint8), 64).reshape(70, *SHAPE)
    assert batch_bpd(Ruler().eval(), (x,), "bpd", 0).tolist() == [15.5, 47.5]
    assert batch_bpd(Ruler().eval(), (x[:5],), "bpd", 0).tolist() == [2.0]


def test_the_line_says_how_many_bits_of_how_many_rows() -> None:
    found = {"meaning": "exact", "mean_bpd": 2.9251, "se_bpd": 0.0123, "num_rows": 2048}
    assert code_length_line(found) == "generator    2.925 +- 0.012 bits a pixel value on 2,048 test rows: exact"
    assert "+-" not in code_length_line(found | {"se_bpd": None})


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("vae", VAE(VAEConfig(latents=2, width=2), SHAPE)),
        ("flow", Flow(FlowConfig(steps=1, width=4), SHAPE)),
        ("pixelcnn", PixelCNN(PixelCNNConfig(blocks=1, filters=4, mixtures=2), SHAPE)),
    ],
)
def test_every_named_metric_is_one_of_its_model(name: str, model: torch.nn.Module) -> None:
    values = batch_bpd(model.eval(), (images(64),), CODE_LENGTHS[name][0], 3)
    assert values.shape == (2,)
    assert np.isfinite(values).all()
    again = batch_bpd(model.eval(), (images(64),), CODE_LENGTHS[name][0], 3)
    assert values.tolist() == again.tolist()
