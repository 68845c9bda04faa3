"""A folder of PNG or JPEG files at any fsspec URL.

Files with another suffix are no images and are left alone; an image that cannot be read is an error.  The order
is that of the sorted paths.  When every image lies in a sub-folder, the first-level sub-folder is its class, and
classes are numbered in the order of their sorted names; otherwise there are no labels.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lfiw_ray.data import files
from lfiw_ray.data.decode import decode
from lfiw_ray.data.image_data import ImageData, stack
from lfiw_ray.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
_NUM_READERS = 16  # object stores answer many requests at once


def load_folder(url: str) -> ImageData:
    """All images of a folder.

    Raises
    ------
    DataError : no image, one that cannot be read, or one whose shape is not the first one's.
    """
    fs, root = files.connect(url)
    paths = files.find(fs, root, SUFFIXES)
    if not paths:
        raise DataError(f"{root}: no {', '.join(SUFFIXES)} file in this folder; check data.path")
    labels, class_names = _classes(paths, root)
    return ImageData(stack(_images(fs, paths), root), labels, "images", class_names)


def _images(fs: Any, paths: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    with ThreadPoolExecutor(_NUM_READERS) as readers:
        yield from zip(paths, readers.map(lambda path: decode(files.read_bytes(fs, path), path), paths), strict=True)


def _classes(paths: Sequence[str], root: str) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    inside = [path.removeprefix(root).lstrip("/").split("/") for path in paths]
    if any(len(parts) == 1 for parts in inside):
        return None, None
    names, labels = np.unique([parts[0] for parts in inside], return_inverse=True)
    return labels.astype(np.int64), tuple(str(name) for name in names)
