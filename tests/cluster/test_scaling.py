"""A pool on a cluster that has no workers: it asks for them, uses them, and they go when it is done."""

import json
from pathlib import Path
from typing import Any

import pytest
import scaling_driver
from own_head import growing_head

pytestmark = pytest.mark.ray

WORKERS = {"cpu": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2}}


def scaled(folder: Path, min_actors: int, max_actors: int) -> dict[str, Any]:
    """What the driver saw on a cluster of its own."""
    head = growing_head(WORKERS, idle_minutes=0.05)
    try:
        program = scaling_driver.__file__
        done = head.run("python", program, str(folder), str(min_actors), str(max_actors), RAY_ADDRESS=head.address)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    finally:
        head.close()


def check(found: dict[str, Any], folder: Path) -> None:
    """From 0 to 2 workers and back, and every shard once."""
    assert (found["workers_before"], found["cpus_before"], found["room"]) == (0, 0.0, "inf")
    assert found["most"] == 2
    assert found["after"] == 0
    assert found["rows"] == sum(range(scaling_driver.NUM_SHARDS))
    made = {path.name: path.read_text().split() for path in folder.iterdir()}
    assert sorted(made) == [f"{shard:05d}" for shard in range(scaling_driver.NUM_SHARDS)]
    assert all(len(nodes) == 1 for nodes in made.values())
    assert len({nodes[0] for nodes in made.values()}) == 2


@pytest.mark.slow
def test_a_fixed_pool_grows_the_cluster_from_none(tmp_path: Path) -> None:
    """A minute and a half on a busy machine of two cores; `ray up` starts the same autoscaler."""
    check(scaled(tmp_path, 2, 2), tmp_path)
