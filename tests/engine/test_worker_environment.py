"""What all workers of a job find in their environment."""

import os
import subprocess
import sys

import pytest

from lfiw_ray.engine.cluster import worker_environment

_COUNT_FAULTS = """
import resource, threading

size = 20 << 20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for _ in range(5):
        [b"x" * size for _ in range(4)]
    before = faults()
    for _ in range(20):
        [b"x" * size for _ in range(4)]
    print((faults() - before) // 20)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def _faults_of_four_blocks(extra: dict[str, str]) -> int:
    """Page faults for each four blocks of 20 MiB that a thread makes and drops, once it has warmed up."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", _COUNT_FAULTS], env=plain | extra, check=True, capture_output=True, text=True
    )
    return int(found.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_freed_memory_is_kept():
    assert _faults_of_four_blocks({}) > 1000  # of 20,480 pages; what the environment is there to avoid
    assert _faults_of_four_blocks(worker_environment()["env_vars"]) < 10


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    assert worker_environment()["env_vars"]["MALLOC_ARENA_MAX"] == "7"
