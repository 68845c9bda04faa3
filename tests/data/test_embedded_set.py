"""The data set inside the package."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lfiw_ray.config import DataConfig
from lfiw_ray.data import embedded_set
from lfiw_ray.data.load import load
from lfiw_ray.errors import ConfigError, DataError


def test_ten_thousand_images_in_ten_equal_classes():
    data = load(DataConfig())
    assert data.x.shape == (10_000, 28, 28, 1)
    assert data.x.dtype == np.uint8
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    assert np.bincount(data.labels).tolist() == [1_000] * 10
    assert data.class_names is not None
    assert data.class_names[int(data.labels[0])] == "Ankle boot"


def test_the_file_is_small_licensed_and_plain_parquet():
    assert embedded_set.FILE.stat().st_size <= 6_000_000
    licence = embedded_set.FILE.with_name("LICENSE-fashion-mnist").read_text()
    assert "Copyright © 2017 Zalando SE" in licence
    assert "The above copyright notice and this permission notice shall be included" in licence
    row = pq.read_table(embedded_set.FILE).slice(0, 1).to_pylist()[0]
    assert row["image"]["bytes"].startswith(b"\x89PNG")
    assert row["label"] == 9


def test_the_pixels_are_the_published_ones_in_the_published_order(shared_data: Path):
    images, labels = embedded_set.published_rows(str(shared_data / "fashion_mnist"))
    data = load(DataConfig())
    assert np.array_equal(data.x[..., 0], images)
    assert np.array_equal(data.labels, labels)
    assert hashlib.sha256(images.tobytes()).hexdigest() == embedded_set.PIXELS_SHA256


def test_rebuilt_from_the_idx_files_it_decodes_to_the_same_pixels(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rebuilt = embedded_set.build(*embedded_set.published_rows(str(shared_data / "fashion_mnist")))
    (tmp_path / "rebuilt.parquet").write_bytes(rebuilt)
    monkeypatch.setattr(embedded_set, "FILE", tmp_path / "rebuilt.parquet")
    monkeypatch.setattr(embedded_set, "FILE_SHA256", hashlib.sha256(rebuilt).hexdigest())
    assert load(DataConfig()).x.shape == (10_000, 28, 28, 1)  # the checksum of the pixels has been verified


def test_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = bytearray(embedded_set.FILE.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "altered.parquet").write_bytes(data)
    monkeypatch.setattr(embedded_set, "FILE", tmp_path / "altered.parquet")
    with pytest.raises(DataError, match=rf"altered.parquet \(4577310 bytes\).*expected {embedded_set.FILE_SHA256}"):
        load(DataConfig())


def test_other_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = embedded_set.build(np.zeros((3, 28, 28), np.uint8), np.arange(3))
    (tmp_path / "other.parquet").write_bytes(other)
    monkeypatch.setattr(embedded_set, "FILE", tmp_path / "other.parquet")
    monkeypatch.setattr(embedded_set, "FILE_SHA256", hashlib.sha256(other).hexdigest())
    with pytest.raises(DataError, match=r"decoded pixels of .*other.parquet"):
        load(DataConfig())


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded_set, "FILE", tmp_path / "gone.parquet")
    with pytest.raises(DataError, match=r"gone\.parquet: no such file"):
        load(DataConfig())


def test_a_path_is_refused():
    with pytest.raises(ConfigError, match=r"data\.path 'x'"):
        load(DataConfig(path="x"))
