"""Rows of a folder of images at any fsspec URL, read a few at a time: row i of the files in the order of their paths.

A folder with `*.parquet` files, at any depth, is those (any column of images that `columns` reads, this project's own
`samples/` folders among them); else it is its PNG and JPEG files, an image a row.

The fingerprint is over every file's name, size and last 64 KiB, which in Parquet hold the footer, and most small
images whole: enough to notice that a folder is another one, without reading it.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lfiw_ray.core.digest import digest
from lfiw_ray.data import files
from lfiw_ray.data.decode import decode
from lfiw_ray.data.folder import SUFFIXES
from lfiw_ray.data.image_data import shape_text, stack
from lfiw_ray.data.tables import image_values, label_values
from lfiw_ray.errors import ConfigError, DataError

LABEL = "label"
_IMAGE_COLUMNS = ("x", "image")
_FIELD = "generator.external.path"
_IMAGES_A_PART = 256
_TAIL_BYTES = 65_536
_NUM_READERS = 16  # object stores answer many requests at once


class _Part(NamedTuple):
    """What is read at once: a row group of a Parquet file, or some image files."""

    paths: tuple[str, ...]
    group: int | None
    num_rows: int


class Rows(NamedTuple):
    """Images (n, H, W, C) uint8, labels (n,) int64 or None."""

    x: np.ndarray
    labels: np.ndarray | None


class ImageRows:
    """A folder's rows; the part that was read last is kept in memory.

    Parameters
    ----------
    image_column : of Parquet files; None: `x`, else `image`.
    labelled : whether the column `label` is read too.

    Raises
    ------
    ConfigError
        A column that a file has not; labels of a folder of image files.
    DataError
        No such folder, no image in it, a file that is not Parquet.
    """

    def __init__(self, url: str, image_column: str | None = None, labelled: bool = False):
        self._fs, self._root = files.connect(url, _FIELD)
        self._column, self._labelled = image_column, labelled
        tables = files.find(self._fs, self._root, (".parquet",))
        paths = tables or files.find(self._fs, self._root, SUFFIXES)
        if not paths:
            raise DataError(f"{self._root}: no *.parquet, {', '.join(SUFFIXES)} file in this folder; check {_FIELD}")
        if labelled and not tables:
            raise ConfigError(f"generator.external.labels: {self._root} holds image files, which have no column")
        self._paths, self._parts = paths, self._of_tables(paths) if tables else _of_images(paths)
        self._starts = np.cumsum([0, *(part.num_rows for part in self._parts)])
        self._last: tuple[int, Rows] | None = None

    @property
    def num_rows(self) -> int:
        """Rows of all files."""
        return int(self._starts[-1])

    def fingerprint(self) -> str:
        """16 hex digits that change when a file is added, removed, renamed or altered at its end."""
        with ThreadPoolExecutor(_NUM_READERS) as readers:
            return digest(list(readers.map(self._noted, self._paths)))

    def _noted(self, path: str) -> list[Any]:
        with files.reading(path):
            size = self._fs.size(path)
            tail = self._fs.cat_file(path, start=max(size - _TAIL_BYTES, 0))
        return [path.removeprefix(self._root).lstrip("/"), size, hashlib.sha256(tail).hexdigest()]

    def read(self, rows: np.ndarray) -> Rows:
        """The given rows, (n,) int64 in any order and at least one; DataError names a file that cannot be read."""
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        pieces, order = [], []
        for owner in np.unique(owners):
            where = np.flatnonzero(owners == owner)
            part, inside = self._part(int(owner)), rows[where] - self._starts[owner]
            pieces.append(Rows(part.x[inside], None if part.labels is None else part.labels[inside]))
            order.append(where)
        back = np.argsort(np.concatenate(order))
        shapes = sorted({piece.x.shape[1:] for piece in pieces})
        if len(shapes) > 1:
            found = " and ".join(shape_text(shape) for shape in shapes)
            raise DataError(f"{self._root}, rows {rows.min()}..{rows.max()}: images of {found}; one shape is needed")
        x = np.concatenate([piece.x for piece in pieces])
        labels = [piece.labels for piece in pieces if piece.labels is not None]
        return Rows(x[back], np.concatenate(labels)[back] if labels else None)

    def _part(self, number: int) -> Rows:
        if self._last is None or self._last[0] != number:
            part = self._parts[number]
            self._last = number, self._images(part) if part.group is None else self._group(part)
        return self._last[1]

    def _images(self, part: _Part) -> Rows:
        with ThreadPoolExecutor(_NUM_READERS) as readers:
            decoded = readers.map(lambda path: decode(files.read_bytes(self._fs, path), path), part.paths)
            return Rows(stack(zip(part.paths, decoded, strict=True), self._root), None)

    def _group(self, part: _Part) -> Rows:
        (path,) = part.paths
        with files.reading(path), self._fs.open(path, "rb") as stream:
            try:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                column = self._image_column(file.schema_arrow.names, path)
                table = file.read_row_group(part.group, [column, *([LABEL] if self._labelled else [])])
            except pa.ArrowException as err:
                raise DataError(f"{path}: not a whole Parquet file, it is truncated or altered: {err}") from err
        where = f"{path}, row group {part.group}"
        x = stack(image_values(table, column, where), where)
        return Rows(x, label_values(table.column(LABEL), where) if self._labelled else None)

    def _of_tables(self, paths: list[str]) -> list[_Part]:
        with ThreadPoolExecutor(_NUM_READERS) as readers:
            sizes = readers.map(self._group_sizes, paths)
            return [
                _Part((p,), g, n) for p, groups in zip(paths, sizes, strict=True) for g, n in enumerate(groups) if n
            ]

    def _group_sizes(self, path: str) -> list[int]:
        with files.reading(path), self._fs.open(path, "rb") as stream:
            try:
                file = pq.ParquetFile(stream)
            except pa.ArrowException as err:
                raise DataError(f"{path}: not a whole Parquet file, it is truncated or altered: {err}") from err
            names = file.schema_arrow.names
            self._image_column(names, path)
            if self._labelled and LABEL not in names:
                raise ConfigError(f"generator.external.labels: {path} has no column `{LABEL}`, only {', '.join(names)}")
            return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]

    def _image_column(self, names: list[str], path: str) -> str:
        wanted = _IMAGE_COLUMNS if self._column is None else (self._column,)
        for name in wanted:
            if name in names:
                return name
        raise ConfigError(
            f"generator.external.image_column: {path} has no column {' or '.join(wanted)}; it has {', '.join(names)}"
        )


def _of_images(paths: list[str]) -> list[_Part]:
    cuts = [paths[i : i + _IMAGES_A_PART] for i in range(0, len(paths), _IMAGES_A_PART)]
    return [_Part(tuple(some), None, len(some)) for some in cuts]
