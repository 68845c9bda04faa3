"""A folder at any fsspec URL, written so that a reader sees a whole file or none.

Local disks: write beside, fsync, rename, fsync the folder.  Object stores: one PUT, or for a large file a multipart
upload, which becomes visible when it is complete; a request that fails is made again (`patience`).
"""

import glob
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from fsspec.implementations.local import LocalFileSystem

from lfiw_ray.errors import MissingFileError, StoreError
from lfiw_ray.places import below
from lfiw_ray.store.failures import explained, is_missing, kinds
from lfiw_ray.store.location import locate, refuse
from lfiw_ray.store.multipart import put
from lfiw_ray.store.patience import patiently
from lfiw_ray.store.remote_file import RemoteFile

T = TypeVar("T")


class Folder:
    """Files below one URL.  Holds only the URL, so that it travels to workers."""

    def __init__(self, url: str):
        refuse(url)
        self.url = (str(Path(url).expanduser()) if url.startswith("~") else url).rstrip("/") or "/"

    def __repr__(self) -> str:
        return f"Folder({self.url!r})"

    @property
    def _located(self) -> tuple[Any, str]:
        """The file system and the folder's path in it."""
        return locate(self.url)

    @property
    def is_local(self) -> bool:
        """Whether files lie on a disk of this machine (or one it mounts)."""
        return isinstance(self._located[0], LocalFileSystem)

    def child(self, name: str) -> "Folder":
        """The folder `name` below this one; StoreError when the name leads elsewhere."""
        return Folder(f"{self.url}/{below(name)}")

    def path(self, name: str) -> str:
        """Where a file lies, a path on a disk or a URL; StoreError when the name leads elsewhere."""
        return f"{self._located[1] if self.is_local else self.url}/{below(name)}"

    def absolute_url(self) -> str:
        """The URL with a local path made absolute: workers run in folders of their own."""
        return str(Path(self._located[1]).resolve()) if self.is_local else self.url

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file whole or not at all; a file of that name is replaced.

        Raises
        ------
        StoreError
            Naming the file, when it cannot be written (permission, full disk).
        """
        if self.is_local:
            with _named("write", self.path(name)):
                _write_local(Path(self.path(name)), data)
        else:
            self._asked("write", name, lambda fs, path: put(fs, path, bytes(data)))

    def read(self, name: str) -> bytes:
        """Bytes of a file.

        Raises
        ------
        MissingFileError
            When there is none.
        StoreError
            When it cannot be read.
        """
        return self._asked("read", name, lambda fs, path: bytes(fs.cat_file(path)))

    def find(self, name: str) -> bytes | None:
        """Bytes of a file, or None when there is none."""
        try:
            return self.read(name)
        except MissingFileError:
            return None

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file for reading parts of it; errors as of `read`, those of later reads too."""
        if self.is_local:
            with _named("read", self.path(name)):
                file = Path(self.path(name)).open("rb")  # noqa: SIM115
            with file:
                yield file
        else:
            size = self._asked("read", name, lambda fs, path: int(fs.info(path)["size"]))
            yield cast(IO[bytes], RemoteFile(size, lambda start, stop: self._range(name, start, stop)))

    def _range(self, name: str, start: int, stop: int) -> bytes:
        def fetch(fs: Any, path: str) -> bytes:
            data = bytes(fs.cat_file(path, start=start, end=stop))
            if len(data) != stop - start:
                raise ConnectionError(f"{len(data)} bytes came of {stop - start}")
            return data

        return self._asked("read", name, fetch)

    def sizes(self) -> dict[str, int]:
        """Name and size in bytes of each file directly in this folder; empty when there is no folder."""
        named = {e["name"].rsplit("/", 1)[-1]: e["size"] for e in self._entries() if e["type"] == "file"}
        return {name: size for name, size in named.items() if name}  # some stores keep an empty object for a folder

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted; none when there is no folder."""
        return sorted(e["name"].rstrip("/").rsplit("/", 1)[-1] for e in self._entries() if e["type"] == "directory")

    def _entries(self) -> list[dict[str, Any]]:
        try:
            return self._asked("list", "", lambda fs, path: list(fs.ls(path, detail=True)))
        except MissingFileError:
            return []

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        if self.is_local:
            return bool(self._located[0].exists(self.path(name)))
        try:
            return bool(self._asked("look for", name, lambda fs, path: fs.info(path)))
        except MissingFileError:
            return False

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        with suppress(MissingFileError):
            self._asked("remove", name, lambda fs, path: fs.rm_file(path))

    def check_writable(self) -> None:
        """Raise StoreError unless a file can be written here."""
        probe = f".probe-{uuid.uuid4().hex}"
        self.write(probe, b"probe")
        self.remove(probe)

    def _asked(self, verb: str, name: str, request: Callable[[Any, str], T]) -> T:
        """What a request to the file system gives; of an object store, after as many attempts as it takes."""
        fs, root = self._located
        path, told = (f"{root}/{name}", self.path(name)) if name else (root, self.url)
        with _named(verb, told):
            if self.is_local:
                return request(fs, path)
            fs.invalidate_cache()
            return patiently(f"{verb} {told}", lambda: request(fs, path))


@contextmanager
def _named(verb: str, path: str) -> Iterator[None]:
    """Turn a file system's error into one that names the file and says what to do."""
    try:
        yield
    except kinds(ValueError) as err:  # the latter: an endpoint or region that cannot be used
        kind = MissingFileError if is_missing(err) else StoreError
        raise kind(f"cannot {verb} {path}: {explained(err)}") from err


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
