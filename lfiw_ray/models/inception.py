"""Inception-v3 (2015-12-05) as torch-fidelity defines it: the standard feature space of FID, KID and Inception Score.

Layers and weights are torch-fidelity's (`inception-v3-compat`), so the numbers are comparable with the literature's.
Features are the 2,048 pooled activations; class probabilities are the softmax of the 1,008 logits without bias, which
is what the original Inception Score uses.  Three changes make it about twice as fast on a CPU, none of them more than
rounding: batch normalisation is folded into the convolutions, tensors are stored channels last, and images are resized
along one axis after the other.

A file of other weights with the right shapes would give numbers that look right.  So the features of two fixed images
are compared with those of the published weights, and the 1,008-way head, of which no such answer is recorded, is used
only from the published file itself: an Inception Score is of that classifier, or there is none.
"""

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lfiw_ray.core import noise
from lfiw_ray.errors import DataError
from lfiw_ray.models import weights_file
from lfiw_ray.models.torchvision_ops import load_torch_fidelity

NAME = "inception-v3-compat"
NUM_FEATURES = 2048
NUM_CLASSES = 1008
PUBLISHED_SHA256 = "6726825d"  # first digits, which the published file has in its name
_FEATURES, _HEAD = "2048", ("fc.weight", "fc.bias")
_FIELD = "evaluate.inception_weights"
_SIDE = 299
_PROBE_TOLERANCE = 1e-4  # rounding of float32 changes these means by less than 1e-5
# Means over 128 features each and both images of `_probe_images`, of the published weights.
_PROBE_ANSWER = (
    0.3245940, 0.4719463, 0.3076381, 0.1670040, 0.1539059, 0.1484121, 0.1828389, 0.1864417,
    0.2094734, 0.2163409, 0.2358253, 0.2202385, 0.2058684, 0.2164152, 0.2442015, 0.2547861,
)  # fmt: skip


class InceptionNet(nn.Module):
    """torch-fidelity's network behind the interface of the other feature spaces.

    Parameters
    ----------
    state : verified tensors of the network.
    has_head : whether the 1,008-way head is usable.
    """

    def __init__(self, state: dict[str, torch.Tensor], has_head: bool):
        super().__init__()
        copy = io.BytesIO()
        torch.save(state, copy)
        copy.seek(0)
        theirs = load_torch_fidelity().FeatureExtractorInceptionV3(
            NAME, [_FEATURES], feature_extractor_weights_path=copy
        )
        layers = [_folded(layer) for name, layer in theirs.named_children() if name != "fc"]
        self.trunk = nn.Sequential(*layers).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("head", theirs.fc.weight.detach() if has_head else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of images: (N, H, W, C) uint8, C 1 (repeated) or 3, to (N, 2048) float32."""
        resized = resize(x.permute(0, 3, 1, 2).float(), _SIDE).expand(-1, 3, -1, -1)
        features: torch.Tensor = self.trunk(((resized - 128) / 128).contiguous(memory_format=torch.channels_last))
        return features.flatten(1)

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (N, 2048), and class probabilities (N, 1008) where the weights have a head."""
        features = self(x)
        head = self.get_buffer("head") if self.head is not None else None
        return features, None if head is None else (features @ head.T).softmax(dim=1)


def resize(x: torch.Tensor, side: int) -> torch.Tensor:
    """(N, C, H, W) float32 to (N, C, side, side), bilinearly as in TensorFlow 1: pixel i is read at i H / side.

    The arithmetic of each pixel is torch-fidelity's, to the last bit; along a row first, when there are few rows.
    """
    low, high, part = _places(x.shape[3], side, x.device)
    left = x[..., low]
    x = left + (x[..., high] - left) * part
    low, high, part = _places(x.shape[2], side, x.device)
    above = x[:, :, low]
    return above + (x[:, :, high] - above) * part[:, None]


def _places(size: int, side: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each new pixel: the old ones on both sides, and how far it lies between them."""
    place = torch.arange(side, dtype=torch.float32, device=device) * torch.tensor(size / side, dtype=torch.float32)
    low = place.long()
    return low, (low + 1).clamp_max(size - 1), place - low


def _folded(layer: nn.Module) -> nn.Module:
    """The layer with each pair of convolution and batch normalisation as one convolution with a bias."""
    for pair in layer.modules():
        convolution, normalisation = getattr(pair, "conv", None), getattr(pair, "bn", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            pair.conv, pair.bn = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
    return layer


class Inception(NamedTuple):
    """The network, the file it was read from, and why it gives no probabilities (None when it does)."""

    net: InceptionNet
    weights_sha256: str
    no_probabilities: str | None


def load(weights_path: str | Path | None = None) -> Inception:
    """Inception from a local file, or from the file torch-fidelity uses, downloaded on first use.

    Raises
    ------
    DataError
        There is no such file, it cannot be downloaded, or it does not hold these weights.
    """
    path = Path(weights_path) if weights_path is not None else _downloaded()
    data = weights_file.contents(path, _FIELD)
    state = weights_file.tensors(data, path, _FIELD, may_be_nan=_HEAD)
    sha256 = hashlib.sha256(data).hexdigest()
    reason = _no_probabilities(state, sha256, path)
    try:
        net = InceptionNet(state, has_head=reason is None)
    except RuntimeError as err:
        raise DataError(f"{_FIELD}: {path} does not hold the weights of {NAME}: {err}") from err
    found = probe(net)
    if not np.allclose(found, _PROBE_ANSWER, rtol=_PROBE_TOLERANCE, atol=0):
        raise DataError(
            f"{_FIELD}: {path} does not give the features of {NAME} (means {found[0]:.6g}, {found[1]:.6g}, ... instead "
            f"of {_PROBE_ANSWER[0]:.6g}, {_PROBE_ANSWER[1]:.6g}, ... on test images): other or altered weights; get "
            "the file again"
        )
    return Inception(net, sha256, reason)


def probe(net: InceptionNet) -> np.ndarray:
    """(16,) float64: what tells the published weights from others (see `_PROBE_ANSWER`); of a network on the CPU."""
    fine = noise.generator(0, "inception-probe").integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    fine[1] = fine[1, ::4, ::4].repeat(4, axis=0).repeat(4, axis=1)  # the second image has large patches
    with torch.inference_mode():
        features = net(torch.from_numpy(fine))
    means: np.ndarray = features.double().numpy().mean(axis=0).reshape(16, -1).mean(axis=1)
    return means


def _no_probabilities(state: dict[str, torch.Tensor], sha256: str, path: Path) -> str | None:
    """Why the file's head is not used; None when it is."""
    if not all(bool(state[name].isfinite().all()) for name in _HEAD if name in state):
        return f"the {NUM_CLASSES}-way head (fc) in {path.name} is not finite: a trunk only"
    if not sha256.startswith(PUBLISHED_SHA256):
        return (
            f"the {NUM_CLASSES}-way head (fc) in {path.name} may be another classifier's: the file is not the "
            f"published one, whose SHA-256 begins with {PUBLISHED_SHA256}"
        )
    return None


def _downloaded() -> Path:
    """torch-fidelity's own weights in its own cache."""
    url: str = load_torch_fidelity().feature_extractor_inceptionv3.URL_INCEPTION_V3
    return weights_file.downloaded(url, _FIELD, hash_prefix=PUBLISHED_SHA256)
