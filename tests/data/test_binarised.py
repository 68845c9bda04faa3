"""Fixed binarised MNIST: bits in the right place, damaged files named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfiw_ray.data.binarised import FILE, load_binarised, load_parts
from lfiw_ray.errors import DataError


def packed(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(0, 256, (rows, 98), dtype=np.uint8)


def write(folder: Path, **changed: Any) -> Path:
    arrays = {"train": packed(4), "valid": packed(2), "test": packed(3)} | changed
    np.savez(folder / FILE, **{name: array for name, array in arrays.items() if array is not None})
    return folder / FILE


def test_bits_become_pixels_row_by_row_and_parts_stay_in_order(tmp_path: Path):
    one = np.zeros((1, 98), np.uint8)
    one[0, 0], one[0, 97] = 0b0100_0000, 0b0000_0001  # the second pixel, and the last
    write(tmp_path, train=one)
    data = load_binarised(str(tmp_path))
    assert (data.x.shape, data.x.dtype, data.labels, data.name) == ((6, 28, 28, 1), np.uint8, None, "binarized-mnist")
    assert np.argwhere(data.x[0, ..., 0]).tolist() == [[0, 1], [27, 27]]
    assert set(np.unique(data.x)) == {0, 255}
    parts = load_parts(str(tmp_path / FILE))
    assert {name: len(x) for name, x in parts.items()} == {"train": 1, "valid": 2, "test": 3}
    np.testing.assert_array_equal(data.x[3:], parts["test"])
    np.testing.assert_array_equal(np.packbits(parts["test"].reshape(3, -1) > 0, axis=1), packed(3))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"valid": None}, "valid.*needs the arrays train, valid, test"),
        ({"test": np.zeros((3, 784), np.uint8)}, r"array 'test': uint8 \(3, 784\); it must be uint8 \(N, 98\)"),
        ({"test": np.zeros((3, 98))}, r"array 'test': float64"),
        ({"test": np.zeros((0, 98), np.uint8)}, r"array 'test': uint8 \(0, 98\)"),
        ({"train": np.array([{}], dtype=object)}, "not a whole .npz file of plain arrays"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, changed: dict[str, Any], message: str):
    with pytest.raises(DataError, match=f"{FILE}.*{message}"):
        load_binarised(str(write(tmp_path, **changed)))


@pytest.mark.parametrize("kept", [0, 10, 300, 800])
def test_a_torn_file_is_refused(tmp_path: Path, kept: int):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"not a whole \.npz file"):
        load_binarised(str(path))


def test_an_altered_file_is_refused(tmp_path: Path):
    path = write(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(packed(4).tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"not a whole \.npz file"):
        load_binarised(str(path))


def test_a_single_array_is_not_a_set(tmp_path: Path):
    np.save(tmp_path / "a.npy", packed(3))
    (tmp_path / FILE).write_bytes((tmp_path / "a.npy").read_bytes())
    with pytest.raises(DataError, match=r"not a whole \.npz .*one array without"):
        load_binarised(str(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"binarized_mnist\.npz: no such file"):
        load_binarised(str(tmp_path))


def test_the_published_set(shared_data: Path):
    parts = load_parts(str(shared_data))
    assert [len(parts[name]) for name in ("train", "valid", "test")] == [50_000, 10_000, 10_000]
    ink = [parts[name].mean() / 255 for name in ("train", "valid", "test")]
    assert ink == pytest.approx([0.130562, 0.131127, 0.132512], abs=1e-6)
