"""Fixtures of the data room: encoded images, an empty in-memory file system, CIFAR-10's original binary files."""

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from PIL import Image

from lfiw_ray.config import DataConfig
from lfiw_ray.data.load import ImageData, load


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(pixels (H, W) or (H, W, 3) uint8, format) -> bytes of an image file."""

    def encode(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind, **options)
        return out.getvalue()

    return encode


@pytest.fixture(scope="session")
def pictures() -> Callable[..., np.ndarray]:
    """pictures(n, *shape) -> uint8 noise, the same at each call."""
    return lambda n, *shape: np.random.default_rng(7).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's in-memory file system, emptied afterwards."""
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def cifar10(shared_data: Path) -> ImageData:
    """CIFAR-10 read from Parquet with WebP images: 60,000 rows in the order of the original batches."""
    path = str(shared_data / "cifar10.parquet")
    return load(DataConfig(name="parquet", path=path, label_column="label"))


@pytest.fixture(scope="session")
def cifar10_records(cifar10: ImageData) -> np.ndarray:
    """(60,000, 3,073) uint8: label byte, then 1,024 bytes of each colour plane."""
    assert cifar10.labels is not None
    planes = cifar10.x.transpose(0, 3, 1, 2).reshape(60_000, 3_072)
    return np.column_stack([cifar10.labels.astype(np.uint8), planes])


@pytest.fixture(scope="session")
def cifar10_folder(cifar10_records: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sub-folder of the published binary archive."""
    folder = tmp_path_factory.mktemp("cifar10")
    (folder / "cifar-10-batches-bin").mkdir()
    for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        batch = cifar10_records[10_000 * number : 10_000 * (number + 1)]
        (folder / "cifar-10-batches-bin" / name).write_bytes(batch.tobytes())
    return folder


class Python2Pickler(pickle._Pickler):
    """Writes `str` as Python 2 did, in which the published CIFAR-10 batches were made."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


@pytest.fixture(scope="session")
def python_batch() -> Callable[[Any], bytes]:
    """python_batch(value) -> the pickle that Python 2 and its numpy would have written."""

    def python_batch(batch: Any) -> bytes:
        out = io.BytesIO()
        Python2Pickler(out, protocol=2).dump(batch)
        return out.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    return python_batch
