"""The typed tables of a run as Parquet: samples, weights, selections.

Images are `fixed_size_binary[H*W*C]` with the shape in the schema's metadata, so that any Parquet reader
opens them and writing stays at memory speed (a uint8 list column is stored as INT32 with levels).  Pages
carry checksums, so that a reader of single row groups notices a flipped bit.

| table | columns |
|---|---|
| samples | sample_id int64, x fixed_size_binary, [label int64] |
| features | sample_id int64, features float32 or float16 list of fixed size, [probabilities float32, likewise] |
| weights | sample_id int64, logit float32 (nats), log_w float32 (nats) |
| selection | sample_id int64, key float64 (NaN where the scheme has none), multiplicity int64, weight float64 |
| resampled | selection without key, and x |
| arms | arm text, sample_id int64, log_w float64 (nats; null where the arm has no weights) |
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lfiw_ray.core.blocks import WEIGHT_BLOCK
from lfiw_ray.errors import ShardError

ROW_GROUP_ROWS = 2048
SHAPE_KEY = b"shape"
NUM_FEATURES_KEY = b"num_features"

WEIGHTS = pa.schema([("sample_id", pa.int64()), ("logit", pa.float32()), ("log_w", pa.float32())])
SELECTION = pa.schema(
    [("sample_id", pa.int64()), ("key", pa.float64()), ("multiplicity", pa.int64()), ("weight", pa.float64())]
)
ARMS = pa.schema([("arm", pa.string()), ("sample_id", pa.int64()), ("log_w", pa.float64())])
_FLOATS = {"float16": pa.float16(), "float32": pa.float32()}


def samples_schema(image_shape: tuple[int, int, int], labelled: bool = False) -> pa.Schema:
    """Schema of a samples table of images (H, W, C)."""
    size = int(np.prod(image_shape))
    metadata = {SHAPE_KEY: json.dumps(list(image_shape)).encode()}
    labels = [("label", pa.int64())] if labelled else []
    return pa.schema([("sample_id", pa.int64()), ("x", pa.binary(size)), *labels], metadata=metadata)


def resampled_schema(image_shape: tuple[int, int, int]) -> pa.Schema:
    """Schema of a resampled table of images (H, W, C)."""
    fields = [*samples_schema(image_shape), SELECTION.field("multiplicity"), SELECTION.field("weight")]
    return pa.schema(fields, metadata=samples_schema(image_shape).metadata)


def image_array(x: np.ndarray) -> pa.Array:
    """(N, H, W, C) uint8 as fixed-size binary, without a copy."""
    if x.dtype != np.uint8 or x.ndim != 4:
        raise ValueError(f"images at rest are (N, H, W, C) uint8, got {x.dtype} of shape {x.shape}")
    flat = np.ascontiguousarray(x).reshape(len(x), int(np.prod(x.shape[1:])))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(flat.shape[1]), len(x), [None, pa.py_buffer(flat)])


def images_of(table: pa.Table) -> np.ndarray:
    """(N, H, W, C) uint8 of a samples or resampled table."""
    shape = image_shape_of(table.schema)
    column = table.column("x").combine_chunks()
    size = int(np.prod(shape))
    flat = np.frombuffer(column.buffers()[1], np.uint8, count=len(column) * size, offset=column.offset * size)
    return flat.reshape(len(column), *shape)


def image_shape_of(schema: pa.Schema) -> tuple[int, int, int]:
    """(H, W, C) from a schema's metadata."""
    try:
        height, width, channels = json.loads((schema.metadata or {})[SHAPE_KEY])
    except (KeyError, ValueError, TypeError, RecursionError) as err:
        raise ShardError(f"the table's metadata lack the images' shape: {schema.metadata}") from err
    return height, width, channels


def samples_table(sample_ids: np.ndarray, x: np.ndarray, labels: np.ndarray | None = None) -> pa.Table:
    """Samples: ids (N,) int64, images (N, H, W, C) uint8, and labels (N,) int64 where they have any."""
    height, width, channels = x.shape[1:]
    columns = [pa.array(sample_ids, pa.int64()), image_array(x)]
    columns += [] if labels is None else [pa.array(labels, pa.int64())]
    return pa.Table.from_arrays(columns, schema=samples_schema((height, width, channels), labels is not None))


def weights_table(sample_ids: np.ndarray, logits: np.ndarray, log_w: np.ndarray) -> pa.Table:
    """Weights: ids (N,) int64, logits and log weights (N,) float32, nats."""
    return pa.Table.from_arrays(
        [pa.array(sample_ids, pa.int64()), pa.array(logits, pa.float32()), pa.array(log_w, pa.float32())],
        schema=WEIGHTS,
    )


def features_schema(num_features: int, num_classes: int | None, dtype: str = "float32") -> pa.Schema:
    """Schema of a features table; without class probabilities where `num_classes` is None."""
    fields = [("sample_id", pa.int64()), ("features", _vectors(num_features, dtype))]
    fields += [] if num_classes is None else [("probabilities", _vectors(num_classes, "float32"))]
    return pa.schema(fields, metadata={NUM_FEATURES_KEY: str(num_features).encode()})


def _vectors(size: int, dtype: str) -> pa.DataType:
    return pa.list_(pa.field("element", _FLOATS[dtype], nullable=False), size)


def features_table(
    sample_ids: np.ndarray, features: np.ndarray, probabilities: np.ndarray | None, dtype: str = "float32"
) -> pa.Table:
    """Features: ids (N,) int64, features (N, D), kept as `dtype`, and class probabilities (N, K) float32 or None."""
    schema = features_schema(features.shape[1], None if probabilities is None else probabilities.shape[1], dtype)
    columns = [pa.array(sample_ids, pa.int64())]
    for values, kept, field in zip((features, probabilities), (dtype, "float32"), list(schema)[1:], strict=False):
        assert values is not None
        flat = pa.array(np.ascontiguousarray(values, kept).reshape(-1))
        columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def vectors_of(table: pa.Table, name: str) -> np.ndarray:
    """(N, size) float32 of a column of lists of fixed size."""
    column = table.column(name).combine_chunks()
    values = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    wide: np.ndarray = values.astype(np.float32, copy=False)
    return wide


def arms_table(arms: Mapping[str, tuple[np.ndarray, np.ndarray | None]]) -> pa.Table:
    """Arms by name: sample ids (n,) int64, repeats included, and log weights (n,), nats, or None."""
    parts = [
        pa.Table.from_arrays(
            [
                pa.array([name] * len(ids), pa.string()),
                pa.array(ids, pa.int64()),
                pa.nulls(len(ids), pa.float64()) if log_w is None else pa.array(log_w, pa.float64()),
            ],
            schema=ARMS,
        )
        for name, (ids, log_w) in arms.items()
    ]
    return pa.concat_tables(parts).combine_chunks()


def arms_of(table: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Sample ids and log weights, or None, of each arm of such a table, in its order."""
    names = table.column("arm").to_numpy()
    firsts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(names) else np.array([], np.int64)
    out: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for start, stop in pairwise([*firsts.tolist(), len(names)]):
        part = table.slice(start, stop - start)
        log_w = part.column("log_w")
        weights = None if log_w.null_count == len(part) else log_w.to_numpy()
        out[str(names[start])] = part.column("sample_id").to_numpy(), weights
    return out


class ParquetBuffer:
    """A Parquet file in memory, written table by table with settings that give the same bytes every time."""

    def __init__(self, schema: pa.Schema, row_group_rows: int = ROW_GROUP_ROWS):
        self._sink = pa.BufferOutputStream()
        self._row_group_rows = row_group_rows
        floats = [field.name for field in schema if pa.types.is_floating(field.type)]
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression={field.name: "none" if field.name in floats else "lz4" for field in schema},  # random mantissas
            column_encoding={"sample_id": "DELTA_BINARY_PACKED"} if "sample_id" in schema.names else None,  # increasing
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        self.rows = 0

    def append(self, table: pa.Table) -> None:
        """Add rows, in row groups of the buffer's size."""
        self._writer.write_table(table, row_group_size=self._row_group_rows)
        self.rows += table.num_rows

    def finish(self) -> memoryview:
        """Bytes of the whole file."""
        self._writer.close()
        return memoryview(self._sink.getvalue())


def to_parquet(table: pa.Table, row_group_rows: int = ROW_GROUP_ROWS) -> memoryview:
    """Bytes of a table."""
    buffer = ParquetBuffer(table.schema, row_group_rows)
    buffer.append(table)
    return buffer.finish()


def from_parquet(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """Table of bytes whose checksum was verified."""
    return pq.read_table(pa.BufferReader(data), columns=columns)


def weights_parquet(sample_ids: np.ndarray, logits: np.ndarray, log_w: np.ndarray) -> memoryview:
    """Bytes of a shard of weights: a row group for each block of 8,192 rows, so that one can be read alone."""
    return to_parquet(weights_table(sample_ids, logits, log_w), WEIGHT_BLOCK)


def read_rows(source: Any, rows: np.ndarray, path: str) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Read only the row groups that hold the wanted rows, one group at a time.

    Parameters
    ----------
    source : an open Parquet file.
    rows : (n,) int64, sorted, distinct row numbers within the file.
    path : named in errors.

    Yields
    ------
    (positions, table) : which entries of `rows`, and their rows in the same order.
    """
    try:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        starts = np.cumsum([0] + [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)])
        if len(rows) and rows[-1] >= starts[-1]:
            raise ShardError(f"{path} has {starts[-1]} rows, row {rows[-1]} is wanted")
        owner = np.searchsorted(starts, rows, side="right") - 1
        for group in np.unique(owner):
            positions = np.flatnonzero(owner == group)
            yield positions, file.read_row_group(int(group)).take(pa.array(rows[positions] - starts[group]))
    except (pa.ArrowException, OSError) as err:
        raise ShardError(f"{path} cannot be read ({err}); run again with --repair to regenerate it") from err


def read_column(source: Any, name: str, path: str, groups: Sequence[int] | None = None) -> np.ndarray:
    """(n,) one column of an open Parquet file, or of some of its row groups; pages are checked.

    Raises
    ------
    ShardError
        Naming `path`, when the file cannot be read or has no such column.
    """
    try:
        file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=True)
        wanted = range(file.num_row_groups) if groups is None else groups
        column = file.read_row_groups(list(wanted), columns=[name], use_threads=False).column(name)
    except (pa.ArrowException, OSError, KeyError) as err:
        raise ShardError(f"{path} cannot be read ({err}); run again with --repair to regenerate it") from err
    values: np.ndarray = column.to_numpy()
    return values


def has_column(source: Any, name: str) -> bool:
    """Whether an open Parquet file has a column."""
    return name in pq.ParquetFile(source).schema_arrow.names
