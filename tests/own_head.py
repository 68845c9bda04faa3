"""A Ray head of a test's own, with its own ports and temporary folder, and nothing left of it afterwards.

`ray stop` would end every Ray on the machine; here each process carries a mark in its environment.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import ray

ROOT = Path(__file__).resolve().parents[1]
_MARK = "LFIW_TEST_HEAD"
_BIN = Path(sys.executable).parent
_START_S = 240.0
_COMMAND_S = 900.0


class OwnHead:
    """Started when made; `close` ends it."""

    def __init__(self, num_cpus: int, *flags: str, growing: dict[str, Any] | None = None, **environment: str):
        self._mark = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="lh"))  # short: the paths of sockets must fit 107 bytes
        self.port, self.dashboard_port = free_port(), free_port()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "LFIW_", "PYTEST_"))}
        self.environment = inherited | {
            _MARK: self._mark,
            "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(int(_START_S)),
            **environment,
        }
        self.address = f"{ray.util.get_node_ip_address()}:{self.port}"
        if growing:
            growing["provider"]["gcs_address"] = self.address
            path = self.folder / "autoscaling.json"
            path.write_text(json.dumps(growing))
            flags = (*flags, f"--autoscaling-config={path}")
        try:
            self.run(
                *("ray", "start", "--head", f"--port={self.port}", f"--num-cpus={num_cpus}", "--num-gpus=0"),
                *("--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard_port}"),
                *(f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"),
                *(f"--temp-dir={self.folder}", "--object-store-memory=300000000", *flags),
            )
        except BaseException:
            self.close()
            raise

    def run(self, *command: str, check: bool = True, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Call a program in the head's environment, from the root of the checkout."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def close(self) -> None:
        """End every process of this head, and only those."""
        end = time.monotonic() + 30
        while left := [process for process in psutil.process_iter() if self._is_ours(process)]:
            assert time.monotonic() < end, f"still there: {left}"
            for process in left:
                process.kill()
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False


def free_port() -> int:
    """A port that nobody has, outside the range 10002 to 19999 that Ray gives to its workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if not 10_002 <= port <= 19_999:
            return port


def growing_head(workers: dict[str, Any], idle_minutes: float) -> OwnHead:
    """A head without CPUs whose autoscaler adds processes on this machine for nodes.

    `ray.cluster_utils.AutoscalingCluster` lacks a file in Ray's package, and stops every Ray on the machine.
    """
    kinds = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    lists = [*(f"{kind}_commands" for kind in kinds), "cluster_synced_files", "rsync_exclude", "rsync_filter"]
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "test",
        "max_workers": 8,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",  # the name that this provider knows
        "available_node_types": {"ray.head.default": head, **workers},
        "idle_timeout_minutes": idle_minutes,
        "upscaling_speed": 1.0,
        "file_mounts_sync_continuously": False,
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in lists},
    }
    return OwnHead(
        0,
        "--include-dashboard=false",
        growing=config,
        AUTOSCALER_UPDATE_INTERVAL_S="1",
        RAY_FAKE_CLUSTER="1",
        RAY_AUTH_MODE="disabled",
    )
