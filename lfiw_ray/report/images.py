"""Image grids and single images as PNG data URIs, pixels enlarged without smoothing.

Enlarging happens here, to at least the resolution of a phone's screen, so that a browser only ever shrinks a
grid and pixels stay square and sharp.  Large images are first reduced, to bound the page's size.
"""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

MAX_IMAGES = 120
MAX_TILES = 24
_GRID_BYTES = 300_000
_GRID_PX = 1_080
_TILE_PX = 112


class Picture(NamedTuple):
    """A data URI with the size in pixels that the browser needs to keep its place free."""

    uri: str
    width: int
    height: int


def grid(x: np.ndarray) -> Picture | None:
    """The first images of `x`, uint8 (n, H, W, C), row by row on one sheet; None when there are none."""
    x = _checked(x)[:MAX_IMAGES]
    if not len(x):
        return None
    x = _bounded(x, _GRID_BYTES)
    n, height, width, channels = x.shape
    columns = _columns(n)
    rows = math.ceil(n / columns)
    gap = max(1, width // 14)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, channels + 1), dtype=np.uint8)
    for place, image in enumerate(x):
        top, left = (place // columns) * (height + gap), (place % columns) * (width + gap)
        sheet[top : top + height, left : left + width, :channels] = image
        sheet[top : top + height, left : left + width, channels] = 255
    return _png(sheet, max(1, round(_GRID_PX / sheet.shape[1])))


def tiles(x: np.ndarray) -> list[Picture]:
    """The first images of `x`, each on its own."""
    x = _bounded(_checked(x)[:MAX_TILES], _GRID_BYTES // 2)
    return [_png(image, max(1, round(_TILE_PX / image.shape[1]))) for image in x]


def _checked(x: np.ndarray) -> np.ndarray:
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3):
        raise ValueError(f"images must be uint8 (n, H, W, 1 or 3), not {x.dtype} {x.shape}")
    return x


def _columns(n: int) -> int:
    """A divisor of n that makes the sheet about twice as wide as high, or about that when there is none."""
    wanted = math.sqrt(2 * n)
    divisors = [d for d in range(1, n + 1) if n % d == 0 and wanted / 1.5 <= d <= wanted * 1.5]
    return min(divisors, key=lambda d: abs(d - wanted)) if divisors else math.ceil(wanted)


def _bounded(x: np.ndarray, budget_bytes: int) -> np.ndarray:
    """`x` reduced by area averaging to at most about `budget_bytes` in all."""
    scale = math.sqrt(budget_bytes / max(x.size, 1))
    if scale >= 1:
        return x
    size = max(1, int(x.shape[2] * scale)), max(1, int(x.shape[1] * scale))
    small = [np.asarray(_image(image).resize(size, Image.Resampling.BOX)) for image in x]
    return np.stack(small).reshape(len(x), size[1], size[0], x.shape[3])


def _image(pixels: np.ndarray) -> Image.Image:
    """A PIL image of (H, W, C); C = 1, 2, 3, 4 is grey, grey with alpha, RGB, RGBA."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _png(pixels: np.ndarray, enlarge: int) -> Picture:
    out = io.BytesIO()
    large = pixels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    _image(large).save(out, format="PNG")
    uri = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return Picture(uri, large.shape[1], large.shape[0])
