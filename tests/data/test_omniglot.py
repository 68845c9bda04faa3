"""Omniglot from its archives or packed: the same drawings, each in its class, ink white, areas kept."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lfiw_ray.config import DataConfig
from lfiw_ray.data import omniglot
from lfiw_ray.data.download import md5_of
from lfiw_ray.data.load import load
from lfiw_ray.data.omniglot import load_omniglot, shrunk
from lfiw_ray.errors import ConfigError, DataError

NAMES = [
    f"images_{kind}/{alphabet}/character{character:02d}/{character:04d}_{drawer:02d}.png"
    for kind, alphabet in (("background", "Greek"), ("background", "Latin"), ("evaluation", "Atlantean"))
    for character in (1, 2)
    for drawer in (1, 2, 3)
]
INK = (np.random.default_rng(0).random((len(NAMES), 105, 105)) < 0.2).astype(np.uint8)


def write_packed(folder: Path, order: np.ndarray) -> None:
    bits = np.packbits(INK.reshape(len(INK), -1), axis=1)
    np.savez(folder / "omniglot.npz", bits=bits[order], names=np.array(NAMES)[order])


def write_archives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {}
    for kind in ("images_background", "images_evaluation"):
        with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
            archive.writestr(f"{kind}/", "")
            for name, ink in zip(NAMES, INK, strict=True):
                if name.startswith(kind):
                    buffer = io.BytesIO()
                    Image.fromarray((1 - ink) * np.uint8(255)).convert("1").save(buffer, "PNG")
                    archive.writestr(name, buffer.getvalue())
        sums[f"{kind}.zip"] = md5_of((folder / f"{kind}.zip").read_bytes())
    monkeypatch.setattr(omniglot, "ARCHIVES", sums)


def test_a_drawing_keeps_its_class_and_its_ink(tmp_path: Path) -> None:
    write_packed(tmp_path, np.random.default_rng(1).permutation(len(NAMES)))
    data = load_omniglot(str(tmp_path))
    assert (data.x.shape, data.x.dtype) == ((18, 28, 28, 1), np.uint8)
    assert data.class_names is not None
    assert [data.class_names[label] for label in data.labels] == [name.rpartition("/")[0] for name in NAMES]
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    assert data.x.mean(axis=(1, 2, 3)) / 255 == pytest.approx(INK.mean(axis=(1, 2)), abs=2e-3)


def test_the_archives_hold_the_same_as_the_packed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_packed(tmp_path, np.arange(len(NAMES)))
    packed = load(DataConfig(name="omniglot", path=str(tmp_path / "omniglot.npz")))
    write_archives(tmp_path, monkeypatch)
    published = load(DataConfig(name="omniglot", path=str(tmp_path)))
    assert np.array_equal(published.x, packed.x)
    assert np.array_equal(published.labels, packed.labels)
    assert published.class_names == packed.class_names
    (tmp_path / "images_background.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"images_background\.zip: 2 bytes with MD5 .*, expected .*published one"):
        load_omniglot(str(tmp_path))


def test_a_small_pixel_is_the_mean_over_its_area() -> None:
    fine = np.zeros((1, 105, 105), np.uint8)
    fine[0, :15, :15] = 1  # 15 = 4 small pixels
    fine[0, 15, 20] = 1  # 20 .. 21 lies in small pixel 5, 18.75 .. 22.5
    x = shrunk(fine)[0, :, :, 0]
    assert (x[:4, :4] == 255).all()
    assert x[4, 5] == round(255 / 3.75**2)
    assert x.sum() == 16 * 255 + int(x[4, 5])
    across = np.zeros((1, 105, 105), np.uint8)
    across[0, 0, 3] = 1  # 3 .. 4: 0.75 of it in the first small pixel
    assert shrunk(across)[0, 0, :3, 0].tolist() == [round(255 * 0.75 / 3.75**2), round(255 * 0.25 / 3.75**2), 0]
    assert (shrunk(np.ones((2, 105, 105), np.uint8)) == 255).all()


@pytest.mark.parametrize("kept", [0, 100, -50])
def test_a_torn_file_is_named(tmp_path: Path, kept: int) -> None:
    write_packed(tmp_path, np.arange(len(NAMES)))
    path = tmp_path / "omniglot.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"omniglot\.npz \(\d+ bytes\): truncated or altered"):
        load_omniglot(str(tmp_path))


def test_arrays_of_other_shapes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "omniglot.npz", bits=np.zeros((3, 1378), np.uint8), names=np.array(NAMES[:3]))
    with pytest.raises(DataError, match=r"`bits` must be \(N, 1379\) uint8 and `names` N texts"):
        load_omniglot(str(tmp_path))


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"neither images_background\.zip and images_evaluation\.zip .* nor omniglot\.npz"
    ):
        load_omniglot(str(tmp_path))
    with pytest.raises(ConfigError, match=r"data\.path: needed for data\.name = 'omniglot'"):
        load(DataConfig(name="omniglot"))


def test_the_real_drawings(shared_data: Path) -> None:
    data = load_omniglot(str(shared_data))
    assert data.x.shape == (32_460, 28, 28, 1)
    assert np.bincount(data.labels).tolist() == [20] * 1623
    assert 0.03 < data.x.mean() / 255 < 0.12
