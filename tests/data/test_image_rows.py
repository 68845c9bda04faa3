"""Rows of a folder of samples: the right row whatever the files, and errors that name what is wrong."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lfiw_ray.data.image_rows import ImageRows
from lfiw_ray.errors import ConfigError, DataError

ROWS = 700


def pixels(rows: np.ndarray) -> np.ndarray:
    """(n, 4, 4, 1) uint8 that tell a row's number."""
    x = np.zeros((len(rows), 16), np.uint8)
    x[:, 0], x[:, 1] = rows // 256, rows % 256
    return x.reshape(-1, 4, 4, 1)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0]).save(buffer, "PNG")
    return buffer.getvalue()


def write_raw(path: Path, rows: np.ndarray, column: str = "x", side: int = 4, labels: bool = True) -> None:
    raw = pixels(rows).reshape(len(rows), 16)[:, : side * side]
    images = pa.array([row.tobytes() for row in raw], pa.binary(side * side))
    columns = {column: images} | ({"label": pa.array(rows % 7)} if labels else {})
    table = pa.table(columns).replace_schema_metadata({"shape": json.dumps([side, side, 1])})
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(table, path, row_group_size=97)


def write_encoded(path: Path, rows: np.ndarray) -> None:
    structs = [{"bytes": png(image), "path": None} for image in pixels(rows)]
    pq.write_table(pa.table({"image": structs}), path, row_group_size=60)


@pytest.fixture(params=["raw", "encoded", "png"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """700 rows, in two files of Parquet (one in a sub-folder), or in a file each."""
    cut = np.split(np.arange(ROWS), [300])
    if request.param == "raw":
        write_raw(tmp_path / "a" / "00001.parquet", cut[0])
        write_raw(tmp_path / "b.parquet", cut[1])
        (tmp_path / "a" / "00001.json").write_text("{}")  # a done mark
    elif request.param == "encoded":
        for name, rows in zip("ab", cut, strict=True):
            write_encoded(tmp_path / f"{name}.parquet", rows)
    else:
        for row, image in enumerate(pixels(np.arange(ROWS))):
            (tmp_path / f"{row:05d}.png").write_bytes(png(image))
    return tmp_path


def test_rows_come_in_the_order_they_are_asked_for(folder: Path) -> None:
    images = ImageRows(str(folder))
    assert images.num_rows == ROWS
    for rows in (np.arange(ROWS), np.arange(250, 350), np.array([699, 0, 300, 299, 0]), np.array([5])):
        assert np.array_equal(images.read(rows).x, pixels(rows))
        assert images.read(rows).labels is None


def test_labels_stay_with_their_rows(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.parquet", np.arange(300))
    rows = np.array([299, 3, 98, 97])
    assert ImageRows(str(tmp_path), labelled=True).read(rows).labels.tolist() == (rows % 7).tolist()


def test_the_fingerprint_follows_names_sizes_and_ends_not_the_place(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        write_raw(place / "a.parquet", np.arange(300))
    one, two = (ImageRows(str(place)).fingerprint() for place in places)
    assert one == two
    write_raw(places[1] / "a.parquet", np.arange(1, 301))
    assert ImageRows(str(places[1])).fingerprint() != one
    (places[0] / "a.parquet").rename(places[0] / "b.parquet")
    assert ImageRows(str(places[0])).fingerprint() != one


def test_the_column_of_images_is_x_or_image_or_the_one_that_is_named(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.parquet", np.arange(9), column="picture")
    with pytest.raises(ConfigError, match=r"a\.parquet has no column x or image; it has picture, label"):
        ImageRows(str(tmp_path))
    assert ImageRows(str(tmp_path), "picture").num_rows == 9


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \*\.parquet, \.png.* file .*; check generator\.external\.path"):
        ImageRows(str(tmp_path))
    with pytest.raises(ConfigError, match=r"generator\.external\.path 'nowhere://x' cannot be used"):
        ImageRows("nowhere://x")
    write_raw(tmp_path / "a.parquet", np.arange(9), labels=False)
    with pytest.raises(ConfigError, match=r"external\.labels: .*a\.parquet has no column `label`, only x"):
        ImageRows(str(tmp_path), labelled=True)
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"b\.parquet: not a whole Parquet file"):
        ImageRows(str(tmp_path))


def test_image_files_have_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(pixels(np.arange(1))[0]))
    with pytest.raises(ConfigError, match=r"external\.labels: .* holds image files, which have no column"):
        ImageRows(str(tmp_path), labelled=True)


def test_images_of_several_shapes_are_told(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.parquet", np.arange(9))
    write_raw(tmp_path / "b.parquet", np.arange(9), side=2)
    with pytest.raises(DataError, match=r"rows 0\.\.17: images of 2x2x1 and 4x4x1; one shape is needed"):
        ImageRows(str(tmp_path)).read(np.arange(18))
