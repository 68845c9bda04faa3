"""Folders that the store is tested on: a local one, one in memory, and a disk that is nearly full."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from lfiw_ray.store.folder import Folder


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """An empty folder that does not exist yet, on disk and behind a URL."""
    if request.param == "local":
        yield Folder(str(tmp_path / "run" / "samples"))
        return
    root = f"memory://{uuid.uuid4().hex}"
    yield Folder(f"{root}/samples")
    memory = fsspec.filesystem("memory")
    if memory.exists(root):
        memory.rm(root, recursive=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    _mount(["-t", "tmpfs", "-o", "size=256k", "tmpfs"], place)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def read_only_disk(small_disk: Path) -> Path:
    """A file system that refuses every write, of root too."""
    _mount(["-o", "remount,ro"], small_disk)
    return small_disk


def _mount(arguments: list[str], place: Path) -> None:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command to make a small disk with")
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"making a small disk needs the right to mount: {done.stderr.strip()}")
