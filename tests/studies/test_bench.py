"""The benchmarks: ratios are of pairs, goals are judged, tables are removed, and a missed goal is an exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lfiw_ray.engine.cluster import worker_environment
from lfiw_ray.studies import bench, bench_names, bench_pool

FIELDS = ["work", "unit", "ours_median", "peer", "peer_median", "ratio_median", "ratio_min", "ratio_max"]
JOBS = Path(__file__).parents[2] / "jobs"


class Clock:
    """Time that passes only by work."""

    def __init__(self) -> None:
        self.now = 0.0

    def takes(self, *seconds: float):
        left = list(seconds)

        def work() -> None:
            self.now += left.pop(0)

        return work


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock.now)
    return clock


def test_ratios_are_of_pairs_and_the_first_run_is_not_counted(clock: Clock):
    ours, peer = clock.takes(100, 1, 2, 4), clock.takes(8, 6, 20)
    row = bench.compare("w", ours, "p", peer, 10**9, goal=5.0, repeats=3)
    assert list(row) == [*FIELDS, "goal", "met", "machine"]
    assert (row["ours_median"], row["peer_median"], row["unit"]) == (2, 8, "ns/item")
    assert [row[f"ratio_{name}"] for name in ("median", "min", "max")] == [5, 3, 8]
    assert row["met"]


def test_goals(clock: Clock):
    assert not bench.compare("w", clock.takes(0, 1), "p", clock.takes(4.9), 1, goal=5.0, repeats=1)["met"]
    assert bench.compare("w", clock.takes(0, 1), "p", clock.takes(4.9), 1, goal=None, repeats=1)["met"] is None
    assert bench.measured("w", "s", 60.0, at_most=60.0)["met"]
    assert bench.measured("w", "s", 60.1, at_most=60.0)["met"] is False
    assert bench.measured("w", "s", 60.1)["met"] is None
    assert bench.beside("w", "s", 2.0, "p", 8.0)["ratio_median"] == 4
    assert bench.timed(clock.takes(9, 1, 5, 2), repeats=3) == 2


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_pool_is_selected_from_at_each_size_and_removed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(bench_pool, "ROWS_PER_SHARD", 8192)
    monkeypatch.setattr(bench_pool.bench, "timed", lambda work, repeats: len(work()["gumbel"].sample_ids) / repeats)
    rows = {row["work"]: row for row in bench_pool.in_shards(quick=True, folder_url=str(tmp_path))}
    assert rows["Gumbel-top-k, N = 8,192 in 1 shards"]["ours_median"] == 1000 / 5
    assert rows["Gumbel-top-k, N = 81,920 in 10 shards"]["ours_median"] == 10_000 / 5
    assert 50e6 < rows["peak memory of the largest worker"]["ours_median"] * 1e6 < 2e9
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="one of resample, generate, train, pixelcnn, evaluate, got 'walk'"):
        bench_names.run("walk", True, None)


@pytest.mark.parametrize(("met", "code"), [(True, 0), (False, 1), (None, 0)])
def test_the_job_writes_the_rows_and_says_by_its_exit_code_whether_goals_were_met(tmp_path: Path, met, code: int):
    """The job itself, with a benchmark of one row and no Ray."""
    row = {
        **dict.fromkeys(FIELDS),
        "work": "w",
        "unit": "s",
        "ours_median": 1.0,
        "goal": 2.0,
        "met": met,
        "machine": "m",
    }
    script = f"""
import sys, contextlib
sys.path.insert(0, {str(JOBS)!r})
sys.argv = ["benchmark.py", "resample", "--json", {str(tmp_path / "out.json")!r}]
import benchmark
benchmark.run = lambda name, quick, folder: [{row!r}]
benchmark.connected = lambda config: contextlib.nullcontext()
sys.exit(benchmark.main())
"""
    allocator = worker_environment()["env_vars"]  # or it would start itself over
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | allocator, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == [row]
    assert ("MISSED" in done.stdout) == (not met)


def test_the_job_starts_over_with_the_memory_settings_of_the_workers() -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(JOBS)!r})
sys.argv = ["-c", "import os; print(os.environ['MALLOC_ARENA_MAX'], *__import__('sys').argv[1:])", "kept"]
import benchmark
benchmark._equal_allocators()
print("not started over")
"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", script], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout == "1 kept\n"
