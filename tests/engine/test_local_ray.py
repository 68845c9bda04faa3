"""A local Ray ends with its job, whatever hangs."""

import subprocess
import sys

import psutil
import pytest

_HANGING_WORKER = """
import atexit, os, threading
import ray
from lfiw_ray.engine import local_ray

local_ray.GRACE_S = 1.0

class Worker:
    def __init__(self):
        atexit.register(threading.Event().wait)  # never set: it hangs once Ray believes that it is gone

    def pid(self):
        return os.getpid()

with local_ray.local_ray(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False):
    worker = ray.remote(Worker).remote()
    print(ray.get(worker.pid.remote()))
    ray.wait([worker.__ray_terminate__.remote()])
"""


@pytest.mark.ray
def test_a_worker_that_hangs_does_not_outlive_the_job() -> None:
    done = subprocess.run([sys.executable, "-c", _HANGING_WORKER], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not _runs(int(done.stdout)), done.stderr
    assert "behind; it is killed" in done.stderr


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # dead, and not yet noticed by its new parent
    except psutil.NoSuchProcess:
        return False
