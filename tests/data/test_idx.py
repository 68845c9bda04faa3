"""The idx format."""

import gzip
import re

import numpy as np
import pytest

from lfiw_ray.data.idx import parse_idx
from lfiw_ray.errors import DataError

HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3])


def test_images_and_labels():
    images = parse_idx(gzip.compress(HEADER + bytes(range(12))), "images")
    assert images.tolist() == np.arange(12).reshape(2, 2, 3).tolist()
    assert images.dtype == np.uint8
    assert parse_idx(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 9])), "labels").tolist() == [5, 0, 9]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(HEADER + bytes(11)), r"f\.gz: 27 bytes unpacked.*\(2, 2, 3\).* 28"),
        (gzip.compress(HEADER + bytes(13)), r"29 bytes unpacked.* 28"),
        (gzip.compress(HEADER[:10]), r"10 bytes unpacked"),
        (gzip.compress(b"\x00\x00\x08\x00"), r"4 bytes unpacked"),
        (gzip.compress(bytes([0, 0, 13, 3]) + HEADER[4:] + bytes(12)), r"with 00 00 0d 03"),
        (gzip.compress(b""), r"does not start as an idx file"),
        (gzip.compress(HEADER + bytes(12))[:-9], r"not a whole gzip file \(\d+ bytes\)"),
        (b"plain", r"not a whole gzip file \(5 bytes\)"),
        (b"", r"does not start as an idx file|not a whole gzip file"),
    ],
)
def test_damaged_files_are_named(data: bytes, message: str):
    with pytest.raises(DataError, match=message) as caught:
        parse_idx(data, "f.gz")
    assert re.match(r"f\.gz: ", str(caught.value))


def test_every_flipped_bit_of_the_compressed_body_is_found():
    data = gzip.compress(HEADER + bytes(range(12)))
    for position in range(10, len(data)):  # the gzip header itself has no checksum
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(DataError):
            parse_idx(bytes(damaged), "f.gz")
