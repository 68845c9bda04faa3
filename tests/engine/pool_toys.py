"""Workers of pools that do what a test asks for: finish, refuse, or die."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lfiw_ray.core import blocks
from lfiw_ray.engine.pool import Done
from lfiw_ray.errors import ShardError


class Toy(NamedTuple):
    """Leaves a file per shard and step; has ten rows more than the shard's number."""

    folder: Path
    name: str = "made"
    needs: str | None = None  # the step whose file must be there already
    refuses: int | None = None
    dies: int | None = None
    for_ever: bool = False
    unready: bool = False

    def __call__(self) -> "Toy":
        if self.unready:
            raise ShardError("the weights are not there")
        return self

    def run_shard(self, shard: int) -> Done:
        """See the fields."""
        if shard == self.refuses:
            raise ShardError(f"shard {shard} was altered; run again with --repair")
        marker = self.folder / "died"
        if shard == self.dies and (self.for_ever or not marker.exists()):
            marker.touch()
            os._exit(1)
        if self.needs and not (self.folder / f"{self.needs}-{shard}").exists():
            raise ShardError(f"shard {shard} has not gone through {self.needs}")
        with (self.folder / f"{self.name}-{shard}").open("a") as file:
            file.write("done\n")
        return Done(shard + 10)


class WeighingToy(NamedTuple):
    """Weighs a block a shard, in 100 bytes: half of its rows have the weight 1, the others none."""

    def __call__(self) -> "WeighingToy":
        return self

    def run_shard(self, shard: int) -> Done:
        """See the class."""
        log_w = np.zeros(8192, np.float32)
        log_w[4096:] = -np.inf
        sums = blocks.to_json(blocks.block_stats(log_w, 8192 * shard))
        return Done(8192, bytes=100, block_sums=sums)
