"""Pools of actors on a local cluster: every shard once, failures as themselves, death survived or named."""

from pathlib import Path

import pytest
from pool_toys import Toy

from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.errors import ConfigError, ShardError, WorkerError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

ONE = PoolConfig(cpus_per_actor=0.5)
SHARDS = [0, 1, 2, 5, 7, 8, 9]


def step(worker: Toy, pool: PoolConfig = ONE) -> Step:
    return Step(worker.name, worker, pool, 0.0)


def files(folder: Path, name: str) -> dict[int, str]:
    return {int(path.name.removeprefix(f"{name}-")): path.read_text() for path in folder.glob(f"{name}-*")}


@pytest.mark.parametrize("pool", [ONE, PoolConfig(min_actors=1, max_actors=2, cpus_per_actor=0.25)])
def test_every_shard_goes_through_all_steps_once(tmp_path: Path, pool: PoolConfig) -> None:
    steps = [step(Toy(tmp_path), pool), step(Toy(tmp_path, "seen", needs="made"), pool)]
    totals = run_shards("toys", SHARDS, steps)
    for name in ("made", "seen"):
        assert files(tmp_path, name) == dict.fromkeys(SHARDS, "done\n")
        assert totals[f"{name}_rows"] == sum(SHARDS) + 10 * len(SHARDS)
        assert totals[f"{name}_s"] >= 0
    assert set(totals) == {"made_rows", "made_s", "seen_rows", "seen_s"}


def test_no_shards_is_no_work(tmp_path: Path) -> None:
    assert run_shards("toys", [], [step(Toy(tmp_path))]) == {}


def test_an_expected_failure_surfaces_as_itself(tmp_path: Path) -> None:
    """From either step or a worker's beginning, with its class and message; a later step leaves the failed shard."""
    later = Toy(tmp_path, "seen")
    with pytest.raises(ShardError, match=r"^shard 5 was altered; run again with --repair$"):
        run_shards("toys", SHARDS, [step(Toy(tmp_path, refuses=5)), step(later)])
    assert 5 not in files(tmp_path, "seen")
    with pytest.raises(ShardError, match=r"^shard 2 was altered"):
        run_shards("toys", SHARDS, [step(Toy(tmp_path, "fresh")), step(later._replace(refuses=2))])
    with pytest.raises(ShardError, match=r"^the weights are not there$"):
        run_shards("toys", SHARDS, [step(Toy(tmp_path, unready=True))])


def test_a_worker_that_dies_once_is_retried(tmp_path: Path) -> None:
    totals = run_shards("toys", SHARDS, [step(Toy(tmp_path, dies=5))])
    assert (tmp_path / "died").exists()
    assert files(tmp_path, "made").keys() == set(SHARDS)
    assert totals["made_rows"] == sum(SHARDS) + 10 * len(SHARDS)


def test_a_poisonous_shard_fails_instead_of_hanging(tmp_path: Path) -> None:
    """It is named among those that are not done, whatever became of the others."""
    with pytest.raises(WorkerError, match=r"toys failed for good: .* shards not done: (\d{5}, )*00004(, \d{5})*$"):
        run_shards("toys", [3, 4, 5], [step(Toy(tmp_path, dies=4, for_ever=True))])


def test_pools_that_take_every_cpu_do_not_starve(tmp_path: Path) -> None:
    full = PoolConfig(cpus_per_actor=1.0)
    run_shards("toys", SHARDS, [step(Toy(tmp_path), full), step(Toy(tmp_path, "seen"), full)])
    assert files(tmp_path, "seen").keys() == set(SHARDS)


def test_pools_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """They would wait for each other: whichever comes first holds what the other needs."""
    large = PoolConfig(cpus_per_actor=1.5)
    with pytest.raises(ConfigError, match=r"made, seen take 3 CPUs, the cluster has 2"):
        run_shards("toys", SHARDS, [step(Toy(tmp_path), large), step(Toy(tmp_path, "seen"), large)])
    on_gpu = step(Toy(tmp_path))._replace(num_gpus=0.5)
    with pytest.raises(ConfigError, match=r"made take 0.5 GPUs, the cluster has 0; .* less num_gpus"):
        run_shards("toys", SHARDS, [on_gpu])
    assert not list(tmp_path.iterdir())
