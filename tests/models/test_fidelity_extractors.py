"""torch-fidelity's other feature spaces: small networks with random weights, loaded as the real ones are."""

import hashlib
import pickle
import urllib.error
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lfiw_ray.errors import DataError
from lfiw_ray.models import extractors, fidelity_extractors
from lfiw_ray.models.dinov2 import DinoV2, Size
from lfiw_ray.models.fidelity_extractors import ClipSize
from lfiw_ray.models.torchvision_ops import load_torch_fidelity

fidelity = load_torch_fidelity()
NAMES = ["vgg16", "clip-rn50", "clip-vit-b-32", "dinov2-vit-s-14", "dinov2-vit-g-14"]


def _vgg() -> nn.Module:
    """A VGG16 of one narrow convolution, with the classifier's seven layers."""
    net = nn.Module()
    net.features = nn.Sequential(nn.Conv2d(3, 16, 7, stride=16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.classifier = nn.Sequential(
        nn.Linear(16, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 48), nn.ReLU(), nn.Dropout(), nn.Linear(48, 5)
    )
    net.forward = lambda x: net.classifier(net.features(x))  # type: ignore[method-assign]
    return net


def _clip_state(patch: int | None) -> dict[str, torch.Tensor]:
    build = fidelity.feature_extractor_clip.CLIPVisual
    net = build(12, 32, 2, 64, patch) if patch else build(12, 32, (1, 1, 1, 1), 4, None)
    return {**net.state_dict(), "text_projection": torch.zeros(3, 12), "ln_final.weight": torch.zeros(3)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[dict[str, torch.Tensor], int]]:
    """Small architectures under the names of the large ones; gives random tensors and the number of features."""
    monkeypatch.setattr(fidelity.feature_extractor_vgg16.torchvision.models, "vgg16", _vgg)
    monkeypatch.setitem(fidelity_extractors.CLIP, "clip-rn50", ClipSize(12, 32, None))
    monkeypatch.setitem(fidelity_extractors.CLIP, "clip-vit-b-32", ClipSize(12, 32, 8))
    monkeypatch.setitem(fidelity_extractors.DINOV2, "dinov2-vit-s-14", Size(24, 2, 3))
    monkeypatch.setitem(fidelity_extractors.DINOV2, "dinov2-vit-g-14", Size(24, 2, 3, gated=True))

    def state_of(name: str) -> tuple[dict[str, torch.Tensor], int]:
        torch.manual_seed(0)
        if name == "vgg16":
            return _vgg().state_dict(), 48
        if name.startswith("clip"):
            return _clip_state(8 if "vit" in name else None), 12
        net = DinoV2(fidelity_extractors.DINOV2[name])
        return {key: 0.2 * torch.randn_like(value) for key, value in net.state_dict().items()}, 24

    return state_of


def _saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def _images(num: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num, 20, 24, channels), dtype=np.uint8)


def test_the_names_are_torch_fidelitys() -> None:
    ours = [name for name in fidelity.registry.FEATURE_EXTRACTORS_REGISTRY if not name.startswith("lfiw-")]
    assert sorted(extractors.FIDELITY_NAMES) == sorted(ours)
    with pytest.raises(ValueError, match=r"one of vgg16, .*got 'vgg19'"):
        extractors.by_fidelity_name("vgg19")


@pytest.mark.parametrize("name", NAMES)
def test_features_of_a_local_file(
    name: str, small: Callable[[str], tuple[dict[str, torch.Tensor], int]], tmp_path: Path
) -> None:
    """Shape, digest, no classes; a row's features depend on no other row; grey is repeated."""
    state, num_features = small(name)
    path = _saved(tmp_path / "weights.pth", state)
    extractor = extractors.by_fidelity_name(name, path)
    x = _images(11)
    found = extractor.extract(x)
    assert found.features.shape == (11, num_features) == (11, extractor.num_features)
    assert np.ptp(found.features, axis=0).max() > 0
    assert found.probabilities is None
    assert (extractor.name, extractor.num_classes) == (name, None)
    assert name in str(extractor.no_probabilities)
    assert extractor.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for rows in (slice(0, 1), slice(7, 10), slice(5, 11)):
        np.testing.assert_array_equal(extractor.extract(x[rows]).features, found.features[rows])
    grey = _images(3, channels=1)
    repeated = extractor.extract(np.repeat(grey, 3, axis=3)).features
    np.testing.assert_array_equal(extractor.extract(grey).features, repeated)


def test_grey_files_are_to_torch_fidelity_what_grey_rows_are_to_us(tmp_path: Path) -> None:
    """It reads files as colour images: the three channels are the grey one."""
    grey = _images(1, channels=1)[0]
    Image.fromarray(grey[:, :, 0]).save(tmp_path / "grey.png")
    theirs = fidelity.datasets.ImagesPathDataset([str(tmp_path / "grey.png")])[0]
    np.testing.assert_array_equal(theirs.permute(1, 2, 0), np.repeat(grey, 3, axis=2))


def test_vgg_features_are_torch_fidelitys(
    small: Callable[[str], tuple[dict[str, torch.Tensor], int]], tmp_path: Path
) -> None:
    """Of the file itself, read by torch-fidelity in its own way."""
    path = _saved(tmp_path / "weights.pth", small("vgg16")[0])
    x = _images(3)
    theirs = fidelity.FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(path))
    (expected,) = theirs(torch.from_numpy(x).permute(0, 3, 1, 2))
    found = extractors.by_fidelity_name("vgg16", path).extract(x).features
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def _nested(state: dict[str, torch.Tensor]) -> nn.Module:
    """A module with these parameters, for an archive."""

    class Top(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    top = Top()
    for name, value in state.items():
        *folders, last = name.split(".")
        inner: nn.Module = top
        for folder in folders:
            if folder not in dict(inner.named_children()):
                inner.add_module(folder, nn.Module())
            inner = inner.get_submodule(folder)
        inner.register_buffer(last, value)
    return top


@pytest.fixture
def archive(small: Callable[[str], tuple[dict[str, torch.Tensor], int]], tmp_path: Path) -> Path:
    """A TorchScript archive, the form CLIP is published in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(_nested(small("clip-vit-b-32")[0])), tmp_path / "clip.pt")
    return tmp_path / "clip.pt"


def test_clips_archive_is_opened_only_when_it_is_the_published_one(
    archive: Path,
    small: Callable[[str], tuple[dict[str, torch.Tensor], int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "clip-vit-b-32"
    plain = extractors.by_fidelity_name(name, _saved(tmp_path / "plain.pt", small(name)[0]))
    opened: list[object] = []
    load = torch.jit.load
    monkeypatch.setattr(torch.jit, "load", lambda *args, **more: opened.append(args) or load(*args, **more))
    with pytest.raises(DataError, match=r"clip\.pt is a TorchScript archive.*not the published one of clip-vit-b-32"):
        extractors.by_fidelity_name(name, archive)
    assert opened == []
    published = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(fidelity.feature_extractor_clip.MODEL_METADATA[name], "hash", published)
    x = _images(2)
    np.testing.assert_array_equal(
        extractors.by_fidelity_name(name, archive).extract(x).features, plain.extract(x).features
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = fidelity.FeatureExtractorCLIP(name, ["clip"], feature_extractor_weights_path=str(archive))
    (expected,) = theirs(torch.from_numpy(x).permute(0, 3, 1, 2))
    np.testing.assert_allclose(plain.extract(x).features, expected, rtol=1e-4, atol=1e-5)


def test_another_network_under_a_name_is_refused(
    small: Callable[[str], tuple[dict[str, torch.Tensor], int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _saved(tmp_path / "other.pth", small("clip-vit-b-32")[0])
    monkeypatch.setitem(fidelity_extractors.CLIP, "clip-vit-b-16", ClipSize(12, 32, 16))
    for name in ("clip-vit-b-16", "clip-rn50", "vgg16", "dinov2-vit-s-14"):
        with pytest.raises(DataError, match=f"evaluate.extractor_weights: .*other.pth does not hold the .* of {name}"):
            extractors.by_fidelity_name(name, path)


class _Trap:
    target = ""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path(_Trap.target),)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_files_are_named_and_nothing_in_them_runs(name: str, tmp_path: Path) -> None:
    _Trap.target = str(tmp_path / "sprung")
    whole = _saved(tmp_path / "whole", {"a": torch.zeros(1000)}).read_bytes()
    files = {
        "trap": pickle.dumps({"a": _Trap()}, protocol=2),
        "zipped": _saved(tmp_path / "z", {"a": _Trap()}).read_bytes(),
        "text": b"<html>404</html>",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
    }
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
        with pytest.raises(DataError, match=f"evaluate.extractor_weights: .*{file} is no PyTorch file"):
            extractors.by_fidelity_name(name, tmp_path / file)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(DataError, match=r"cannot read .*none\.pth"):
        extractors.by_fidelity_name(name, tmp_path / "none.pth")
    with pytest.raises(DataError, match="NaN or infinity in a"):
        extractors.by_fidelity_name(name, _saved(tmp_path / "nan", {"a": torch.tensor([torch.nan])}))


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """Downloads fail; gives the addresses and digests asked for."""
    asked: list[tuple[str, str | None]] = []

    def refused(url: str, path: str, hash_prefix: str | None) -> None:
        asked.append((url, hash_prefix))
        raise urllib.error.URLError(f"no route to host for {Path(path).name}")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    return asked


@pytest.mark.parametrize("name", fidelity_extractors.NAMES)
def test_no_file_and_no_network(name: str, tmp_path: Path, no_network: list[tuple[str, str | None]]) -> None:
    with pytest.raises(DataError) as caught:
        extractors.by_fidelity_name(name)
    ((url, sha256),) = no_network
    message = str(caught.value)
    assert url.startswith("https://")
    assert url in message
    assert "no route to host" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "evaluate.extractor_weights" in message
    if name.startswith("clip"):
        assert url == fidelity.feature_extractor_clip.MODEL_URLS[name]
        assert sha256 == fidelity.feature_extractor_clip.MODEL_METADATA[name]["hash"]
    elif name == "vgg16":
        assert sha256 == "397923af"
    else:
        hub = fidelity.feature_extractor_dinov2.MODEL_METADATA[name]
        assert url == f"https://dl.fbaipublicfiles.com/dinov2/{hub}/{hub}_pretrain.pth"


def test_the_downloaded_file_is_used_again(
    small: Callable[[str], tuple[dict[str, torch.Tensor], int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = small("dinov2-vit-s-14")[0]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda _, path, hash_prefix: _saved(Path(path), state))  # noqa: ARG005
    first = extractors.by_fidelity_name("dinov2-vit-s-14").weights_sha256
    monkeypatch.delattr(torch.hub, "download_url_to_file")
    assert extractors.by_fidelity_name("dinov2-vit-s-14").weights_sha256 == first
