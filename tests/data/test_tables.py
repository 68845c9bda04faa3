"""Parquet and Arrow data sets with an image column."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from lfiw_ray.config import DataConfig
from lfiw_ray.data.load import ImageData, load
from lfiw_ray.data.tables import image_values
from lfiw_ray.errors import ConfigError, DataError

Encode = Callable[..., bytes]
X = np.random.default_rng(3).integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
LABELS = [4, 0, 1, 1, 0, 2, 3]


def load_table(path: object, label_column: str | None = "label", image_column: str = "image") -> ImageData:
    config = DataConfig(name="parquet", path=str(path), label_column=label_column, image_column=image_column)
    return load(config)


def raw_binary(x: np.ndarray) -> pa.Array:
    width = x[0].size
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(x), [None, pa.py_buffer(x.tobytes())])


def with_shape(table: pa.Table, shape: Any) -> pa.Table:
    return table.replace_schema_metadata({"shape": shape if isinstance(shape, str) else json.dumps(shape)})


def encoded(x: np.ndarray, encode: Encode, kind: str) -> pa.Array:
    files = [encode(image.squeeze()) for image in x]
    if kind == "struct":
        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        return pa.array([{"bytes": file, "path": None} for file in files], struct)
    return pa.array(files, {"binary": pa.binary(), "large": pa.large_binary(), "view": pa.binary_view()}[kind])


def table_of(x: np.ndarray, kind: str, encode: Encode) -> pa.Table:
    if kind in ("struct", "binary", "large", "view"):
        return pa.table({"image": encoded(x, encode, kind), "label": LABELS[: len(x)]})
    if kind == "raw":
        return with_shape(pa.table({"image": raw_binary(x), "label": LABELS[: len(x)]}), x.shape[1:])
    if kind == "raw_field":
        field = pa.field("image", pa.binary(x[0].size), metadata={"shape": json.dumps(x.shape[1:])})
        return pa.table([raw_binary(x), LABELS[: len(x)]], pa.schema([field, ("label", pa.int8())]))
    if kind == "tensor":
        return pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(x), "label": LABELS[: len(x)]})
    values = {"list": None, "list_uint8": pa.uint8()}[kind]
    nested = pa.array(x.tolist()) if values is None else pa.array(x.tolist(), pa.list_(pa.list_(pa.list_(values))))
    return pa.table({"image": nested, "label": LABELS[: len(x)]})


KINDS = ["struct", "binary", "large", "view", "raw", "raw_field", "tensor", "list", "list_uint8"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_encoding_in_parquet(kind: str, channels: int, tmp_path: Path, encode: Encode):
    x = X[..., :channels]
    table = table_of(np.ascontiguousarray(x), kind, encode)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    data = load_table(tmp_path / "a.parquet")
    assert np.array_equal(data.x, x)
    assert data.x.dtype == np.uint8
    assert data.labels is not None
    assert data.labels.tolist() == LABELS
    assert data.labels.dtype == np.int64


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["file", "stream", "feather"])
def test_every_encoding_in_arrow(kind: str, form: str, tmp_path: Path, encode: Encode):
    table, path = table_of(X, kind, encode), tmp_path / "a.arrow"
    if form == "feather":
        feather.write_feather(table, str(path), compression="zstd")
    else:
        new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with new(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    data = load_table(path)
    assert np.array_equal(data.x, X)
    assert data.labels is not None
    assert data.labels.tolist() == LABELS


@pytest.mark.parametrize("kind", KINDS)
def test_slices_in_memory_keep_their_rows(kind: str, encode: Encode):
    """A slice shares its parent's buffers: its offset must be heeded."""
    names, rows = zip(*image_values(table_of(X, kind, encode).slice(2, 3), "image", "f"), strict=True)
    assert names == ("f, row 0", "f, row 1", "f, row 2")
    assert np.array_equal(np.stack(rows), X[2:5])


def test_grey_without_a_channel_axis(tmp_path: Path, encode: Encode):
    grey = np.ascontiguousarray(X[..., 0])
    for kind in ("raw", "tensor", "list"):
        pq.write_table(table_of(grey, kind, encode), tmp_path / "a.parquet")
        assert np.array_equal(load_table(tmp_path / "a.parquet").x, X[..., :1])


def test_a_permuted_tensor_is_refused(tmp_path: Path):
    for permutation in ([0, 1, 2], [1, 2, 0]):
        kind = pa.fixed_shape_tensor(pa.uint8(), X.shape[1:], permutation=permutation)
        storage = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), X[0].size)
        pq.write_table(pa.table({"image": pa.ExtensionArray.from_storage(kind, storage)}), tmp_path / "a.parquet")
        if permutation == [0, 1, 2]:
            assert np.array_equal(load_table(tmp_path / "a.parquet", None).x, X)
    with pytest.raises(DataError, match=r"a\.parquet: tensors with the permutation \[1, 2, 0\]"):
        load_table(tmp_path / "a.parquet", None)


def test_a_tensor_with_a_null_pixel_is_refused(tmp_path: Path):
    storage = pa.array([[1, 2, 3, None]], pa.list_(pa.uint8(), 4))
    table = pa.table({"image": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), [2, 2]), storage)})
    with pytest.raises(DataError, match=r"a\.parquet: a tensor has a pixel that is null"):
        write_and_load(table, tmp_path)


def test_without_a_label_column_there_are_no_labels(tmp_path: Path, encode: Encode):
    pq.write_table(table_of(X, "struct", encode), tmp_path / "a.parquet")
    assert load_table(tmp_path / "a.parquet", None).labels is None


@pytest.mark.parametrize("where", ["set", "set/", "set/*/*.parquet"])
def test_a_folder_or_pattern_of_files_at_a_url(where: str, memory: fsspec.AbstractFileSystem, encode: Encode):
    table = table_of(X, "struct", encode)
    for name, rows in {"b/0": table.slice(5), "a/1": table.slice(2, 3), "a/0": table.slice(0, 2)}.items():
        with memory.open(f"/set/{name}.parquet", "wb") as file:
            pq.write_table(rows, file)
    memory.pipe("/set/a/readme.json", b"{}")
    data = load_table(f"memory://{where}")
    assert np.array_equal(data.x, X)
    assert data.labels is not None
    assert data.labels.tolist() == LABELS


def test_other_column_names(tmp_path: Path, encode: Encode):
    table = with_shape(table_of(X, "raw", encode).rename_columns(["x", "digit"]), X.shape[1:])
    pq.write_table(table, tmp_path / "a.parquet")
    assert np.array_equal(load_table(tmp_path / "a.parquet", "digit", "x").x, X)
    with pytest.raises(ConfigError, match=r"data\.image_column: .*a\.parquet has no column 'image'.*x, digit"):
        load_table(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"data\.label_column: .* no column 'label'"):
        load_table(tmp_path / "a.parquet", "label", "x")


def write_and_load(table: pa.Table, tmp_path: Path, label_column: str | None = None) -> ImageData:
    pq.write_table(table, tmp_path / "a.parquet")
    return load_table(tmp_path / "a.parquet", label_column)


def nested(rows: list[Any]) -> pa.Table:
    return pa.table({"image": pa.array(rows)})


def test_images_of_unequal_size_name_the_first_row(tmp_path: Path, encode: Encode):
    files = [encode(X[0]), encode(X[1]), encode(X[2][:4]), encode(X[3][:3])]
    with pytest.raises(DataError, match=r"a\.parquet, row 2: the image is 4x5x3, but .*a\.parquet, row 0 is 6x5x3"):
        write_and_load(pa.table({"image": files}), tmp_path)
    rows = [X[0].tolist(), X[1, :, :4].tolist(), X[2, :5].tolist()]
    with pytest.raises(DataError, match=r"row 1: the image is 6x4x3, but row 0 is 6x5x3"):
        write_and_load(nested(rows), tmp_path)


def test_files_of_unequal_size_name_both(tmp_path: Path, encode: Encode):
    pq.write_table(table_of(X, "struct", encode), tmp_path / "0.parquet")
    pq.write_table(table_of(X[:, :4].copy(), "raw", encode), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"/1\.parquet, row 0: the image is 4x5x3, but .*/0\.parquet, row 0 is 6x5x3"):
        load_table(tmp_path)


def test_a_corrupt_image_names_its_row_over_row_groups(tmp_path: Path, encode: Encode):
    files = [encode(image) for image in X]
    files[5] = files[5][:-20]
    table = pa.table({"image": files})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    with pytest.raises(DataError, match=r"a\.parquet, row 5: the image cannot be read"):
        load_table(tmp_path / "a.parquet", None)
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    with pytest.raises(DataError, match=r"a\.arrow, row 5: the image cannot be read"):
        load_table(tmp_path / "a.arrow", None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[[1, 2], [3, 4]], [[1, 2], [3]]], "row 1: the nested lists are ragged"),
        ([[[1, 2], [3, 4]], [[1, 2], [3, None]]], "row 1: .*hold nulls"),
        ([[[1, 2], [3, 4]], [[1, 2], None]], "row 1: .*hold nulls"),
        ([[[1, 2], [3, 4]], None], r"row 1: no image \(null\)"),
        ([[[1, 2], [3, 4]], []], "row 1: .*empty"),
        ([[], []], "row 0: .*empty"),
        ([[[1, 2], [3, 4]], [[1, 2], [3, 256]]], r"row 1: a pixel is outside 0\.\.255"),
        ([[[-1, 2]]], r"row 0: a pixel is outside 0\.\.255"),
        ([[[0.5, 2.0]]], "pixels of type float64; store 8-bit integers"),
        ([[1, 2, 3]], "an image is 3; needed is height x width"),
        ([[[[1, 2]]]], "an image is 1x1x2; .*1 or 3 channels, channels last"),
        (["text"], "a column of type string holds no images"),
        ([b"text"], r"row 0: the image cannot be read \(4 bytes\): not a PNG"),
        ([{"bytes": None, "path": "a.png"}], "row 0: `bytes` is null"),
        ([{"other": 1}], "a column of type struct.* holds no images"),
    ],
)
def test_bad_images_name_the_row(rows: list[Any], message: str, tmp_path: Path):
    table = nested(rows)
    if rows[0] == {"bytes": None, "path": "a.png"}:
        table = pa.table({"image": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})
    with pytest.raises(DataError, match=rf"a\.parquet.*{message}"):
        write_and_load(table, tmp_path)


@pytest.mark.parametrize("shape", ["[6, 5]", "[6.0, 5, 3]", "[-6, -5, 3]", "[[6, 5, 3]]", "90", "six", "{}"])
def test_a_wrong_shape_in_the_metadata_is_refused(shape: str, tmp_path: Path):
    with pytest.raises(DataError, match=r"`shape` must be JSON such as \[28, 28, 1\] with a product of 90"):
        write_and_load(with_shape(pa.table({"image": raw_binary(X)}), shape), tmp_path)


def test_raw_bytes_need_their_shape(tmp_path: Path):
    with pytest.raises(DataError, match=r"`shape` must be JSON.* got None"):
        write_and_load(pa.table({"image": raw_binary(X)}), tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b"], "labels of type string; data.label_column must hold integers"),
        ([0.0, 1.0], "labels of type double"),
        ([0, None], "row 1: the label is null"),
        ([0, -1], "row 1: label -1 is negative"),
    ],
)
def test_bad_labels_name_the_row(labels: list[Any], message: str, tmp_path: Path):
    table = with_shape(pa.table({"image": raw_binary(X[:2]), "label": labels}), [6, 5, 3])
    with pytest.raises(DataError, match=rf"a\.parquet.*{message}"):
        write_and_load(table, tmp_path, "label")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "s.arrow"])
@pytest.mark.parametrize("keep", [0, 3, 10, 0.5, 0.95, 0.999])
def test_a_truncated_file_is_named_with_its_size(name: str, keep: float, tmp_path: Path, encode: Encode):
    table, out = table_of(X, "struct", encode), io.BytesIO()
    if name == "a.parquet":
        pq.write_table(table, out)
    else:
        with (pa.ipc.new_file if name == "a.arrow" else pa.ipc.new_stream)(out, table.schema) as writer:
            writer.write_table(table)
    size = (
        keep if isinstance(keep, int) else int(keep * (len(out.getvalue()) - 8))
    )  # the stream's last 8 bytes: its end
    (tmp_path / name).write_bytes(out.getvalue()[:size])
    with pytest.raises(DataError, match=rf"{name} \({size} bytes\): not a whole Parquet or Arrow file"):
        load_table(tmp_path / name)


def test_a_flipped_bit_in_a_checksummed_page_is_found(tmp_path: Path):
    table = with_shape(pa.table({"image": raw_binary(X)}), [6, 5, 3])
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    data = path.read_bytes()
    at = data.index(X[3:5].tobytes()) + X[3].size  # the page, not the statistics before it
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(DataError, match=r"a\.parquet .*truncated or altered"):
        load_table(path, None)


def test_a_damaged_column_name_is_found(tmp_path: Path):
    path = tmp_path / "a.arrow"
    table = with_shape(pa.table({"image": raw_binary(X)}), [6, 5, 3])
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    path.write_bytes(path.read_bytes().replace(b"image", b"imag\x84"))
    with pytest.raises(DataError, match=r"a\.arrow .*truncated or altered: 'utf-8' codec"):
        load_table(path, None)


def test_missing_and_empty(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "gone.parquet", tmp_path / "empty", f"{tmp_path}/*.parquet", "memory://gone"):
        with pytest.raises(DataError, match=r"no file and no folder with \.parquet"):
            load_table(path)
    table = with_shape(pa.table({"image": raw_binary(X[:1])}).slice(0, 0), [6, 5, 3])
    with pytest.raises(DataError, match=r"a\.parquet: holds no image"):
        write_and_load(table, tmp_path)
    with pytest.raises(ConfigError, match=r"data\.path: needed for data\.name = 'parquet'"):
        load(DataConfig(name="parquet"))
