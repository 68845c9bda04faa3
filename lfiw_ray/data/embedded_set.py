"""The data set inside the package: Fashion-MNIST's 10,000 test images (Xiao, Rasul, Vollgraf 2017; MIT licence).

`embedded/fashion_mnist_test.parquet` has the columns `image` (struct of PNG `bytes` and `path`, as the `datasets`
library writes) and `label` (int8), in the original order.  Two checksums are verified whenever it is loaded: the
file's own, and the pixels', which another encoder would leave as they are.

The file was made from the published idx files, and can be made again, by

    pathlib.Path("fashion_mnist_test.parquet").write_bytes(build(*published_rows("folder of the idx files")))

(other versions of the PNG and Parquet writers may give other bytes; the pixels' checksum stays).
"""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lfiw_ray.data import files
from lfiw_ray.data.idx import parse_idx
from lfiw_ray.data.image_data import ImageData, stack
from lfiw_ray.data.named import read_checked
from lfiw_ray.data.sources import SETS
from lfiw_ray.data.tables import image_values, label_values, read_table
from lfiw_ray.errors import DataError

FILE = Path(__file__).parent / "embedded" / "fashion_mnist_test.parquet"
FILE_SHA256 = "e1b2c48c099564aa6e0b77a4a680031b10f877dbc68d872789a3df10063964ff"
PIXELS_SHA256 = "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"


def load_embedded() -> ImageData:
    """10,000 grey images of 28 x 28 pixels, 1,000 of each of 10 classes.

    Raises
    ------
    DataError : the file is missing or altered, or its pixels decode to other values.
    """
    path = str(FILE)
    with files.reading(path):
        data = FILE.read_bytes()
    _check(data, FILE_SHA256, f"{path} ({len(data)} bytes)")
    table = read_table(io.BytesIO(data), {"image_column": "image", "label_column": "label"}, path)
    x = stack(image_values(table, "image", path), path)
    _check(x.data, PIXELS_SHA256, f"the decoded pixels of {path}")
    return ImageData(x, label_values(table.column("label"), path), "embedded", SETS["fashion-mnist"].class_names)


def _check(data: bytes | memoryview, expected: str, what: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise DataError(f"{what}: SHA-256 is {actual}, expected {expected}; install the package again")


def published_rows(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (10,000, 28, 28) and labels (10,000,), uint8, of the published test files in a folder or URL."""
    fs, root = files.connect(folder)
    images, labels = (
        parse_idx(read_checked(fs, f"{root}/{file.name}", file.md5), file.name)
        for file in SETS["fashion-mnist"].layouts[0].files[2:]
    )
    return images, labels


def build(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The Parquet file of images (N, H, W) uint8 and labels (N,)."""
    rows = [{"bytes": _png(image), "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind), "label": pa.array(labels.astype(np.int8))})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", compression_level=19, use_dictionary=False, write_page_checksum=True)
    return out.getvalue()


def _png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", optimize=True)
    return out.getvalue()
