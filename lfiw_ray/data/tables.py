"""A data set in Parquet or Arrow files (IPC file, IPC stream, Feather 2) at any fsspec URL.

The URL is a file, a folder (all such files in it, at any depth, sorted by path) or a glob pattern.  The format is
told by the file's first bytes, not by its name; only the columns that are needed are read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lfiw_ray.data import columns, files
from lfiw_ray.data.image_data import ImageData, stack
from lfiw_ray.errors import ConfigError, DataError

SUFFIXES = (".parquet", ".arrow", ".feather", ".ipc")
_IPC_MAGIC = b"ARROW1"
_PARQUET_MAGIC = b"PAR1"


class TestRows(NamedTuple):
    """Which rows are the publisher's test rows: those with `value` in an integer or boolean column."""

    column: str
    value: int


def load_tables(url: str, image_column: str, label_column: str | None, test: TestRows | None = None) -> ImageData:
    """All rows of all files, in the order of the sorted paths; test rows, where they are told, after all others.

    Raises
    ------
    ConfigError : a column that is not in a file (data.image_column, label_column, test_column), or no test row at all.
    DataError : missing, truncated or altered files; images that cannot be read or differ in shape; bad labels.
    """
    fs, path = files.connect(url)
    paths = files.expand(fs, path, SUFFIXES)
    if not paths:
        raise DataError(f"{path}: no file and no folder with {', '.join(SUFFIXES)} files; check data.path")
    wanted = {"image_column": image_column, "label_column": label_column, "test_column": test.column if test else None}
    labels: list[np.ndarray] = []
    marks: list[np.ndarray] = []

    def images() -> Iterator[tuple[str, np.ndarray]]:
        for file in paths:
            with files.reading(file), fs.open(file, "rb") as stream:
                table = read_table(stream, wanted, file)
            if label_column is not None:
                labels.append(label_values(table.column(label_column), file))
            if test is not None:
                marks.append(_is_test(table.column(test.column), test, file))
            yield from image_values(table, image_column, file)

    x = stack(images(), path)
    found = ImageData(x, np.concatenate(labels) if labels else None, "parquet", None)
    return found if test is None else _test_rows_last(found, np.concatenate(marks), test, path)


def _is_test(column: Any, test: TestRows, path: str) -> np.ndarray:
    """(N,) bool: the publisher's test rows of one file."""
    if not (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        raise DataError(
            f"{path}: {test.column} is of type {column.type}; data.test_column must hold integers or booleans"
        )
    values = column.combine_chunks()
    columns.refuse_nulls(values, path, 0, f"{test.column} is null")
    found: np.ndarray = values.to_numpy(zero_copy_only=False).astype(np.int64) == test.value
    return found


def _test_rows_last(data: ImageData, is_test: np.ndarray, test: TestRows, path: str) -> ImageData:
    num_test = int(is_test.sum())
    if num_test in (0, len(is_test)):
        raise ConfigError(
            f"data.test_value: {num_test} of {len(is_test)} rows of {path} have {test.column} = {test.value}; "
            "some, but not all, must be test rows"
        )
    order = np.argsort(is_test, kind="stable")
    labels = None if data.labels is None else data.labels[order]
    return data._replace(x=data.x[order], labels=labels, num_test=num_test)


def read_table(stream: Any, wanted: Mapping[str, str | None], path: str) -> Any:
    """The needed columns of one open file as a pyarrow.Table, validated; `wanted` is by field of the configuration."""
    size_bytes = stream.seek(0, 2)
    stream.seek(0)
    try:
        table = _read(stream, wanted, path)
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as err:  # the last: damaged column names
        raise DataError(
            f"{path} ({size_bytes} bytes): not a whole Parquet or Arrow file, it is truncated or altered: {err}"
        ) from err
    return table


def _read(stream: Any, wanted: Mapping[str, str | None], path: str) -> Any:
    magic = stream.read(len(_IPC_MAGIC))
    stream.seek(0)
    if magic.startswith(_PARQUET_MAGIC):
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        return file.read(_present(file.schema_arrow.names, wanted, path))
    # Arrow's own two forms: with a footer, or a stream as the `datasets` library keeps in its cache
    reader = pa.ipc.open_file(stream) if magic == _IPC_MAGIC else pa.ipc.open_stream(stream)
    return reader.read_all().select(_present(reader.schema.names, wanted, path))


def _present(names: list[str], wanted: Mapping[str, str | None], path: str) -> list[str]:
    """The columns to read, each of which must be there."""
    for field, column in wanted.items():
        if column is not None and column not in names:
            raise ConfigError(f"data.{field}: {path} has no column {column!r}; its columns are {', '.join(names)}")
    return list(dict.fromkeys(column for column in wanted.values() if column is not None))


def image_values(table: Any, column: str, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs (file and row, (H, W, C) uint8) of a table's image column."""
    metadata = {**(table.schema.metadata or {}), **(table.schema.field(column).metadata or {})}
    return columns.images(table.column(column), metadata.get(b"shape"), path)


def label_values(column: Any, path: str) -> np.ndarray:
    """(N,) int64 of a column of labels; integers, not null and not negative."""
    if not pa.types.is_integer(column.type):
        raise DataError(f"{path}: labels of type {column.type}; data.label_column must hold integers")
    columns.refuse_nulls(column.combine_chunks(), path, 0, "the label is null")
    labels: np.ndarray = column.to_numpy().astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise DataError(f"{path}, row {int(np.argmax(labels < 0))}: label {labels[labels < 0][0]} is negative")
    return labels
