"""A folder at any fsspec URL, written so that a reader sees a whole file or none.

Local disks: write beside, fsync, rename, fsync the folder.  Object stores: one PUT, which becomes visible
when it is complete.
"""

import errno
import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lfiw_ray.errors import StoreError

_HELP = {
    errno.ENOSPC: "the disk is full; free some space and run again, finished shards are kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, finished shards are kept",
    errno.EACCES: "no permission; choose another run folder (--run) or change its owner",
    errno.EPERM: "no permission; choose another run folder (--run) or change its owner",
    errno.EROFS: "the file system is read-only; choose another run folder (--run)",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another run folder (--run)",
    errno.EEXIST: "a file stands where a folder is needed; choose another run folder (--run)",
}


class Folder:
    """Files below one URL.  Holds only the URL, so that it travels to workers."""

    def __init__(self, url: str):
        self.url = (str(Path(url).expanduser()) if url.startswith("~") else url).rstrip("/") or "/"

    def __repr__(self) -> str:
        return f"Folder({self.url!r})"

    @property
    def _located(self) -> tuple[Any, str]:
        """The file system (fsspec keeps one instance of it) and the folder's path in it."""
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as err:
            raise StoreError(f"run folder {self.url}: {err}") from err
        return fs, str(root).rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._located[0]

    @property
    def _root(self) -> str:
        return self._located[1]

    @property
    def is_local(self) -> bool:
        """Whether files lie on a disk of this machine (or one it mounts)."""
        return isinstance(self._fs, LocalFileSystem)

    def child(self, name: str) -> "Folder":
        """The folder `name` below this one."""
        return Folder(f"{self.url}/{name}")

    def path(self, name: str) -> str:
        """Path of a file as the file system names it."""
        return f"{self._root}/{name}"

    def absolute_url(self) -> str:
        """The URL with a local path made absolute: workers run in folders of their own."""
        return str(Path(self._root).resolve()) if self.is_local else self.url

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file whole or not at all; a file of that name is replaced.

        Raises
        ------
        StoreError
            Naming the file, when it cannot be written (permission, full disk).
        """
        path = self.path(name)
        with _explained("write", path):
            if self.is_local:
                _write_local(Path(path), data)
            else:
                self._fs.pipe_file(path, bytes(data))

    def read(self, name: str) -> bytes:
        """Bytes of a file; StoreError when it is missing."""
        path = self.path(name)
        with _explained("read", path):
            return bytes(self._fs.cat_file(path))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file for reading parts of it."""
        path = self.path(name)
        with _explained("read", path), self._fs.open(path, "rb") as file:
            yield file

    def sizes(self) -> dict[str, int]:
        """Name and size in bytes of each file directly in this folder; empty when there is no folder."""
        self._fs.invalidate_cache()
        with _explained("list", self._root):
            try:
                entries = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return {}
        return {e["name"].rsplit("/", 1)[-1]: e["size"] for e in entries if e["type"] == "file"}

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted; none when there is no folder."""
        self._fs.invalidate_cache()
        with _explained("list", self._root):
            try:
                entries = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return sorted(e["name"].rstrip("/").rsplit("/", 1)[-1] for e in entries if e["type"] == "directory")

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        self._fs.invalidate_cache()
        with _explained("look for", self.path(name)):
            return bool(self._fs.exists(self.path(name)))

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        path = self.path(name)
        with _explained("remove", path):
            if self._fs.exists(path):
                self._fs.rm_file(path)

    def check_writable(self) -> None:
        """Raise StoreError unless a file can be written here."""
        probe = f".probe-{uuid.uuid4().hex}"
        self.write(probe, b"probe")
        self.remove(probe)


@contextmanager
def _explained(verb: str, path: str) -> Iterator[None]:
    """Turn an operating system's error into one that says what to do."""
    try:
        yield
    except FileNotFoundError as err:
        raise StoreError(f"cannot {verb} {path}: no such file") from err
    except OSError as err:
        advice = _HELP.get(err.errno or 0, "check the storage and run again, finished shards are kept")
        raise StoreError(f"cannot {verb} {path}: {err.strerror or err}; {advice}") from err


def _write_local(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # by writers of this file that were killed
        left.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
