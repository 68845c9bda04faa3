"""Images in memory: what every loader returns, how single images become one array, and its fingerprint.

| symbol | meaning | shape, dtype |
|---|---|---|
| x | the images, 8-bit, channels last | (N, H, W, C) uint8, C = 1 (grey) or 3 (RGB) |
| labels | class of each image | (N,) int64, not negative |
| num_test | how many of the rows, the last ones, are the publisher's test rows; None: no such division | int |
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lfiw_ray.core.digest import digest
from lfiw_ray.errors import DataError


class ImageData(NamedTuple):
    """A data set: `x` (N, H, W, C) uint8, `labels` (N,) int64 or None, its name, the names of its classes.

    Of the rows the last `num_test` are the publisher's test rows; None where the publisher names none.
    """

    x: np.ndarray
    labels: np.ndarray | None
    name: str
    class_names: tuple[str, ...] | None
    num_test: int | None = None


def fingerprint(data: ImageData) -> str:
    """16 hex digits that change with any pixel, label or dimension, or with which rows are the publisher's test rows.

    They do not change with the names.
    """
    labels = None if data.labels is None else _sha256(data.labels.astype("<i8"))
    divided = {} if data.num_test is None else {"num_test": data.num_test}
    return digest({"shape": list(data.x.shape), "x": _sha256(data.x), "labels": labels, **divided})


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def stack(images: Iterable[tuple[str, np.ndarray]], source: str) -> np.ndarray:
    """Put images of one shape into one array.

    Parameters
    ----------
    images : pairs (where it came from, (H, W, C) uint8), in the order of the result.
    source : what holds the images, for the message when there are none.

    Returns
    -------
    (N, H, W, C) uint8, contiguous.

    Raises
    ------
    DataError : no image at all, or one whose shape is not the first one's.
    """
    rows: list[np.ndarray] = []
    first = ""
    for where, image in images:
        if not rows:
            first = where
        elif image.shape != rows[0].shape:
            raise DataError(
                f"{where}: the image is {shape_text(image.shape)}, but {first} is {shape_text(rows[0].shape)}; "
                "all images must have the same height, width and number of channels"
            )
        rows.append(image)
    if not rows:
        raise DataError(f"{source}: holds no image")
    return np.stack(rows)


def shape_text(shape: tuple[int, ...]) -> str:
    """`28x28x1` for (28, 28, 1)."""
    return "x".join(str(n) for n in shape)
