"""A run of the whole job in half a minute, started as a user starts it, that a test can watch and kill."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
POOL = ("samples", "weights", "naive_weights")
TABLES = (*POOL, "selection")  # what must be the same, file by file, after any accident
CLOCKS = ("index.html", "timings.json", "node_seconds.json")  # what every call writes again
SECRETS = {  # which no file of a run and no line of its output may hold
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDKEYID0000",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+access/key",
    "AWS_SESSION_TOKEN": "planted-session-token",
    "RAY_AUTH_TOKEN": "planted0ray0auth0token0of0enough0length0",
    "HF_TOKEN": "hf_plantedtoken",
    "MY_PASSWORD": "planted-password-of-somebody",
}
_MARKER = "LFIW_TEST_DRIVER"
_TIMEOUT_S = 300.0

CONFIG: dict[str, Any] = {
    "dashboard": False,
    "data": {"name": "parquet", "label_column": "label"},
    "generator": {
        "vae": {"latents": 2, "width": 4},
        "train": {"epochs": 6, "batch_size": 60, "num_workers": 0, "checkpoint_every_epochs": 1},
    },
    "generate": {"num_samples": 49_152, "rows_per_shard": 8192, "batch_size": 128},
    "classifier": {
        "width": 4,
        "train": {"epochs": 8, "batch_size": 60, "num_workers": 0, "checkpoint_every_epochs": 1},
    },
    "score": {"batch_size": 128},
    "weights": {"num_tuning_rows": 512},
    "resample": {"k": 500},
    "evaluate": {"num_repeats": 2, "num_rows": 200, "extractor_epochs": 1},
    "studies": {"names": ["toy"]},
    "cost": {"cpu_node_per_hour": 3600.0},
    "downstream": {"num_labels": 10, "num_unlabelled": 40, "num_updates": 3, "batch_size": 8, "num_seeds": 2},
}


def write_config(folder: Path) -> Path:
    """Write 1,200 images of 8 x 8 with four classes, and the configuration that uses them."""
    rng, label = np.random.default_rng(0), np.arange(1200) % 4
    x = rng.integers(0, 100, (1200, 8, 8)).astype(np.uint8)
    x[np.arange(1200), :, 2 * label] += 120
    rows = pa.FixedSizeBinaryArray.from_buffers(pa.binary(64), 1200, [None, pa.py_buffer(x)])
    schema = pa.schema([("image", rows.type), ("label", pa.int64())], metadata={"shape": json.dumps([8, 8, 1])})
    pq.write_table(pa.Table.from_arrays([rows, pa.array(label)], schema=schema), folder / "data.parquet")
    config = {**CONFIG, "data": {**CONFIG["data"], "path": str(folder / "data.parquet")}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


class Undisturbed(NamedTuple):
    """A finished run that no test may alter."""

    config: Path
    run: Path
    out: str
    err: str


class Driver:
    """One call of a job in a process of its own, with a local Ray of its own, or the cluster at `address`."""

    def __init__(self, config: Path, run: Path | str, *flags: str, job: str = "full_pipeline.py", address: str = ""):
        self._token = uuid.uuid4().hex
        self._ray = tempfile.mkdtemp(prefix="lr")  # short: the paths of sockets must fit 107 bytes
        self._log, self._errors = (Path(self._ray) / name for name in ("out", "err"))
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        environment |= {_MARKER: self._token, "RAY_TMPDIR": self._ray, "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
        environment |= {"RAY_ADDRESS": address} if address else {}
        command = [sys.executable, f"jobs/{job}", f"--config={config}", f"--run={run}", *flags]
        with self._log.open("w") as out, self._errors.open("w") as err:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=out, stderr=err, start_new_session=True
            )

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Of the driver's process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def err(self) -> str:
        """Its error output so far."""
        return self._errors.read_text()

    def wait_until(self, what: Callable[[], Any]) -> Any:
        """Wait for something to become true while the driver runs; returns it."""
        end = time.monotonic() + _TIMEOUT_S
        while not (found := what()):
            assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.out}\n{self.err}"
            assert time.monotonic() < end, f"waited too long:\n{self.out}\n{self.err}"
            time.sleep(0.02)
        return found

    def wait_for_stage(self, stage: str) -> None:
        """Wait until a stage begins."""
        self.wait_until(lambda: f"== {stage}\n" in self.out)

    def workers(self, title: str) -> list[psutil.Process]:
        """Processes of its Ray whose title contains a text."""
        return [process for process in self._family() if title in " ".join(_cmdline(process))]

    def kill(self) -> None:
        """End the driver alone, without a chance to tidy up, and wait until its Ray has noticed."""
        self._process.kill()
        self._process.wait()
        self._wait_for_family()

    def finish(self) -> int:
        """Wait for the end; returns the exit code."""
        code = self._process.wait(_TIMEOUT_S)
        self._wait_for_family()
        return code

    def _family(self) -> list[psutil.Process]:
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARKER) == self._token and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False

    def _wait_for_family(self) -> None:
        end = time.monotonic() + 60
        while left := self._family():
            assert time.monotonic() < end, f"its Ray is still there: {[_shown(p) for p in left]}\n{self.err[-2000:]}"
            time.sleep(0.1)

    def close(self) -> None:
        """Leave nothing behind, whatever a test did."""
        for process in self._family():
            process.kill()
        shutil.rmtree(self._ray, ignore_errors=True)


def _shown(process: psutil.Process) -> str:
    """What is left and what it waits for, for who reads the failure elsewhere."""
    try:
        return (
            f"{' '.join(_cmdline(process)).strip()} {process.status()} {Path(f'/proc/{process.pid}/wchan').read_text()}"
        )
    except (psutil.Error, OSError) as err:
        return str(err)


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def digests(run: Path, tables: tuple[str, ...] = TABLES) -> dict[str, str]:
    """SHA-256 of every file of the tables that must not depend on accidents."""
    files = [path for table in tables for path in sorted((run / table).iterdir())]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mtimes(run: Path) -> dict[str, int]:
    """When each file of the run was last written, but for the page and the clocks."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in CLOCKS]
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in files}
