"""Omniglot (Lake et al. 2015): 32,460 drawings of 1,623 characters by 20 people, at 28 x 28.

The published drawings are 105 x 105, one bit.  Each pixel of the result is the mean over its square of 3.75 x 3.75 of
them, as is usual since Vinyals et al. (2016), with ink white on black like MNIST.  The class of a drawing is its
character; classes are numbered in the order of their names `set/alphabet/character`, drawings in that of their files.

| file in `data.path` | what it is |
|---|---|
| `images_background.zip`, `images_evaluation.zip` | the published archives, compared with their MD5s |
| `omniglot.npz` | `bits` (N, 1379) uint8, `numpy.packbits` of each drawing's 11,025 pixels, 1 is ink; `names` (N,) |
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from lfiw_ray.data import files
from lfiw_ray.data.decode import decode
from lfiw_ray.data.download import md5_of
from lfiw_ray.data.image_data import ImageData
from lfiw_ray.errors import DataError

SIDE, SMALL_SIDE = 105, 28
PACKED = "omniglot.npz"
ARCHIVES = {
    "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
}
_ROWS_AT_ONCE = 1024


def load_omniglot(url: str) -> ImageData:
    """All drawings, from the published archives where both are there, else from `omniglot.npz`.

    Raises
    ------
    DataError
        Neither is there, or a file is truncated or altered.
    """
    fs, root = files.connect(url)
    with files.reading(root):
        if fs.isfile(root):
            root = root.rpartition("/")[0]
        there = {name for name in (PACKED, *ARCHIVES) if fs.exists(f"{root}/{name}")}
    if there >= ARCHIVES.keys():
        ink, names = _of_archives(fs, root)
    elif PACKED in there:
        ink, names = _of_packed(files.read_bytes(fs, f"{root}/{PACKED}"), f"{root}/{PACKED}")
    else:
        raise DataError(
            f"Omniglot: {root} holds neither {' and '.join(ARCHIVES)} (published at "
            f"https://github.com/brendenlake/omniglot, in python/) nor {PACKED}; put them there or set data.path"
        )
    order = np.argsort(names, kind="stable")
    classes, labels = np.unique([name.rpartition("/")[0] for name in names[order]], return_inverse=True)
    return ImageData(shrunk(ink)[order], labels.astype(np.int64), "omniglot", tuple(str(c) for c in classes))


def shrunk(ink: np.ndarray) -> np.ndarray:
    """(N, 28, 28, 1) uint8, 255 is ink, of (N, 105, 105) 0 and 1: the mean over the area of each new pixel."""
    share = _shares(SIDE, SMALL_SIDE)
    cuts = range(_ROWS_AT_ONCE, len(ink), _ROWS_AT_ONCE)
    parts = [share @ part.astype(np.float64) @ share.T for part in np.split(ink, cuts)]
    small: np.ndarray = np.rint(255 * np.concatenate(parts)).astype(np.uint8)[..., None]
    return small


def _shares(size: int, small: int) -> np.ndarray:
    """(small, size): the share of each old interval in each new one; rows sum to 1."""
    edges = np.arange(small + 1) * size / small
    low, high = np.arange(size), np.arange(size) + 1
    overlap = np.minimum(high, edges[1:, None]) - np.maximum(low, edges[:-1, None])
    shares: np.ndarray = np.maximum(overlap, 0) * small / size
    return shares


def _of_packed(data: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 105, 105) 0 and 1, and (N,) names, of `omniglot.npz`."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            bits, names = arrays["bits"], arrays["names"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as err:
        raise DataError(f"{path} ({len(data)} bytes): truncated or altered: {err}") from err
    width = -(-SIDE * SIDE // 8)
    if bits.dtype != np.uint8 or bits.shape != (len(names), width) or names.dtype.kind != "U" or not len(names):
        raise DataError(f"{path}: `bits` must be (N, {width}) uint8 and `names` N texts")
    return np.unpackbits(bits, axis=1, count=SIDE * SIDE).reshape(-1, SIDE, SIDE), names


def _of_archives(fs: Any, root: str) -> tuple[np.ndarray, np.ndarray]:
    drawings = [drawing for name, md5 in ARCHIVES.items() for drawing in _unpacked(fs, f"{root}/{name}", md5)]
    return np.stack([ink for _, ink in drawings]), np.array([name for name, _ in drawings])


def _unpacked(fs: Any, path: str, md5: str) -> Iterator[tuple[str, np.ndarray]]:
    """Name and (105, 105) 0 and 1 of each drawing of an archive; its ink is black."""
    data = files.read_bytes(fs, path)
    if (actual := md5_of(data)) != md5:
        raise DataError(
            f"{path}: {len(data)} bytes with MD5 {actual}, expected {md5}; replace it with the published one"
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                yield name, (decode(archive.read(name), f"{path}, {name}")[..., 0] == 0).astype(np.uint8)
