"""Stacking images, and the fingerprint of a data set."""

import numpy as np
import pytest

from lfiw_ray.data.image_data import ImageData, fingerprint, stack
from lfiw_ray.errors import DataError


def data() -> ImageData:
    return ImageData(np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1), np.array([0, 1]), "a", None)


def test_the_fingerprint_is_stable():
    assert fingerprint(data()) == "e6d00e60297e504c"  # plans of existing runs hold this value


def test_the_fingerprint_sees_pixels_labels_and_shape_but_not_names():
    base = data()
    other_pixel = base.x.copy()
    other_pixel[1, 2, 3, 0] ^= 1
    variants = [
        base,
        base._replace(x=other_pixel),
        base._replace(x=base.x.reshape(2, 4, 3, 1)),
        base._replace(x=base.x[::-1]),
        base._replace(labels=np.array([1, 0])),
        base._replace(labels=None),
    ]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)
    assert fingerprint(base._replace(name="b", class_names=("x", "y"))) == fingerprint(base)


def test_the_fingerprint_does_not_depend_on_the_memory_layout():
    base = data()
    assert fingerprint(base._replace(x=np.asfortranarray(base.x))) == fingerprint(base)
    assert fingerprint(base._replace(labels=np.array([0, 1], np.int32))) == fingerprint(base)


def test_stack_keeps_the_order():
    images = [(str(n), np.full((2, 2, 1), n, np.uint8)) for n in range(3)]
    assert stack(images, "s")[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_stack_names_the_first_image_of_another_shape():
    shapes = [(4, 4, 1), (4, 4, 1), (4, 5, 1), (6, 6, 3)]
    images = [(f"row {n}", np.zeros(shape, np.uint8)) for n, shape in enumerate(shapes)]
    with pytest.raises(DataError, match=r"^row 2: the image is 4x5x1, but row 0 is 4x4x1"):
        stack(images, "s")


def test_stack_refuses_nothing_at_all():
    with pytest.raises(DataError, match=r"^s: holds no image"):
        stack([], "s")
