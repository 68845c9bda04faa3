"""What small adversarial models have learnt after a few hundred steps, by statistics of their samples."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_toys import ALONE, SHAPE, job
from torch import nn

from lfiw_ray.config_generators import DAGANConfig, SNGANConfig
from lfiw_ray.engine.train_loop import train
from lfiw_ray.models.dagan import DAGAN
from lfiw_ray.models.sngan import SNGAN


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 8, 8, 1) uint8 whose left half is bright (class 0) or whose right one is (class 1), under noise."""
    x, labels = np.random.default_rng(0).integers(0, 150, (count, *SHAPE)), np.arange(count) % 2
    x[labels == 0, :, :4] += 80
    x[labels == 1, :, 4:] += 80
    return x.astype(np.uint8), labels


def trained(folder: Path, build: Any, data: tuple[np.ndarray, ...], **options: Any) -> nn.Module:
    usual = {"warmup_steps": 0, "schedule": "linear", "beta1": 0.0, "beta2": 0.9, "clip_norm": 0.0}
    work = job(folder, build, checkpoint_every_epochs=1000, **(usual | options))._replace(data=data)
    state = train(work, work.data, None, ALONE, lambda _: None)
    state.model.load_state_dict(state.averaged())
    return state.model.eval()


def right_less_left(x: np.ndarray) -> np.ndarray:
    """How much brighter each image's right half is."""
    means = x.astype(float).mean((1, 3))
    difference: np.ndarray = means[:, 4:].mean(1) - means[:, :4].mean(1)
    return difference


@pytest.mark.parametrize("conditional", [False, True])
def test_an_sngan_learns_both_of_two_modes(tmp_path: Path, conditional: bool) -> None:
    """In the data the halves differ by about 80, half of the rows each way, and the mean image is about 115 everywhere.

    Samples of a single mode would have a mean image that is off by 40.
    """
    config = SNGANConfig(latents=4, width=8, critic_width=8, conditional=conditional)
    x, labels = halves(768)
    counts = (384, 384) if conditional else None
    build = partial(SNGAN, config, SHAPE, counts)
    ids = np.arange(512)
    model = trained(tmp_path, build, (x, labels), epochs=18, batch_size=16, lr=2e-3, ema_decay=0.95)
    samples = model.sample(ids, 0, "s")  # type: ignore[operator]
    sides = right_less_left(samples)
    assert np.mean(sides > 40) > 0.2
    assert np.mean(sides < -40) > 0.2
    assert np.abs(samples.mean(0) - x.mean(0)).mean() < 25
    if conditional:
        of_class = model.sample_labels(ids, 0, "s")  # type: ignore[operator]
        assert np.mean((sides > 0) == (of_class == 1)) > 0.65  # by chance 0.50 +- 0.02


def test_a_dagan_makes_images_of_its_examples_class(tmp_path: Path) -> None:
    """For each sample the brighter half is that of its example's class; by chance half of them would agree."""
    x, labels = halves(256)
    config = DAGANConfig(latents=4, width=8, examples=64)
    model = trained(
        tmp_path, partial(DAGAN, config, SHAPE), (x, labels), epochs=30, batch_size=16, lr=2e-3, ema_decay=0.9
    )
    ids = np.arange(256)
    samples = model.sample(ids, 0, "s")  # type: ignore[operator]
    agree = (right_less_left(samples) > 0) == (model.sample_labels(ids, 0, "s") == 1)  # type: ignore[operator]
    assert agree.mean() > 0.9
    assert np.abs(samples.mean(0) - x.mean(0)).mean() < 25
    assert not (samples[:64] == model.examples.numpy()).all((1, 2, 3)).any()
    assert (samples[:64] != samples[64:128]).any((1, 2, 3)).all()  # one example, other noise
