"""Mean and covariance of features as an `.npz` file, in the form that FID programs share: arrays `mu` and `sigma`.

Written with what they were taken from beside them (`num_rows`, `extractor`, `weights_sha256`), which other programs
ignore; read without pickle, so that a file from elsewhere cannot run code.
"""

import io
import zipfile
import zlib
from typing import NamedTuple

import fsspec
import numpy as np

from lfiw_ray.errors import DataError
from lfiw_ray.store.failures import explained, kinds


class KeptMoments(NamedTuple):
    """`mu` (D,) and `sigma` (D, D), float64."""

    mu: np.ndarray
    sigma: np.ndarray


def to_npz(moments: KeptMoments, num_rows: int, extractor: str, weights_sha256: str) -> bytes:
    """The file; the same moments give the same bytes."""
    out = io.BytesIO()
    np.savez(
        out,
        mu=moments.mu.astype(np.float64),
        sigma=moments.sigma.astype(np.float64),
        num_rows=np.int64(num_rows),
        extractor=np.str_(extractor),
        weights_sha256=np.str_(weights_sha256),
    )
    return out.getvalue()


def read_npz(url: str, num_features: int | None) -> KeptMoments:
    """Moments of `num_features` features (None: of as many as `mu` has) from a file at any fsspec URL.

    Raises
    ------
    DataError
        Naming the file: it is missing or torn, lacks an array, or holds one of another shape, of Python objects, or
        with NaN or infinity.
    """
    try:
        with fsspec.open(url, "rb") as file:
            data = file.read()
    except (ValueError, ImportError) as err:
        raise DataError(f"{url} cannot be read: {err}") from err
    except kinds() as err:
        raise DataError(f"{url} cannot be read: {explained(err)}") from err
    return of_npz(data, url, num_features)


def of_npz(data: bytes, path: str, num_features: int | None) -> KeptMoments:
    """The same of a file's bytes; `path` is named in errors."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            mu, sigma = arrays["mu"], arrays["sigma"]
    except (KeyError, AttributeError, TypeError) as err:
        raise DataError(f"{path}: it needs the arrays `mu` and `sigma`: {err}") from err
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as err:
        raise DataError(f"{path}: not a whole .npz file of plain arrays ({len(data)} bytes): {err}") from err
    size = mu.size if num_features is None else num_features
    for name, array, shape in (("mu", mu, (size,)), ("sigma", sigma, (size, size))):
        if array.shape != shape or array.dtype.kind != "f":
            raise DataError(
                f"{path}: `{name}` is {array.dtype} of shape {array.shape}; for {size} features it must be float of "
                f"shape {shape}"
            )
        if not np.isfinite(array).all():
            raise DataError(f"{path}: `{name}` holds NaN or infinity")
    return KeptMoments(mu.astype(np.float64), sigma.astype(np.float64))
