"""Bytes from any fsspec URL, with failures turned into messages that name the file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import fsspec

from lfiw_ray.errors import ConfigError, DataError
from lfiw_ray.store.failures import explained, kinds, reason

_MAGIC = "*?["


def connect(url: str, field: str = "data.path") -> tuple[Any, str]:
    """File system (fsspec) and path of a URL; a plain path is a local file.  `field` is where the URL is configured.

    Raises
    ------
    ConfigError : a protocol that is unknown or whose package is not installed.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as err:
        raise ConfigError(f"{field} {url!r} cannot be used: {err}") from err
    return fs, str(path)


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn a file system's errors while `path` is read into a DataError that names it."""
    try:
        yield
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file or folder; check the path") from err
    except PermissionError as err:
        raise DataError(f"{path}: no permission to read it: {reason(err)}") from err
    except kinds() as err:
        raise DataError(f"{path}: cannot be read: {explained(err)}") from err


def read_bytes(fs: Any, path: str) -> bytes:
    """The whole file."""
    with reading(path):
        data: bytes = fs.cat_file(path)
    return data


def find(fs: Any, path: str, suffixes: Sequence[str]) -> list[str]:
    """Files under a folder, at any depth, whose name ends in one of the suffixes (in any case), sorted."""
    with reading(path):
        found: list[str] = fs.find(path)
    return sorted(file for file in found if file.lower().endswith(tuple(suffixes)))


def expand(fs: Any, path: str, suffixes: Sequence[str]) -> list[str]:
    """What a path stands for: the file itself, a folder's files (see `find`), or the files of a pattern, sorted."""
    with reading(path):
        if fs.isfile(path):
            return [path]
        if fs.isdir(path):
            return find(fs, path, suffixes)
        matches: list[str] = fs.glob(path) if any(sign in path for sign in _MAGIC) else []
    return sorted(matches)
