"""The two forms of a CIFAR-10 batch."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfiw_ray.data.cifar import parse_binary, parse_python
from lfiw_ray.errors import DataError

PythonBatch = Callable[[Any], bytes]


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (4, 3072), dtype=np.uint8)


def test_binary_records(rows: np.ndarray):
    labels = np.array([3, 0, 9, 1], np.uint8)
    x, y = parse_binary(np.column_stack([labels, rows]).tobytes(), "b.bin")
    assert x.shape == (4, 32, 32, 3)
    assert y.tolist() == [3, 0, 9, 1]
    # red at row 2, column 5 of image 1 is byte 2*32 + 5; green and blue are one and two planes further
    assert x[1, 2, 5].tolist() == [rows[1, 69], rows[1, 1024 + 69], rows[1, 2048 + 69]]


def test_the_python_form_holds_the_same(rows: np.ndarray, python_batch: PythonBatch):
    labels = [3, 0, 9, 1]
    data = python_batch({"batch_label": "testing", "labels": labels, "data": rows, "filenames": ["a.png"] * 4})
    from_python = parse_python(data, "data_batch_1")
    from_binary = parse_binary(np.column_stack([np.array(labels, np.uint8), rows]).tobytes(), "b.bin")
    assert np.array_equal(from_python[0], from_binary[0])
    assert np.array_equal(from_python[1], from_binary[1])
    assert from_python[1].dtype == np.int64
    by_column = python_batch({"labels": labels, "data": np.asfortranarray(rows)})
    assert np.array_equal(parse_python(by_column, "data_batch_1")[0], from_binary[0])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_malicious_pickle_runs_nothing(protocol: int, tmp_path: Path):
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    data = pickle.dumps({"data": Malicious(), "labels": [0]}, protocol=protocol)
    with pytest.raises(DataError, match=r"data_batch_1: .*(posix|nt)\.mkdir, which is refused"):
        parse_python(data, "data_batch_1")
    assert not (tmp_path / "ran").exists()
    pickle.loads(data)
    assert (tmp_path / "ran").exists()  # so the pickle was dangerous


@pytest.mark.parametrize(
    "name",
    [
        b"builtins eval",
        b"numpy._core.multiarray _reconstruct",
        b"numpy load",
        b"numpy.core.multiarray ndarray",
        b"numpy f2py",
    ],
)
def test_every_other_name_is_refused(name: bytes):
    module, attribute = name.split()
    with pytest.raises(DataError, match="which is refused"):
        parse_python(b"c" + module + b"\n" + attribute + b"\n.", "batch")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x02}q", b"\x80\x02(K\x01K\x02"])
def test_half_a_pickle_is_refused(data: bytes):
    with pytest.raises(DataError, match=r"^batch: not a CIFAR-10 batch in Python's format"):
        parse_python(data, "batch")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "no dictionary"),
        ({"data": np.zeros((2, 3072), np.uint8)}, "no dictionary with `data` and `labels`"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, r"\(N, 3072\) uint8"),
        ({"data": np.zeros((1, 3072), np.int16), "labels": [0]}, r"\(N, 3072\) uint8"),
        ({"data": np.zeros((1, 3072), np.int8), "labels": [0]}, r"\(N, 3072\) uint8"),
        ({"data": b"pixels", "labels": [0]}, r"\(N, 3072\) uint8"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [0.5]}, "N integers"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": 0}, "N integers"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "row 0: label 10 is outside 0..9"),
    ],
)
def test_python_batches_of_another_content_are_refused(batch: Any, message: str, python_batch: PythonBatch):
    with pytest.raises(DataError, match=rf"^batch.*{message}"):
        parse_python(python_batch(batch), "batch")


def test_a_python_batch_with_too_few_pixels_is_refused(python_batch: PythonBatch):
    data = python_batch({"data": np.zeros((1, 3072), np.uint8), "labels": [0]})
    whole, cut = (b"T" + n.to_bytes(4, "little") + bytes(n) for n in (3072, 3071))
    assert whole in data
    with pytest.raises(DataError, match=r"\(N, 3072\) uint8"):
        parse_python(data.replace(whole, cut), "batch")


def test_binary_batches_of_another_size_or_label_are_refused():
    with pytest.raises(DataError, match=r"b\.bin: 3072 bytes are not a whole number of records of 3073"):
        parse_binary(bytes(3072), "b.bin")
    with pytest.raises(DataError, match=r"b\.bin: 0 bytes"):
        parse_binary(b"", "b.bin")
    with pytest.raises(DataError, match=r"b\.bin, row 1: label 10"):
        parse_binary(bytes(3073) + bytes([10]) + bytes(3072), "b.bin")
