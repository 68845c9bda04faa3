"""A training step on Ray Train with one worker beside the bare loop: same model, same rows, no Ray.

The bare loop is written out below: rows of a permutation, noise, loss, gradient, clipping, AdamW, averaged weights.
Both are timed by the model itself, from its first loss after a warm-up to its last; so the launch of Ray Train,
checkpoints and the end of the run, which are not steps, have no part in it.
"""

import json
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import ray
import torch
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.core import noise
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.averaging import Average, learning_rate
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.vae import VAE
from lfiw_ray.studies import bench
from lfiw_ray.studies.bench import Row

SHAPE = (28, 28, 1)
GOAL = 0.95
_WARM_UP_STEPS = 50


class ClockedVAE(VAE):
    """Notes when each training loss was asked for, and writes the times to a file at the last one."""

    def __init__(self, config: VAEConfig, path: str, num_steps: int):
        super().__init__(config, SHAPE)
        self._path, self._num_steps, self._asked_s = Path(path), num_steps, list[float]()

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The VAE's."""
        self._asked_s.append(time.perf_counter())
        if len(self._asked_s) == self._num_steps:
            self._path.write_text(json.dumps(self._asked_s))
        return super().loss(batch, noise)


def seconds_a_step(asked_s: list[float]) -> float:
    """Mean time between two losses after the warm-up."""
    kept = asked_s[_WARM_UP_STEPS:]
    if len(kept) < 2:
        raise ValueError(f"{len(asked_s)} steps are too few after a warm-up of {_WARM_UP_STEPS}")
    return (kept[-1] - kept[0]) / (len(kept) - 1)


def rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer steps and repetitions."""
    num_steps, repeats = (300, 2) if quick else (1500, 5)
    kinds = [("default VAE", VAEConfig(), 32, num_steps), ("VAE of width 64", VAEConfig(width=64), 128, num_steps // 5)]
    found = []
    for name, model, batch_size, steps in kinds[: 1 if quick else 2]:
        config = TrainConfig(epochs=1, batch_size=batch_size, lr=2e-3, ema_decay=0.99)
        pairs = [_pair(model, config, steps) for _ in range(repeats)]
        work = f"training step, {name}, 28 x 28, batches of {batch_size}, Ray Train with 1 worker"
        found.append(bench.paired(work, "ms/step", pairs, "bare loop", GOAL))
    return found


def _pair(model: VAEConfig, config: TrainConfig, num_steps: int) -> tuple[float, float]:
    x = noise.generator(0, "bench").integers(0, 256, (num_steps * config.batch_size, *SHAPE), np.uint8)
    with tempfile.TemporaryDirectory(prefix="lfiw-bench-") as here:
        clock = f"{here}/clock.json"
        build = partial(ClockedVAE, model, clock, num_steps)
        job = TrainJob(
            name="bench",
            build=build,
            data=(ray.put(x),),
            held_out=None,
            config=config,
            seed=0,
            plan="bench",
            folder_url=here,
        )
        fit(job, 0.0)
        ours = seconds_a_step(json.loads(Path(clock).read_text()))
        bare_loop(build(), x, config)
        return 1e3 * ours, 1e3 * seconds_a_step(json.loads(Path(clock).read_text()))


def bare_loop(model: nn.Module, x: np.ndarray, config: TrainConfig) -> None:
    """One epoch over the rows, as one writes it without a framework."""
    torch.set_num_threads(config.num_threads)
    average = Average(model, config.ema_decay)
    optimiser = torch.optim.AdamW(model.parameters(), config.lr, (config.beta1, config.beta2), weight_decay=0.0)
    num_steps, order = len(x) // config.batch_size, noise.generator(0, "epoch").permutation(len(x))
    model.train()
    for step, rows_of_step in enumerate(order[: num_steps * config.batch_size].reshape(num_steps, -1)):
        optimiser.param_groups[0]["lr"] = learning_rate(config, step, num_steps)
        optimiser.zero_grad(set_to_none=True)
        batch_noise = BatchNoise(0, step, 0, config.batch_size, config.batch_size)
        loss, _ = model.loss((torch.from_numpy(x[rows_of_step]),), batch_noise)  # type: ignore[operator]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        average.update(model, step)
