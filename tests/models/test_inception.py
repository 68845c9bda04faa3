"""Inception: real weights against torch-fidelity's own extractor, and every way a weights file can be wrong."""

import dataclasses
import hashlib
import pickle
import subprocess
import sys
import urllib.error
from collections.abc import Callable
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
    """Folded, channels last and resized in two steps: torch-fidelity's features but for rounding."""
    fidelity = load_torch_fidelity()
    theirs = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(trunk))
    (expected,) = theirs(torch.from_numpy(cifar).permute(0, 3, 1, 2))
    extractor = extractors.inception(trunk)
    found = extractor.extract(cifar)
    np.testing.assert_allclose(found.features, expected.numpy(), rtol=1e-4, atol=1e-5)
    apart = np.linalg.norm(found.features - expected.numpy(), axis=1) / np.linalg.norm(expected.numpy(), axis=1)
    assert apart.max() < 1e-5
    assert found.probabilities is None
    assert extractor.num_classes is None
    assert "not finite" in str(extractor.no_probabilities)
    assert extractor.weights_sha256 == hashlib.sha256(trunk.read_bytes()).hexdigest()


def _with_head(trunk: Path, path: Path) -> tuple[Path, torch.Tensor]:
    """A made-up head on the real trunk."""
    state = torch.load(trunk, weights_only=True)
    state["fc.weight"] = torch.randn(1008, 2048, generator=torch.Generator().manual_seed(0)) * 0.1
    state["fc.bias"] = torch.full((1008,), 5.0).cumsum(0)
    torch.save(state, path)
    return path, state["fc.weight"]


def test_the_published_head_gives_probabilities(
    trunk: Path, cifar: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Softmax of the logits without bias; grey images are repeated."""
    path, head = _with_head(trunk, tmp_path / "whole.pth")
    monkeypatch.setattr(inception, "PUBLISHED_SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    extractor = dataclasses.replace(extractors.inception(path), batch_size=2)
    grey = cifar[:2, :, :, :1]
    found = extractor.extract(np.repeat(grey, 3, axis=3))
    assert extractor.num_classes == 1008
    assert found.probabilities is not None
    logits = torch.from_numpy(found.features) @ head.T
    np.testing.assert_allclose(found.probabilities, logits.softmax(1), rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(extractor.extract(grey).features, found.features)


def test_another_head_gives_features_and_no_score(trunk: Path, tmp_path: Path) -> None:
    """An Inception Score of another classifier would carry Inception's name."""
    extractor = extractors.inception(_with_head(trunk, tmp_path / "whole.pth")[0])
    assert extractor.num_classes is None
    assert "may be another classifier's" in str(extractor.describe()["no_probabilities"])
    assert "6726825d" in str(extractor.no_probabilities)
    assert extractor.extract(np.zeros((1, 8, 8, 3), np.uint8)).probabilities is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Conv2d_1a_3x3.conv.weight", lambda w: w[3].neg_()),
        ("Mixed_6c.branch7x7_2.bn.weight", lambda w: w.mul_(1.01)),
        ("Mixed_7c.branch1x1.conv.weight", lambda w: w[:2].copy_(w[[1, 0]])),
    ],
)
def test_altered_weights_are_found(
    trunk: Path, tmp_path: Path, name: str, change: Callable[[torch.Tensor], object]
) -> None:
    """Finite and of the right shapes, and still not Inception."""
    state = torch.load(trunk, weights_only=True)
    change(state[name])
    message = r"evaluate\.inception_weights: .*altered\.pth does not give the features of inception-v3-compat"
    with pytest.raises(DataError, match=message):
        inception.load(_save(tmp_path / "altered.pth", state))


def test_damaged_copies_of_the_real_file_are_found(trunk: Path, tmp_path: Path) -> None:
    """Truncated anywhere, one tensor with NaN, of another shape, or missing."""
    data = trunk.read_bytes()
    for share in (0.001, 0.5, 0.999):
        (tmp_path / "cut.pth").write_bytes(data[: int(share * len(data))])
        with pytest.raises(DataError, match=r"cut\.pth is no PyTorch file of plain tensors, or is damaged"):
            inception.load(tmp_path / "cut.pth")
    state = torch.load(trunk, weights_only=True)
    name = "Mixed_6a.branch3x3.conv.weight"
    with_nan = {**state, name: state[name].clone().index_fill_(0, torch.tensor([7]), torch.nan)}
    with pytest.raises(DataError, match=f"NaN or infinity in {name}"):
        inception.load(_save(tmp_path / "nan.pth", with_nan))
    with pytest.raises(DataError, match="does not hold the weights of inception-v3-compat"):
        inception.load(_save(tmp_path / "shape.pth", {**state, name: state[name][:5]}))
    del state[name]
    with pytest.raises(DataError, match="does not hold the weights of inception-v3-compat"):
        inception.load(_save(tmp_path / "missing.pth", state))


@pytest.mark.parametrize("shape", [(32, 32), (300, 20), (1, 5), (299, 299)])
def test_resizing_is_torch_fidelitys_to_the_bit(shape: tuple[int, int]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, *shape)).astype(np.float32))
    theirs = load_torch_fidelity().interpolate_compat_tensorflow.interpolate_bilinear_2d_like_tensorflow1x
    assert torch.equal(inception.resize(x, 299), theirs(x, size=(299, 299), align_corners=False))


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
