"""The fixed binarisation of MNIST (Larochelle and Murray 2011), on which likelihoods of binary models are compared.

One `.npz` file with the arrays `train` (50,000 rows), `valid` (10,000) and `test` (10,000): uint8 (N, 98), the bits
of 28 x 28 pixels, row by row, eight to a byte with the highest first (`numpy.packbits`).  Pixels become 0 or 255.
The set has no labels; its test rows are sorted by digit.
"""

import io
import zipfile
import zlib

import numpy as np

from lfiw_ray.data import files
from lfiw_ray.data.image_data import ImageData
from lfiw_ray.errors import DataError

NAME = "binarized-mnist"
FILE = "binarized_mnist.npz"
PARTS = ("train", "valid", "test")
_SIDE = 28
_BYTES = _SIDE * _SIDE // 8


def load_binarised(path: str) -> ImageData:
    """All rows, the publisher's training rows first, then its validation rows, then its test rows.

    Parameters
    ----------
    path : the file, or a folder that holds `binarized_mnist.npz`; any fsspec URL.

    Raises
    ------
    DataError : a file that is missing or damaged, or an array that is missing or of another type or shape.
    """
    parts = load_parts(path)
    return ImageData(np.concatenate([parts[part] for part in PARTS]), None, NAME, None, num_test=len(parts["test"]))


def load_parts(path: str) -> dict[str, np.ndarray]:
    """The images of each of `PARTS`, (N, 28, 28, 1) uint8 of 0 and 255; see `load_binarised`."""
    fs, where = files.connect(path)
    if not where.endswith(".npz"):
        where = f"{where.rstrip('/')}/{FILE}"
    data = files.read_bytes(fs, where)
    try:
        arrays = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        with arrays:
            return {part: _images(arrays[part], f"{where}, array {part!r}") for part in PARTS}
    except KeyError as err:
        raise DataError(f"{where}: {err.args[0]}; it needs the arrays {', '.join(PARTS)}") from err
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as err:
        raise DataError(f"{where}: not a whole .npz file of plain arrays ({len(data)} bytes): {err}") from err


def _images(packed: np.ndarray, where: str) -> np.ndarray:
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != _BYTES or len(packed) == 0:
        raise DataError(f"{where}: {packed.dtype} {packed.shape}; it must be uint8 (N, {_BYTES}), N > 0")
    return np.unpackbits(packed, axis=1).reshape(-1, _SIDE, _SIDE, 1) * np.uint8(255)
