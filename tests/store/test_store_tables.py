"""Typed tables: exact round trips, deterministic bytes, and readers of parts that read only parts."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfiw_ray.errors import ShardError
from lfiw_ray.store import tables
from lfiw_ray.store.tables import (
    ParquetBuffer,
    from_parquet,
    image_array,
    image_shape_of,
    images_of,
    read_rows,
    resampled_schema,
    samples_schema,
    samples_table,
    to_parquet,
    weights_table,
)

SHAPE = (3, 5, 2)


def images(num: int) -> np.ndarray:
    return np.random.default_rng(num).integers(0, 256, (num, *SHAPE), dtype=np.uint8)


def samples(num: int) -> pa.Table:
    return samples_table(np.arange(100, 100 + num), images(num))


@pytest.mark.parametrize("num", [0, 1, 5000])
def test_samples_round_trip(num: int):
    table = from_parquet(bytes(to_parquet(samples(num))))
    np.testing.assert_array_equal(images_of(table), images(num))
    assert images_of(table).dtype == np.uint8
    assert table.column("sample_id").to_pylist() == list(range(100, 100 + num))
    assert image_shape_of(table.schema) == SHAPE


def test_images_become_a_column_without_a_copy():
    x = images(4)
    assert image_array(x).buffers()[1].address == x.ctypes.data


def test_images_of_strided_and_sliced_arrays():
    x = images(12)
    np.testing.assert_array_equal(images_of(samples_table(np.arange(6), x[::2])), x[::2])
    table = samples_table(np.arange(12), x)
    np.testing.assert_array_equal(images_of(table.slice(3, 4)), x[3:7])
    np.testing.assert_array_equal(images_of(table.slice(12)), x[12:])
    np.testing.assert_array_equal(
        images_of(pa.concat_tables([table.slice(9), table.slice(1, 2)])), x[[9, 10, 11, 1, 2]]
    )
    assert images_of(table.schema.empty_table()).shape == (0, *SHAPE)
    assert images_of(pa.Table.from_batches([], schema=table.schema)).shape == (0, *SHAPE)
    without_buffer = pa.FixedSizeBinaryArray.from_buffers(pa.binary(30), 0, [None, None])
    assert images_of(
        pa.table([without_buffer], schema=pa.schema([table.schema.field("x")], table.schema.metadata))
    ).shape == (0, *SHAPE)


@pytest.mark.parametrize("x", [images(2).astype(np.float32), images(2)[0], images(2)[..., None]])
def test_other_arrays_are_no_images(x: np.ndarray):
    with pytest.raises(ValueError, match=rf"\(N, H, W, C\) uint8, got {x.dtype} of shape"):
        image_array(x)


@pytest.mark.parametrize("shape", [None, b"", b"3", b"[3, 5]", b"{}", b"[1, 2"])
def test_a_table_without_its_images_shape_is_refused(shape: bytes | None):
    schema = samples_schema(SHAPE).with_metadata(None if shape is None else {b"shape": shape})
    with pytest.raises(ShardError, match="metadata lack the images' shape"):
        image_shape_of(schema)


def test_weights_round_trip_bit_by_bit():
    logits = np.array([-np.inf, 1e-45, 3.4e38, -0.0], np.float32)
    table = from_parquet(bytes(to_parquet(weights_table(np.arange(4), logits, logits + np.float32(1)))))
    assert table.column("logit").to_numpy().tobytes() == logits.tobytes()
    assert table.schema.equals(tables.WEIGHTS)
    assert from_parquet(bytes(to_parquet(table)), ["log_w"]).column_names == ["log_w"]


def test_schemas_say_what_they_hold():
    schema = pq.read_schema(pa.BufferReader(to_parquet(samples(1))))
    assert schema.field("x").type == pa.binary(30)
    assert json.loads(schema.metadata[b"shape"]) == [3, 5, 2]
    resampled = resampled_schema(SHAPE)
    assert resampled.names == ["sample_id", "x", "multiplicity", "weight"]
    assert resampled.metadata == samples_schema(SHAPE).metadata


def test_the_same_rows_give_the_same_bytes_however_they_were_made():
    whole = to_parquet(samples(5000))
    assert to_parquet(samples(5000)) == whole
    assert to_parquet(from_parquet(bytes(whole))) == whole
    buffer = ParquetBuffer(samples_schema(SHAPE))
    for start in range(0, 5000, tables.ROW_GROUP_ROWS):
        buffer.append(samples(5000).slice(start, tables.ROW_GROUP_ROWS))
    assert buffer.rows == 5000
    assert buffer.finish() == whole


def test_row_groups_are_small_and_pages_plain():
    metadata = pq.read_metadata(pa.BufferReader(to_parquet(samples(5000))))
    assert [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)] == [2048, 2048, 904]
    column = metadata.row_group(0).column(1)
    assert not column.has_dictionary_page
    assert column.statistics is None
    assert column.compression == "LZ4"


def test_other_readers_open_a_shard(tmp_path: Path):
    path = tmp_path / "00000.parquet"
    path.write_bytes(to_parquet(samples(10)))
    frame = pd.read_parquet(path)
    assert frame["sample_id"].tolist() == list(range(100, 110))
    np.testing.assert_array_equal(np.frombuffer(frame["x"][7], np.uint8).reshape(SHAPE), images(10)[7])
    shape = json.loads(pq.read_schema(path).metadata[b"shape"])
    flat = np.stack([np.frombuffer(x, np.uint8) for x in pq.read_table(path)["x"].to_pylist()])
    np.testing.assert_array_equal(flat.reshape(-1, *shape), images(10))


@pytest.fixture(scope="module")
def file_of_three_groups() -> tuple[bytes, np.ndarray]:
    return bytes(to_parquet(samples(5000))), images(5000)


class CountingFile(io.BytesIO):
    """Adds up the bytes that were read."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.total += len(data)
        return data


@settings(deadline=None)  # the first call is slower
@given(st.sets(st.integers(0, 4999), max_size=30))
def test_wanted_rows_are_found_in_order(file_of_three_groups: tuple[bytes, np.ndarray], wanted: set[int]):
    data, x = file_of_three_groups
    rows = np.array(sorted(wanted), np.int64)
    found = np.zeros((len(rows), *SHAPE), np.uint8)
    seen = []
    for positions, part in read_rows(io.BytesIO(data), rows, "f"):
        found[positions] = images_of(part)
        seen += positions.tolist()
        assert part.column("sample_id").to_pylist() == (100 + rows[positions]).tolist()
    assert seen == list(range(len(rows)))
    np.testing.assert_array_equal(found, x[rows])


@pytest.mark.parametrize(("rows", "groups"), [([], []), ([2047], [0]), ([2048, 4095], [1]), ([0, 4999], [0, 2])])
def test_only_the_row_groups_that_hold_wanted_rows_are_read(file_of_three_groups, monkeypatch, rows, groups):
    data, _ = file_of_three_groups
    original, asked, file = pq.ParquetFile.read_row_group, [], CountingFile(data)

    def noted(self, i, *arguments, **named):
        asked.append(i)
        return original(self, i, *arguments, **named)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    list(read_rows(file, np.array(rows, np.int64), "f"))
    assert asked == groups
    group_bytes = [2048 * 38, 2048 * 38, 904 * 38]
    assert file.total < 1.1 * sum(group_bytes[g] for g in groups) + 70_000  # the end of the file is read too


def test_a_row_beyond_the_end_is_named(file_of_three_groups: tuple[bytes, np.ndarray]):
    with pytest.raises(ShardError, match="some/path has 5000 rows, row 5000 is wanted"):
        list(read_rows(io.BytesIO(file_of_three_groups[0]), np.array([1, 5000]), "some/path"))


@pytest.mark.parametrize("where", [100, 60_000])
def test_a_flipped_bit_in_a_page_is_noticed_when_the_page_is_read(file_of_three_groups, where: int):
    data = bytearray(file_of_three_groups[0])
    data[where] ^= 4
    with pytest.raises(ShardError, match=r"some/path cannot be read .*; run again with --repair"):
        list(read_rows(io.BytesIO(data), np.array([7]), "some/path"))
    assert len(list(read_rows(io.BytesIO(data), np.array([4999]), "some/path"))) == 1  # another row group


@pytest.mark.parametrize("keep", [0, 3, 50_000, -1])
def test_a_torn_file_is_named(file_of_three_groups: tuple[bytes, np.ndarray], keep: int):
    with pytest.raises(ShardError, match="some/path cannot be read"):
        list(read_rows(io.BytesIO(file_of_three_groups[0][:keep]), np.array([7]), "some/path"))
