"""Training on Ray Train: the same result as in this process, also when a worker dies on the way."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from engine_toys import Point, equal, images, job, mortal_vae

from lfiw_ray.config_generators import SNGANConfig
from lfiw_ray.engine.train import Trained, fit
from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models.checkpoint import tensors_from_bytes
from lfiw_ray.models.sngan import SNGAN

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Train's controller looks at its workers every 2 s, and a report waits for that."""
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")


def weights(trained: Trained) -> dict[str, Any]:
    return tensors_from_bytes(trained.files["model.safetensors"], "toy")


def test_two_workers_train_what_one_does_up_to_rounding(tmp_path: Path) -> None:
    """Batches of 13 rows do not halve, nor do the 3 held-out batches; the data come from the object store."""
    options: dict[str, Any] = {"batch_size": 13, "epochs": 2, "held_out": images(31, 1)}
    alone = fit(job(tmp_path / "one", **options), 0)
    work = job(tmp_path / "two", **options, num_workers=2, cpus_per_worker=0.5)
    together = fit(work._replace(data=(ray.put(work.data[0]),)), 0)
    one, two = weights(alone), weights(together)
    assert one.keys() == two.keys()
    worst = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert worst < 2e-6  # float32: weights of size 1 after 8 steps of 1e-3
    assert together.last["held_out_loss"] == pytest.approx(alone.last["held_out_loss"], rel=1e-6)


def test_a_killed_worker_resumes_to_the_same_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It dies in the third of four epochs of 5 steps."""
    undisturbed = fit(job(tmp_path / "whole"), 0)
    marker = tmp_path / "died"
    with caplog.at_level(logging.INFO, "lfiw_ray"):
        killed = fit(job(tmp_path / "cut", partial(mortal_vae, marker, 13), num_workers=1), 0)
    assert marker.exists()
    assert "resumed at step 10" in caplog.text
    assert killed == undisturbed
    assert equal(weights(killed), weights(undisturbed))


def test_a_loss_that_is_not_finite_comes_back_as_itself(tmp_path: Path) -> None:
    rows = np.full((12, 1), 5, np.uint8)
    with pytest.raises(NonFiniteError, match=r"toy: .* at step \d+; lower"):
        fit(job(tmp_path, partial(Point, 0.5), rows, lr=0.5, epochs=9, num_workers=1, warmup_steps=0), 0)


def tiny_gan() -> SNGAN:
    config = SNGANConfig(latents=3, width=4, critic_width=4, critic_steps=2, conditional=True)
    return SNGAN(config, (8, 8, 1), (30, 30))


def test_two_workers_train_an_adversarial_pair_as_one_does_up_to_rounding(tmp_path: Path) -> None:
    """Batches of 9 rows do not halve: batch norm and gradients are of 4 and 5 rows.  3 epochs of 2 steps of 3 updates.

    The whole checkpoint is compared: weights, averages, running statistics, singular vectors, moments of Adam.
    """
    options: dict[str, Any] = {"batch_size": 9, "epochs": 3, "ema_decay": 0.9, "beta1": 0.0, "lr": 1e-4}
    data = images(60), np.arange(60) % 2
    alone = fit(job(tmp_path / "one", tiny_gan, **options)._replace(data=data), 0)
    together = fit(
        job(tmp_path / "two", tiny_gan, **options, num_workers=2, cpus_per_worker=0.5)._replace(data=data), 0
    )
    one, two = newest_checkpoint(tmp_path / "one"), newest_checkpoint(tmp_path / "two")
    assert one.keys() == two.keys()
    off = {name: float((one[name] - two[name]).abs().max() / (one[name].abs().max() + 1e-3)) for name in one}
    assert {name: worst for name, worst in off.items() if worst > 1e-4} == {}
    assert together.last["generator_gradient_norm"] == pytest.approx(alone.last["generator_gradient_norm"], rel=1e-4)


def newest_checkpoint(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "checkpoints").glob("*.safetensors")
    return tensors_from_bytes(file.read_bytes(), "toy")
