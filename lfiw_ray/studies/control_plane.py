"""The control plane alone: what a shard costs the driver, in time and in memory, when the shard itself is no work.

Two things in a run grow with the number of shards and not with their size: the pool that hands them out
(`engine.pool`), and the reading of a table's done marks when a run is resumed (`store.shards`).  Both are run here at
two sizes or more, so that what a shard costs is the difference between two of them, free of what a start costs.

| field | meaning |
|---|---|
| num_shards | shards handed out, or marks read |
| wall_s | seconds of the driver |
| shards_per_s | num_shards / wall_s |
| peak_bytes | largest resident memory of the driver meanwhile, what it held before included |
| grown_bytes | of this, what was not there before |
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.pool import Done, Step, run_shards
from lfiw_ray.errors import WorkerError
from lfiw_ray.store.seal import sealed
from lfiw_ray.store.shards import Layout, Mark, Table, data_name, mark_name, pending

Sized = dict[str, float]
_POOL = PoolConfig(cpus_per_actor=0.5)
_PLAN = "nothing"
_ROWS = 16_384
_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"  # what /proc/self/clear_refs takes to let the peak be the present size


class Nothing:
    """A worker without work."""

    def run_shard(self, shard: int) -> Done:  # noqa: ARG002
        """One row, of nothing."""
        return Done(1)


def schedule(num_shards: int) -> Sized:
    """Hand out shards of no work to one actor, on the connected cluster."""
    found, done = _measured(
        num_shards, lambda: run_shards("no work", range(num_shards), [Step("nothing", Nothing, _POOL, 0.0)])
    )
    if done["nothing_rows"] != num_shards:
        raise WorkerError(f"{num_shards} shards were handed out, {done['nothing_rows']:g} came back")
    return found


def read_marks(num_shards: int, folder: Path | None = None) -> Sized:
    """List and read a finished table's marks, as a resume does.

    Parameters
    ----------
    folder : where the table is made, and removed again; None: a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="lfiw-marks-", dir=folder) as here:
        table = Table(here, _PLAN, Layout(num_shards * _ROWS, _ROWS))
        _write_marks(Path(here), num_shards)
        found, left = _measured(num_shards, lambda: pending(table))
    if left:
        raise WorkerError(f"{len(left)} of {num_shards} marks were not found")
    return found


def bytes_a_shard(found: Sequence[Sized]) -> float:
    """Driver memory that one more shard takes: between the smallest and the largest size."""
    return _slope(found, "grown_bytes")


def seconds_a_shard(found: Sequence[Sized]) -> float:
    """Driver seconds that one more shard takes: between the smallest and the largest size."""
    return _slope(found, "wall_s")


def _slope(found: Sequence[Sized], name: str) -> float:
    first, last = (pick(found, key=lambda one: one["num_shards"]) for pick in (min, max))
    if first["num_shards"] == last["num_shards"]:
        raise ValueError(f"two sizes are needed, got {len(found)} of {first['num_shards']:g} shards")
    return (last[name] - first[name]) / (last["num_shards"] - first["num_shards"])


def _write_marks(folder: Path, num_shards: int) -> None:
    """Marks with empty files of rows, written without waiting for the disk: only reading them is measured."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for shard in range(num_shards):
        body = Mark(shard, _PLAN, _ROWS, 0, empty, empty, {})._asdict()
        (folder / data_name(shard)).touch()
        (folder / mark_name(shard)).write_bytes(sealed(body))


def _measured(num_shards: int, work: Callable[[], Any]) -> tuple[Sized, Any]:
    Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)
    before, began = _status_bytes("VmRSS"), time.monotonic()
    result = work()
    wall_s, peak = time.monotonic() - began, _status_bytes("VmHWM")
    found = {"num_shards": num_shards, "wall_s": wall_s, "shards_per_s": num_shards / wall_s}
    return {**found, "peak_bytes": peak, "grown_bytes": peak - before}, result


def _status_bytes(name: str) -> int:
    """A size in this process's status, which Linux gives in KiB."""
    lines = _STATUS.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
