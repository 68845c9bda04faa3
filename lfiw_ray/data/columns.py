"""An Arrow column of images to pixels, whatever its encoding.

| column type | what it holds |
|---|---|
| struct with a field `bytes` (as the `datasets` library writes) | encoded image files |
| binary, large_binary, binary_view | encoded image files |
| fixed_size_binary | raw pixels; their shape, as JSON, under the key `shape` of the field's or the schema's metadata |
| fixed_shape_tensor | raw pixels, H x W or H x W x C |
| nested lists of integers | raw pixels, H x W or H x W x C |

Raw pixels are integers from 0 to 255 and have their channels last; floats are refused, for their scale is unknown.
"""

import json
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lfiw_ray.data.decode import decode
from lfiw_ray.data.image_data import shape_text
from lfiw_ray.errors import DataError
from lfiw_ray.places import shown


def images(column: Any, shape_json: bytes | None, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs (file and row, (H, W, C) uint8 pixels) of a column, in order.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of one of the types above.
    shape_json : the metadata's `shape`, such as `[28, 28, 1]`; only fixed_size_binary needs it.
    path : the file, for messages.

    Raises
    ------
    DataError : naming the row: null, not readable, of another shape, or out of 0..255.
    """
    start = 0
    for chunk in column.chunks:
        refuse_nulls(chunk, path, start, "no image (null)")
        names = (f"{path}, row {row}" for row in range(start, start + len(chunk)))
        if (encoded := _encoded(chunk, path, start)) is not None:
            yield from ((name, decode(value.as_py(), name)) for name, value in zip(names, encoded, strict=True))
        elif len(chunk):
            yield from zip(names, _with_channels(_raw(chunk, shape_json, path, start), path), strict=True)
        start += len(chunk)


def refuse_nulls(array: Any, path: str, start: int, what: str) -> None:
    """DataError for the first null of an array whose entry 0 is row `start` of the file."""
    if array.null_count:
        row = start + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{path}, row {row}: {what}")


def _encoded(chunk: Any, path: str, start: int) -> Any | None:
    """The encoded files of a chunk, or None when it holds raw pixels."""
    if pa.types.is_struct(chunk.type) and chunk.type.get_field_index("bytes") >= 0:
        chunk = chunk.field("bytes")
        refuse_nulls(chunk, path, start, "`bytes` is null (only a path is given); embed the images in the file")
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return chunk if any(is_kind(chunk.type) for is_kind in kinds) else None


def _raw(chunk: Any, shape_json: bytes | None, path: str, start: int) -> np.ndarray:
    """(n, H, W) or (n, H, W, C) uint8 pixels of a chunk that is not encoded."""
    if pa.types.is_fixed_size_binary(chunk.type):
        shape = _parse_shape(shape_json, chunk.type.byte_width, path)
        pixels = np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * prod(shape), chunk.offset * prod(shape))
        return pixels.reshape(len(chunk), *shape)
    if isinstance(chunk.type, pa.FixedShapeTensorType):
        return _as_bytes(_tensor(chunk, path), path, start)
    if _is_list(chunk.type):
        return _as_bytes(_nested(chunk, path, start), path, start)
    raise DataError(f"{path}: a column of type {chunk.type} holds no images that can be read")


def _parse_shape(shape_json: bytes | None, width: int, path: str) -> tuple[int, ...]:
    """(H, W) or (H, W, C) from the metadata, checked against the bytes of a row."""
    advice = f"metadata key `shape` must be JSON such as [28, 28, 1] with a product of {width}"
    try:
        shape = json.loads(shape_json or b"null")
    except (ValueError, RecursionError) as err:
        raise DataError(f"{path}: {advice}, got {shown(shape_json)}") from err
    sound = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape) and prod(shape) == width
    if not sound:
        raise DataError(f"{path}: {advice}, got {shown(shape_json)}")
    return tuple(shape)


def _tensor(chunk: Any, path: str) -> np.ndarray:
    """Tensors in their stored order; a permutation is refused, for its writers and readers disagree on its meaning."""
    permutation = chunk.type.permutation
    if permutation is not None and list(permutation) != sorted(permutation):
        raise DataError(f"{path}: tensors with the permutation {permutation}; store them as height, width, channels")
    values = chunk.storage.flatten()
    if values.null_count:
        raise DataError(f"{path}: a tensor has a pixel that is null")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(chunk), *chunk.type.shape)


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _nested(chunk: Any, path: str, start: int) -> np.ndarray:
    """Nested lists as one array; the lengths of every level must agree."""
    shape, values = [len(chunk)], chunk
    while _is_list(values.type):
        lengths = pc.list_value_length(values)
        if lengths.null_count or not len(lengths) or pc.count_distinct(lengths).as_py() != 1:
            raise _irregular(chunk, path, start)
        shape.append(lengths[0].as_py())
        values = values.flatten()
    if values.null_count or not len(values):
        raise _irregular(chunk, path, start)
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)


def _irregular(chunk: Any, path: str, start: int) -> DataError:
    """The error for the first row that is not a full rectangle or not like the chunk's first row."""
    first = None
    for row, value in enumerate(chunk, start):
        image = np.array(value.as_py(), dtype=object)
        shape = image.shape
        # an object array stops at the first level whose lengths differ, and then holds lists
        if any(entry is None or isinstance(entry, list) for entry in image.flat) or not image.size:
            return DataError(f"{path}, row {row}: the nested lists are ragged, empty or hold nulls")
        first = shape if first is None else first
        if shape != first:
            return DataError(
                f"{path}, row {row}: the image is {shape_text(shape)}, but row {start} is {shape_text(first)}; "
                "all images must have the same height, width and number of channels"
            )
    raise AssertionError("unreachable: the levels disagree, so a row does")


def _as_bytes(pixels: np.ndarray, path: str, start: int) -> np.ndarray:
    """The pixels as uint8; values outside 0..255 are an error."""
    if pixels.dtype.kind not in "iu":
        raise DataError(f"{path}: pixels of type {pixels.dtype}; store 8-bit integers from 0 to 255")
    outside = ((pixels < 0) | (pixels > 255)).reshape(len(pixels), -1).any(axis=1)
    if outside.any():
        raise DataError(f"{path}, row {start + int(np.flatnonzero(outside)[0])}: a pixel is outside 0..255")
    return pixels.astype(np.uint8, copy=False)


def _with_channels(pixels: np.ndarray, path: str) -> np.ndarray:
    """(n, H, W, C) from (n, H, W) or (n, H, W, C)."""
    if pixels.ndim == 3:
        return pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise DataError(
            f"{path}: an image is {shape_text(pixels.shape[1:])}; needed is height x width (grey) or "
            "height x width x channels with 1 or 3 channels, channels last"
        )
    return pixels
