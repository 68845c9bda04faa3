"""Inception: real weights against torch-fidelity's own extractor, and every way a weights file can be wrong."""

import dataclasses
import hashlib
import pickle
import subprocess
import sys
import urllib.error
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from lfiw_ray.errors import DataError
from lfiw_ray.models import extractors, inception
from lfiw_ray.models.torchvision_ops import load_torch_fidelity


@pytest.fixture(scope="module")
def trunk(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real weights without the head (fc is NaN)."""
    out = tmp_path_factory.mktemp("inception") / "trunk.pth"
    subprocess.run([sys.executable, shared_data / "inception_weights.py", out], check=True, stdout=subprocess.DEVNULL)
    return out


@pytest.fixture(scope="module")
def cifar(shared_data: Path) -> np.ndarray:
    """(4, 32, 32, 3) uint8."""
    column = next(pq.ParquetFile(shared_data / "cifar10.parquet").iter_batches(batch_size=4, columns=["image"]))[0]
    return np.stack([np.asarray(Image.open(BytesIO(image)).convert("RGB")) for image in column.to_pylist()])


def test_trunk_gives_standard_features_and_refuses_the_score(trunk: Path, cifar: np.ndarray) -> None:
    fidelity = load_torch_fidelity()
    theirs = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(trunk))
    (expected,) = theirs(torch.from_numpy(cifar).permute(0, 3, 1, 2))
    extractor = extractors.inception(trunk)
    found = extractor.extract(cifar)
    np.testing.assert_allclose(found.features, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert found.probabilities is None
    assert extractor.num_classes is None
    assert "not finite" in str(extractor.no_probabilities)
    assert extractor.weights_sha256 == hashlib.sha256(trunk.read_bytes()).hexdigest()


def test_a_finite_head_gives_probabilities(trunk: Path, cifar: np.ndarray, tmp_path: Path) -> None:
    """A made-up head on the real trunk: softmax of its logits without bias; grey images are repeated."""
    state = torch.load(trunk, weights_only=True)
    state["fc.weight"] = torch.randn(1008, 2048, generator=torch.Generator().manual_seed(0)) * 0.1
    state["fc.bias"] = torch.full((1008,), 5.0).cumsum(0)
    torch.save(state, tmp_path / "whole.pth")
    extractor = dataclasses.replace(extractors.inception(tmp_path / "whole.pth"), batch_size=2)
    grey = cifar[:2, :, :, :1]
    found = extractor.extract(np.repeat(grey, 3, axis=3))
    assert extractor.num_classes == 1008
    assert found.probabilities is not None
    logits = torch.from_numpy(found.features) @ state["fc.weight"].T
    np.testing.assert_allclose(found.probabilities, logits.softmax(1), rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(extractor.extract(grey).features, found.features)


def _save(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path(_Trap.target),)

    target = ""


def test_a_file_that_runs_code_is_not_run(tmp_path: Path) -> None:
    _Trap.target = str(tmp_path / "sprung")
    path = tmp_path / "trap.pth"
    torch.save({"fc.bias": _Trap()}, path)
    with pytest.raises(DataError, match=r"evaluate\.inception_weights.*trap\.pth"):
        inception.load(path)
    path.write_bytes(pickle.dumps(_Trap(), protocol=2))
    with pytest.raises(DataError, match=r"trap\.pth"):
        inception.load(path)
    assert not (tmp_path / "sprung").exists()


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.pth"):
        inception.load(tmp_path / "none.pth")
    whole = _save(tmp_path / "whole.pth", {"a": torch.zeros(1000)}).read_bytes()
    for name, data in {"empty": b"", "text": b"<html>404</html>", "cut": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name} is no PyTorch file"):
            inception.load(tmp_path / name)
    with pytest.raises(DataError, match="no dictionary of tensors"):
        inception.load(_save(tmp_path / "list.pth", [torch.zeros(2)]))
    with pytest.raises(DataError, match="NaN or infinity in conv"):
        inception.load(_save(tmp_path / "nan.pth", {"conv": torch.tensor([torch.nan])}))
    with pytest.raises(DataError, match="does not hold the weights of inception-v3-compat"):
        inception.load(_save(tmp_path / "other.pth", {"conv": torch.zeros(2)}))


def test_no_file_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(DataError) as caught:
        inception.load()
    message = str(caught.value)
    assert "no route to host" in message
    assert "https://github.com/toshas/torch-fidelity/releases" in message
    assert str(tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth") in message
    assert "evaluate.inception_weights" in message


def test_the_downloaded_file_is_used(trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(url: str, path: str, hash_prefix: str) -> None:
        assert url.endswith(Path(path).name)
        assert hash_prefix == "6726825d"
        Path(path).write_bytes(trunk.read_bytes())

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", copied)
    assert inception.load().weights_sha256 == hashlib.sha256(trunk.read_bytes()).hexdigest()
    monkeypatch.delattr(torch.hub, "download_url_to_file")
    assert inception.load().no_probabilities is not None  # found again, not fetched again
