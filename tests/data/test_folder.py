"""A folder of PNG and JPEG files."""

from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from lfiw_ray.config import DataConfig
from lfiw_ray.data.load import ImageData, load
from lfiw_ray.errors import ConfigError, DataError

Encode = Callable[..., bytes]


def load_images(path: object) -> ImageData:
    return load(DataConfig(name="images", path=str(path)))


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_sorted_by_name_and_without_labels(tmp_path: Path, encode: Encode, pictures):
    x = pictures(3, 6, 5)
    write(tmp_path, {"c.png": encode(x[2]), "sub/a.png": encode(x[1]), "B.PNG": encode(x[0]), "notes.txt": b"no image"})
    data = load_images(tmp_path)
    assert np.array_equal(data.x[..., 0], x[[0, 2, 1]])  # B.PNG, c.png, sub/a.png
    assert (data.labels, data.class_names, data.name) == (None, None, "images")


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_first_sub_folder_is_the_class(tmp_path: Path, encode: Encode, pictures, slash: str):
    x = pictures(4, 6, 5, 3)
    names = ["dog/1.png", "cat/2.png", "cat/deep/1.png", "eel/x.png"]
    write(tmp_path, {name: encode(image) for name, image in zip(names, x, strict=True)})
    data = load_images(f"{tmp_path}{slash}")
    assert data.class_names == ("cat", "dog", "eel")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1, 2]
    assert data.labels.dtype == np.int64
    assert np.array_equal(data.x, x[[1, 2, 0, 3]])


def test_jpeg_and_odd_names(tmp_path: Path, encode: Encode):
    grey = np.full((8, 8), 77, np.uint8)
    write(tmp_path, {"a[1]*.jpg": encode(grey, "JPEG"), "b ü.jpeg": encode(grey, "JPEG")})
    assert load_images(tmp_path).x.tolist() == [np.full((8, 8, 1), 77).tolist()] * 2


def test_a_url(memory: fsspec.AbstractFileSystem, encode: Encode, pictures):
    x = pictures(2, 4, 4)
    memory.pipe({"/set/zebra/0.png": encode(x[1]), "/set/ant/0.png": encode(x[0])})
    data = load_images("memory://set")
    assert np.array_equal(data.x[..., 0], x)
    assert data.class_names == ("ant", "zebra")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]


def test_the_first_image_of_another_size_is_named(tmp_path: Path, encode: Encode, pictures):
    write(tmp_path, {f"{n:03}.png": encode(pictures(1, 6, 5)[0]) for n in range(40)})
    write(tmp_path, {"020.png": encode(pictures(1, 5, 6)[0]), "030.png": encode(pictures(1, 9, 9)[0])})
    with pytest.raises(DataError, match=r"/020\.png: the image is 5x6x1, but .*/000\.png is 6x5x1"):
        load_images(tmp_path)


def test_grey_among_colour_is_refused(tmp_path: Path, encode: Encode, pictures):
    write(tmp_path, {"a.png": encode(pictures(1, 6, 5, 3)[0]), "b.png": encode(pictures(1, 6, 5)[0])})
    with pytest.raises(DataError, match=r"/b\.png: the image is 6x5x1, but .*/a\.png is 6x5x3"):
        load_images(tmp_path)


def test_a_corrupt_image_is_named(tmp_path: Path, encode: Encode, pictures):
    good = encode(pictures(1, 6, 5)[0])
    write(tmp_path, {"a.png": good, "b.png": good[:50], "c.png": good})
    with pytest.raises(DataError, match=r"/b\.png: the image cannot be read \(50 bytes\)"):
        load_images(tmp_path)


def test_a_folder_without_images_or_that_is_not_there(tmp_path: Path):
    (tmp_path / "readme.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "gone", "memory://gone"):
        with pytest.raises(DataError, match=r"no \.png, \.jpg, \.jpeg file in this folder"):
            load_images(path)


def test_an_unreadable_path_is_a_config_error():
    with pytest.raises(ConfigError, match=r"data\.path 'abfs://x' cannot be used: .*adlfs"):
        load_images("abfs://x")
    with pytest.raises(ConfigError, match=r"data\.path: needed for data\.name = 'images'"):
        load(DataConfig(name="images"))
