"""The idx format of MNIST (LeCun, Cortes, Burges): big-endian header, then one byte a value, gzipped.

bytes 0-1: zero; byte 2: type of the values (8 = uint8); byte 3: number of dimensions d;
then d 32-bit sizes; then the values, last dimension fastest
"""

import gzip
import struct
import zlib

import numpy as np

from lfiw_ray.errors import DataError

_UINT8 = 8


def parse_idx(data: bytes, path: str) -> np.ndarray:
    """Values of a gzipped idx file of bytes.

    Returns
    -------
    uint8 array of the shape in the file's header: (N, H, W) for images, (N,) for labels.

    Raises
    ------
    DataError : not gzip, not idx of uint8, or a body whose size is not the header's.
    """
    try:
        raw = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as err:
        raise DataError(f"{path}: not a whole gzip file ({len(data)} bytes): {err}") from err
    if len(raw) < 4 or raw[:3] != bytes([0, 0, _UINT8]):
        raise DataError(f"{path}: does not start as an idx file of bytes does (00 00 08), but with {raw[:4].hex(' ')}")
    num_dims = raw[3]
    body = 4 + 4 * num_dims
    shape = struct.unpack(f">{num_dims}I", raw[4:body]) if len(raw) >= body else ()
    expected_bytes = body + int(np.prod(shape, dtype=np.int64))
    if not shape or len(raw) != expected_bytes:
        raise DataError(f"{path}: {len(raw)} bytes unpacked, but its header (sizes {shape}) asks for {expected_bytes}")
    return np.frombuffer(raw, np.uint8, offset=body).reshape(shape)
