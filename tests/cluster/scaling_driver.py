"""A job on a cluster that has no workers yet: runs a pool, and prints how many workers there were and when.

Arguments: folder, actors at the start, actors at most.  The last line is JSON.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import ray

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.cluster import capacity, connected, present
from lfiw_ray.engine.pool import Done, Step, run_shards

NUM_SHARDS = 16
_TIMEOUT_S = 120.0


class SlowToy(NamedTuple):
    """Leaves a file per shard with the node that made it, after half a second."""

    folder: Path

    def __call__(self) -> "SlowToy":
        return self

    def run_shard(self, shard: int) -> Done:
        """See the class."""
        time.sleep(0.5)
        with (self.folder / f"{shard:05d}").open("a") as file:
            file.write(ray.get_runtime_context().get_node_id() + "\n")
        return Done(shard)


def num_workers() -> int:
    """Nodes that are alive, but for the head."""
    return sum(node["Alive"] and "node:__internal_head__" not in node["Resources"] for node in ray.nodes())


def main(folder: Path, min_actors: int, max_actors: int) -> None:
    """See the module."""
    pool = PoolConfig(min_actors=min_actors, max_actors=max_actors, cpus_per_actor=1.0)
    counts, over = [], threading.Event()
    with connected(PipelineConfig()):
        found = {"workers_before": num_workers(), "cpus_before": present("CPU"), "room": str(capacity("CPU"))}

        def watch() -> None:
            while not over.wait(0.2):
                counts.append(num_workers())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            totals = run_shards("toys", range(NUM_SHARDS), [Step("toy", SlowToy(folder), pool, 0.0)])
        finally:
            over.set()
            watcher.join()
        end = time.monotonic() + _TIMEOUT_S
        while num_workers() and time.monotonic() < end:
            time.sleep(0.2)
        print(json.dumps({**found, "most": max(counts), "after": num_workers(), "rows": totals["toy_rows"]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
