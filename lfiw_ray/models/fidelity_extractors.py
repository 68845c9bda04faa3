"""The other feature spaces of torch-fidelity 0.4: VGG16, CLIP and DINOv2, by the names it gives them.

Resizing, normalisation and the layer are torch-fidelity's, which runs the network; here its weights are read, without
trusting them (`weights_file`), because torch-fidelity's own way runs what is in the file:

| name | torch-fidelity loads | here |
|---|---|---|
| vgg16 | a pickle, without restriction | tensors only |
| clip-* | a TorchScript archive, which is code | the archive when its SHA-256 is the published one, else tensors only |
| dinov2-* | a pickle, and code, the newest of a repository; no local file | tensors only, for `models.dinov2` |

None of them knows classes, so none gives an Inception Score.
"""

import hashlib
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lfiw_ray.errors import DataError
from lfiw_ray.models import weights_file
from lfiw_ray.models.dinov2 import DinoV2, Size
from lfiw_ray.models.torchvision_ops import load_torch_fidelity

_FIELD = "evaluate.extractor_weights"


class ClipSize(NamedTuple):
    """Of a CLIP network: features D, input size and patch size in pixels (None: a ResNet)."""

    num_features: int
    image_side: int
    patch: int | None


VGG, VGG_FEATURES = "vgg16", 4096
CLIP = {
    "clip-rn50": ClipSize(1024, 224, None),
    "clip-rn101": ClipSize(512, 224, None),
    "clip-rn50x4": ClipSize(640, 288, None),
    "clip-rn50x16": ClipSize(768, 384, None),
    "clip-rn50x64": ClipSize(1024, 448, None),
    "clip-vit-b-32": ClipSize(512, 224, 32),
    "clip-vit-b-16": ClipSize(512, 224, 16),
    "clip-vit-l-14": ClipSize(768, 224, 14),
    "clip-vit-l-14-336px": ClipSize(768, 336, 14),
}
DINOV2 = {
    "dinov2-vit-s-14": Size(384, 12, 6),
    "dinov2-vit-b-14": Size(768, 12, 12),
    "dinov2-vit-l-14": Size(1024, 24, 16),
    "dinov2-vit-g-14": Size(1536, 40, 24, gated=True),
}
NAMES = (VGG, *CLIP, *DINOV2)
_DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2"


class FidelityNet(nn.Module):
    """A network of torch-fidelity's kind behind the interface of the other feature spaces.

    Parameters
    ----------
    net : takes (N, 3, H, W) uint8 and gives a tuple of one tensor (N, D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net.requires_grad_(False).eval()

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Features (N, D) float32 of images (N, H, W, C) uint8, C 1 (repeated) or 3."""
        return self.net(x.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous())[0], None


class Loaded(NamedTuple):
    """A network, its number of features, and the digest of the file it was read from."""

    net: FidelityNet
    num_features: int
    weights_sha256: str


def num_features(name: str) -> int:
    """Features D of the published weights of one of `NAMES`; KeyError for another name."""
    if name == VGG:
        return VGG_FEATURES
    return CLIP[name].num_features if name in CLIP else DINOV2[name].num_features


def load(name: str, weights_path: str | Path | None = None) -> Loaded:
    """One of `NAMES` from a local file, or from the published one, downloaded on first use.

    Raises
    ------
    ValueError
        Another name.
    DataError
        There is no such file, it cannot be downloaded, or it does not hold these weights.
    """
    if name not in NAMES:
        raise ValueError(f"a feature space of torch-fidelity is one of {', '.join(NAMES)}, got {name!r}")
    path = _downloaded(name) if weights_path is None else Path(weights_path)
    data = weights_file.contents(path, _FIELD)
    sha256 = hashlib.sha256(data).hexdigest()
    state = _tensors(name, data, sha256, path)
    try:
        net, num_features = _built(name, state)
    except (RuntimeError, KeyError, ValueError) as err:
        raise DataError(f"{_FIELD}: {path} does not hold the weights of {name}: {err}") from err
    return Loaded(FidelityNet(net), num_features, sha256)


def _built(name: str, state: dict[str, torch.Tensor]) -> tuple[nn.Module, int]:
    """torch-fidelity's extractor with these tensors, and its number of features."""
    if name == VGG:
        return _vgg(state)
    if name in CLIP:
        return _around(name, _clip(name, state)), CLIP[name].num_features
    model = DinoV2(DINOV2[name])
    model.load_state_dict(state)
    return _around(name, model), DINOV2[name].num_features


def _vgg(state: dict[str, torch.Tensor]) -> tuple[nn.Module, int]:
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    layer = "fc2_relu"
    net: nn.Module = load_torch_fidelity().FeatureExtractorVGG16(VGG, [layer], feature_extractor_weights_path=copy)
    return net, len(state["classifier.3.bias"])


def _clip(name: str, state: dict[str, torch.Tensor]) -> nn.Module:
    """The image half, refused when it is of another size than the name says."""
    model: nn.Module = load_torch_fidelity().feature_extractor_clip.build_model(dict(state), torch.float32)
    half: Any = model.visual
    patch = half.conv1.kernel_size[0] if "visual.proj" in state else None
    found = ClipSize(half.output_dim, half.input_resolution, patch)
    if found != CLIP[name]:
        raise ValueError(f"it is another network: {found} instead of {CLIP[name]}")
    return model


def _around(name: str, model: nn.Module) -> nn.Module:
    """torch-fidelity's extractor with a network at hand; of its class only `__init__`, which loads, is left out."""
    fidelity = load_torch_fidelity()
    theirs: Any = fidelity.registry.FEATURE_EXTRACTORS_REGISTRY[name]

    class Ready(theirs):  # type: ignore[misc]
        def __init__(self) -> None:
            fidelity.FeatureExtractorBase.__init__(self, name, list(theirs.get_provided_features_list()))
            self.feature_extractor_internal_dtype = torch.float32
            self.model = model
            if name in CLIP:
                self.resolution = CLIP[name].image_side

    return Ready()


def _tensors(name: str, data: bytes, sha256: str, path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file; a TorchScript archive is opened only when it is the published one, being code."""
    if name not in CLIP or not _is_torchscript(data):
        return weights_file.tensors(data, path, _FIELD)
    published = load_torch_fidelity().feature_extractor_clip.MODEL_METADATA[name]["hash"]
    if sha256 != published:
        raise DataError(
            f"{_FIELD}: {path} is a TorchScript archive, which is code, but not the published one of {name} "
            f"(SHA-256 {sha256[:12]}... instead of {published[:12]}...); give that one, or a file of its tensors"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    state: dict[str, torch.Tensor] = dict(module.state_dict())
    weights_file.require_finite_tensors(state, path, _FIELD)
    return state


def _is_torchscript(data: bytes) -> bool:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return any("/code/" in name for name in archive.namelist())


def _downloaded(name: str) -> Path:
    """The published file in torch's cache, under the name torch-fidelity has it there."""
    if name == VGG:
        load_torch_fidelity()  # first, because torchvision may need its help
        from torchvision.models import VGG16_Weights

        url = VGG16_Weights.IMAGENET1K_V1.url
        return weights_file.downloaded(url, _FIELD, hash_prefix=Path(url).stem.rsplit("-", 1)[1])
    if name in CLIP:
        clip = load_torch_fidelity().feature_extractor_clip
        sha256 = clip.MODEL_METADATA[name]["hash"]
        return weights_file.downloaded(clip.MODEL_URLS[name], _FIELD, sha256, f"{name}-{sha256}.pt")
    size = name.split("-")[2]
    return weights_file.downloaded(f"{_DINOV2_URL}/dinov2_vit{size}14/dinov2_vit{size}14_pretrain.pth", _FIELD)
