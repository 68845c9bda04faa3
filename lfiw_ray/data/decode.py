"""Encoded image files to pixels, with every conversion of colours a decision.

| file | result |
|---|---|
| 8-bit grey | (H, W, 1) |
| 1 bit | (H, W, 1) with the values 0 and 255 |
| RGB | (H, W, 3) |
| palette without transparency | its colours, (H, W, 3) |
| grey or RGB with an alpha channel that is 255 everywhere | without alpha |
| anything else (real transparency, 16 bits, CMYK, animations) | refused: there is more than one way to flatten it |

A PNG is checked against its own checksums first: the decoder alone would let some changed bytes pass.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from lfiw_ray.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_TARGET_MODE = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB", "LA": "L", "RGBA": "RGB"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def decode(data: bytes, where: str) -> np.ndarray:
    """Pixels of one PNG, JPEG, WebP or BMP file.

    Parameters
    ----------
    data : the encoded file.
    where : file or row, for messages.

    Returns
    -------
    (H, W, C) uint8, C = 1 or 3.

    Raises
    ------
    DataError : not an image, truncated, altered, or in colours that cannot be taken as they are.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.verify()
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
    except _BROKEN as err:
        reason = "not a PNG, JPEG, WebP or BMP image" if isinstance(err, UnidentifiedImageError) else str(err)
        raise DataError(f"{where}: the image cannot be read ({len(data)} bytes): {reason}") from err
    return _pixels(image, where)


def _pixels(image: Image.Image, where: str) -> np.ndarray:
    target = _TARGET_MODE.get(image.mode)
    if target is None:
        raise DataError(f"{where}: colour mode {image.mode} is not supported; convert it to 8-bit grey or RGB")
    if (num_frames := getattr(image, "n_frames", 1)) > 1:
        raise DataError(f"{where}: {num_frames} frames in one file; give each frame a file of its own")
    if _has_alpha(image) and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise DataError(f"{where}: the image is partly transparent; flatten it onto a background first")
    pixels = np.asarray(image.convert(target), dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "RGBA") or "transparency" in image.info
