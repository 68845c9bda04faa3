"""Fashion-MNIST, MNIST and CIFAR-10 from their original files, each compared with its published MD5.

The rows are the training files' in their order, then the test files', whose number is kept (`ImageData.num_test`):
by default our own four splits are drawn from all of them by seed (`splits.py`).

With `data.path` the files are looked for in that folder (any fsspec URL), and nowhere else.  Without it they are
looked for in a cache folder, `$LFIW_DATA/<name>` or `~/.cache/lfiw_ray/<name>`, and downloaded when absent.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.data import files
from lfiw_ray.data.cifar import parse_binary, parse_python
from lfiw_ray.data.download import download, md5_of
from lfiw_ray.data.idx import parse_idx
from lfiw_ray.data.image_data import ImageData
from lfiw_ray.data.sources import SETS, Layout, NamedSet, SourceFile
from lfiw_ray.errors import DataError

_Parts = list[tuple[np.ndarray, np.ndarray]]


class _Place(NamedTuple):
    """A folder that may hold a layout, and the files of the layout it lacks."""

    layout: Layout
    folder: str
    missing: tuple[SourceFile, ...]


def load_named(name: str, path: str | None) -> ImageData:
    """A data set by name.

    Parameters
    ----------
    name : key of `sources.SETS`.
    path : folder or URL of its files; None: the cache folder, with a download when files are absent.

    Raises
    ------
    DataError : files that are missing (with their MD5s and where to put them), truncated or altered.
    """
    named = SETS[name]
    root = path if path is not None else str(cache_folder(name))
    fs, folder = files.connect(root)
    place = _best_place(fs, named, folder)
    if place.missing and path is None:
        _download(named, place)
    elif place.missing:
        raise DataError(_missing_text(named, place))
    contents = [(read_checked(fs, f"{place.folder}/{file.name}", file.md5), file.name) for file in place.layout.files]
    parts = _parse_idx_pairs(contents) if name != "cifar10" else _parse_cifar(contents)
    x, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ImageData(x, labels, name, named.class_names, num_test=len(parts[-1][1]))


def cache_folder(name: str) -> Path:
    """`$LFIW_DATA/<name>`, or `~/.cache/lfiw_ray/<name>` where that variable is not set."""
    return Path(os.environ.get("LFIW_DATA") or Path.home() / ".cache" / "lfiw_ray") / name


def read_checked(fs: Any, path: str, md5: str) -> bytes:
    """The file's bytes, which must have the published MD5."""
    data = files.read_bytes(fs, path)
    if (actual := md5_of(data)) != md5:
        raise DataError(
            f"{path}: {len(data)} bytes with MD5 {actual}, expected {md5}; the file is truncated or altered, "
            "replace it with the published one"
        )
    return data


def _best_place(fs: Any, named: NamedSet, folder: str) -> _Place:
    """The layout and folder that lack the fewest files; the first named wins a tie."""
    places = []
    for layout in named.layouts:
        for where in dict.fromkeys([folder.rstrip("/"), f"{folder.rstrip('/')}/{layout.subfolder}".rstrip("/")]):
            with files.reading(where):
                missing = tuple(file for file in layout.files if not fs.exists(f"{where}/{file.name}"))
            places.append(_Place(layout, where, missing))
    return min(places, key=lambda place: len(place.missing))


def _download(named: NamedSet, place: _Place) -> None:
    try:
        download(place.layout, place.missing, Path(place.folder))
    except DataError as err:
        raise DataError(f"{_missing_text(named, place)}\n{err}") from err


def _missing_text(named: NamedSet, place: _Place) -> str:
    lines = "\n".join(f"  {file.name}  MD5 {file.md5}" for file in place.missing)
    return (
        f"{named.title}: {len(place.missing)} of {len(place.layout.files)} files are missing from {place.folder}:\n"
        f"{lines}\nPut them into that folder (they are published at {place.layout.url}), "
        "or set data.path to the folder that holds them."
    )


def _parse_idx_pairs(contents: list[tuple[bytes, str]]) -> _Parts:
    """(images, labels) of the training and of the test files; `contents` alternates the two."""
    arrays = [parse_idx(data, name) for data, name in contents]
    return [(x[..., None], y.astype(np.int64)) for x, y in zip(arrays[::2], arrays[1::2], strict=True)]


def _parse_cifar(contents: list[tuple[bytes, str]]) -> _Parts:
    parse: Callable[[bytes, str], tuple[np.ndarray, np.ndarray]]
    parts = []
    for data, name in contents:
        parse = parse_binary if name.endswith(".bin") else parse_python
        parts.append(parse(data, name))
    return parts
