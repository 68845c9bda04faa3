"""Encoded image files to pixels."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lfiw_ray.data.decode import decode
from lfiw_ray.errors import DataError

Encode = Callable[..., bytes]


def png(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)])
def test_lossless_formats_give_the_pixels_back(kind: str, shape: tuple[int, ...], encode: Encode, pictures):
    pixels = pictures(1, *shape)[0]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(encode(pixels, kind, **options), "a")
    if kind == "WEBP" and len(shape) == 2:  # WebP has no grey: it comes back as three equal channels
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, pixels.reshape(6, 9, -1))


def test_jpeg_keeps_its_channels(encode: Encode):
    assert decode(encode(np.full((8, 8), 90, np.uint8), "JPEG"), "a").shape == (8, 8, 1)
    colour = decode(encode(np.full((8, 8, 3), [200, 10, 90], np.uint8), "JPEG", quality=95), "a")
    assert colour.shape == (8, 8, 3)
    assert np.abs(colour[4, 4].astype(int) - [200, 10, 90]).max() < 8


def test_one_bit_becomes_0_and_255():
    bits = Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert("1")
    assert decode(png(bits), "a")[:, :, 0].tolist() == (np.eye(4, dtype=int) * 255).tolist()


def test_a_palette_becomes_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode(png(image), "a").tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize(("mode", "channels"), [("LA", 1), ("RGBA", 3)])
def test_an_opaque_alpha_channel_is_dropped_and_a_real_one_refused(mode: str, channels: int):
    image = Image.new(mode, (3, 2), (7, 255) if mode == "LA" else (7, 7, 7, 255))
    assert decode(png(image), "a").tolist() == [[[7] * channels] * 3] * 2
    image.putpixel((0, 0), (7, 254) if mode == "LA" else (7, 7, 7, 254))
    with pytest.raises(DataError, match=r"^a\.png: the image is partly transparent"):
        decode(png(image), "a.png")


def test_a_transparent_palette_entry_is_refused():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    with pytest.raises(DataError, match="partly transparent"):
        decode(png(image, transparency=0), "a")


def test_sixteen_bits_cmyk_and_animations_are_refused():
    with pytest.raises(DataError, match=r"^a: colour mode I;16 is not supported"):
        decode(png(Image.new("I;16", (2, 2))), "a")
    cmyk = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(cmyk, "JPEG")
    with pytest.raises(DataError, match="colour mode CMYK"):
        decode(cmyk.getvalue(), "a")
    frames = [Image.new("L", (4, 4), value) for value in (0, 9)]
    with pytest.raises(DataError, match="2 frames"):
        decode(png(frames[0], save_all=True, append_images=frames[1:]), "a")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_half_a_file_is_refused(kind: str, encode: Encode, pictures):
    data = encode(pictures(1, 16, 16)[0], kind)
    with pytest.raises(DataError, match=rf"^row 3: the image cannot be read \({len(data) // 2} bytes\)"):
        decode(data[: len(data) // 2], "row 3")


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + bytes(30)])
def test_other_bytes_are_no_image(data: bytes):
    with pytest.raises(DataError, match="not a PNG, JPEG, WebP or BMP image"):
        decode(data, "a")


def test_no_flipped_bit_of_a_png_changes_a_pixel_unseen(encode: Encode, pictures):
    pixels = pictures(1, 8, 8)[0]
    data = encode(pixels)
    survivors = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode(bytes(damaged), "a")
        except DataError:
            continue
        survivors += 1
        assert np.array_equal(decoded[:, :, 0], pixels)
    assert survivors < 8 * 12  # only bits of the end chunk, which holds nothing
