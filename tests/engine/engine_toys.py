"""Small things that the engine's tests share: images, models that train in a second, jobs, tables on disk."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.core import blocks
from lfiw_ray.engine.models import WEIGHTS, finish_model
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.engine.train_watch import Rank
from lfiw_ray.models.checkpoint import Description, tensors_to_bytes
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.vae import VAE
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import samples_table, to_parquet, weights_parquet

ALONE = Rank(0, 1, torch.device("cpu"))
SHAPE = (8, 8, 1)


def images(count: int, seed: int = 0) -> np.ndarray:
    """(count, 8, 8, 1) uint8 with one bright column each, under noise."""
    x = np.random.default_rng(seed).integers(0, 100, (count, *SHAPE))
    x[np.arange(count), :, 2 * (np.arange(count) % 4)] += 120
    return x.astype(np.uint8)


def tiny_vae() -> nn.Module:
    """A VAE of a few hundred parameters."""
    return VAE(VAEConfig(latents=2, width=2), SHAPE)


def finished_generator(folder: Path) -> str:
    """The URL of a tiny VAE with random weights, as training leaves it."""
    torch.manual_seed(1)
    description = Description("vae", VAEConfig(latents=2, width=2).model_dump(), SHAPE, {})
    finish_model(Folder(str(folder)), "aaaa", description, {WEIGHTS: tensors_to_bytes(tiny_vae().state_dict())}, {})
    return str(folder)


class MortalVAE(VAE):
    """Ends its process at one of its training losses, once: the marker says that it has happened."""

    def __init__(self, marker: Path, at_call: int):
        super().__init__(VAEConfig(latents=2, width=2), SHAPE)
        self._marker, self._calls_left = marker, at_call

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self._calls_left -= 1
        if self._calls_left == 0 and not self._marker.exists():
            self._marker.touch()
            os._exit(1)
        return super().loss(batch, noise)


def mortal_vae(marker: Path, at_call: int) -> nn.Module:
    """For `functools.partial`: a builder that travels to workers."""
    return MortalVAE(marker, at_call)


class Point(nn.Module):
    """One parameter, pulled to the rows: loss (point - x)^2 / 2, not a number once the point passes `wall`."""

    def __init__(self, wall: float = float("inf")):
        super().__init__()
        self.at = nn.Parameter(torch.zeros(()))
        self.wall = wall

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # noqa: ARG002
        loss = ((self.at - batch[0].float()) ** 2).mean() / 2
        if float(self.at.detach()) > self.wall:
            loss = loss * float("nan")
        return loss, {}


def job(folder: Path, build: Any = tiny_vae, rows: Any = None, held_out: Any = None, **config: Any) -> TrainJob:
    """A training job on 60 images (or the rows given), batches of 12, in this process."""
    usual = {"epochs": 4, "batch_size": 12, "num_workers": 0, "warmup_steps": 3, "checkpoint_every_epochs": 1}
    return TrainJob(
        name="toy",
        build=build,
        data=(images(60) if rows is None else rows,),
        held_out=None if held_out is None else (held_out,),
        config=TrainConfig(**(usual | config)),
        seed=7,
        plan="aaaa",
        folder_url=str(folder),
    )


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors agree to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def write_table(folder: Path, name: str, num_rows: int, rows_per_shard: int) -> Table:
    """A table without any shard yet."""
    return Table(str(folder / name), "aaaa", Layout(num_rows, rows_per_shard))


def write_weights(folder: Path, log_w: np.ndarray, rows_per_shard: int) -> Table:
    """A committed weights table; the logits are not used."""
    table = write_table(folder, f"weights-{rows_per_shard}", len(log_w), rows_per_shard)
    for shard in range(table.layout.num_shards):
        start, stop = table.layout.bounds(shard)
        data = weights_parquet(np.arange(start, stop), log_w[start:stop], log_w[start:stop])
        good = np.where(np.isfinite(log_w[start:stop]), log_w[start:stop], -np.inf)
        sums = {"blocks": blocks.to_json(blocks.block_stats(good, start))}
        shards.commit(Folder(table.url), shard, table.plan, stop - start, data, sums)
    return table


def write_samples(folder: Path, x: np.ndarray, rows_per_shard: int) -> Table:
    """A committed samples table."""
    table = write_table(folder, f"samples-{rows_per_shard}", len(x), rows_per_shard)
    for shard in range(table.layout.num_shards):
        start, stop = table.layout.bounds(shard)
        data = to_parquet(samples_table(np.arange(start, stop), x[start:stop]))
        shards.commit(Folder(table.url), shard, table.plan, stop - start, data)
    return table


def write_labelled_samples(folder: Path, labels: np.ndarray, rows_per_shard: int) -> Table:
    """A committed samples table of 1 x 1 images with a column of labels."""
    table = write_table(folder, f"labelled-{rows_per_shard}", len(labels), rows_per_shard)
    for shard in range(table.layout.num_shards):
        ids = np.arange(*table.layout.bounds(shard))
        rows = samples_table(ids, np.zeros((len(ids), 1, 1, 1), np.uint8))
        data = to_parquet(rows.append_column("label", pa.array(labels[ids])))
        shards.commit(Folder(table.url), shard, table.plan, len(ids), data)
    return table


def flip_bit(path: Path, position: int) -> None:
    """Alter one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
