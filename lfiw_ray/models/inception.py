"""Inception-v3 (2015-12-05) as torch-fidelity defines it: the standard feature space of FID, KID and Inception Score.

Network, resizing and weights are torch-fidelity's (`inception-v3-compat`), so the numbers are comparable with the
literature's.  Features are the 2,048 pooled activations; class probabilities are the softmax of the 1,008 logits
without bias, which is what the original Inception Score uses.

The weights are a pickle.  torch-fidelity unpickles it without restriction, so the file is first read with
`weights_only=True` and torch-fidelity is given a copy of the tensors that came out, never the file itself.
A file whose head holds NaN (a trunk without its last layer) gives features, and no probabilities.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lfiw_ray.errors import DataError
from lfiw_ray.models.torchvision_ops import load_torch_fidelity

NUM_FEATURES = 2048
NUM_CLASSES = 1008
_FEATURES, _LOGITS = "2048", "logits_unbiased"
_HEAD = ("fc.weight", "fc.bias")
_FIELD = "evaluate.inception_weights"


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
        names = [_FEATURES, _LOGITS] if has_head else [_FEATURES]
        self.net = load_torch_fidelity().FeatureExtractorInceptionV3(
            "inception-v3-compat", names, feature_extractor_weights_path=copy
        )
        self.has_head = has_head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of images: (N, H, W, C) uint8, C 1 (repeated) or 3, to (N, 2048) float32."""
        return self.outputs(x)[0]

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (N, 2048), and class probabilities (N, 1008) where the weights have a head."""
        found = self.net(x.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous())
        return found[0], found[1].softmax(dim=1) if self.has_head else None


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
    try:
        data = path.read_bytes()
    except OSError as err:
        raise DataError(f"{_FIELD}: cannot read {path} ({err}); name a file of Inception weights") from err
    state = _verified(data, path)
    has_head = all(bool(state[name].isfinite().all()) for name in _HEAD if name in state)
    reason = None if has_head else f"the {NUM_CLASSES}-way head (fc) in {path.name} is not finite: a trunk only"
    try:
        net = InceptionNet(state, has_head)
    except RuntimeError as err:
        raise DataError(f"{_FIELD}: {path} does not hold the weights of inception-v3-compat: {err}") from err
    return Inception(net, hashlib.sha256(data).hexdigest(), reason)


def _verified(data: bytes, path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a weights file that holds tensors only, all finite except the head."""
    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as err:
        raise DataError(f"{_FIELD}: {path} is no PyTorch file of plain tensors, or is damaged: {err}") from err
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{_FIELD}: {path} holds no dictionary of tensors")
    for name, value in state.items():
        if name not in _HEAD and not value.isfinite().all():
            raise DataError(f"{_FIELD}: {path} has NaN or infinity in {name}; get the file again")
    return state


def _downloaded() -> Path:
    """torch-fidelity's own weights in its own cache, where its other users find and leave them too."""
    url: str = load_torch_fidelity().feature_extractor_inceptionv3.URL_INCEPTION_V3
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if path.exists():
        return path
    hash_prefix = path.stem.rsplit("-", 1)[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix)
    except (OSError, RuntimeError) as err:
        raise DataError(
            f"Inception weights cannot be downloaded ({err}): fetch {url} elsewhere and either put it at {path} "
            f"or name it in {_FIELD}"
        ) from err
    return path
