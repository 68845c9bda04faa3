"""The two published forms of a CIFAR-10 batch (Krizhevsky 2009): binary records, and a pickled dictionary.

Both hold an image as 3,072 bytes: 1,024 red, 1,024 green, 1,024 blue, each row by row.  Unpickling can run code,
so the second form is read by an unpickler that knows the three names an array is pickled with and nothing else,
and to which even those stand for inert records: numpy's own would take a damaged state to a crash.  The caller has
compared the file with its published checksum before.
"""

import io
import pickle
from typing import Any

import numpy as np

from lfiw_ray.errors import DataError

_SIDE, _CHANNELS, NUM_CLASSES = 32, 3, 10
_PIXELS = _SIDE * _SIDE * _CHANNELS


def parse_binary(data: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 32, 32, 3) uint8 and (N,) int64 labels of a `.bin` batch: records of a label byte and 3,072 pixel bytes."""
    if not data or len(data) % (1 + _PIXELS):
        raise DataError(f"{path}: {len(data)} bytes are not a whole number of records of {1 + _PIXELS} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + _PIXELS)
    return _channels_last(records[:, 1:]), _checked_labels(records[:, 0].astype(np.int64), path)


def parse_python(data: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 32, 32, 3) uint8 and (N,) int64 labels of a pickled batch with the keys `data` and `labels`."""
    try:
        batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except _NOT_A_BATCH as err:
        raise DataError(f"{path}: not a CIFAR-10 batch in Python's format: {err}") from err
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= batch.keys():
        raise DataError(f"{path}: not a CIFAR-10 batch: no dictionary with `data` and `labels`")
    array, labels = batch[b"data"], batch[b"labels"]
    sound = isinstance(labels, list) and all(type(label) is int for label in labels) and len(labels) > 0
    pixels = array.bytes_of_shape((len(labels), _PIXELS)) if sound and isinstance(array, _Array) else None
    if pixels is None:
        raise DataError(f"{path}: not a CIFAR-10 batch: `data` must be (N, {_PIXELS}) uint8, `labels` N integers")
    return _channels_last(pixels), _checked_labels(np.array(labels), path)


_NOT_A_BATCH = (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError)


class _Dtype:
    """What a pickle says of a dtype: its name; the state (byte order, fields) means nothing for single bytes."""

    def __init__(self, name: object, *_flags: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """What a pickle says of an array: (version, shape, dtype, is in Fortran's order, bytes)."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def bytes_of_shape(self, expected: tuple[int, int]) -> np.ndarray | None:
        """The array when it is a whole one of uint8 and of this shape, else None."""
        if len(self.state) != 5:
            return None
        _, shape, dtype, is_fortran, raw = self.state
        right_kind = isinstance(dtype, _Dtype) and dtype.name == b"u1" and shape == expected
        if not right_kind or not isinstance(raw, bytes) or len(raw) != expected[0] * expected[1]:
            return None
        return np.frombuffer(raw, np.uint8).reshape(expected, order="F" if is_fortran else "C")


def _new_array(*_arguments: object) -> _Array:
    return _Array()


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds plain values and the records above, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused") from None


def _channels_last(rows: np.ndarray) -> np.ndarray:
    images = rows.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images)


def _checked_labels(labels: np.ndarray, path: str) -> np.ndarray:
    outside = np.flatnonzero((labels < 0) | (labels >= NUM_CLASSES))
    if outside.size:
        raise DataError(f"{path}, row {outside[0]}: label {labels[outside[0]]} is outside 0..{NUM_CLASSES - 1}")
    return labels
