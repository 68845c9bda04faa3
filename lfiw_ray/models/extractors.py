"""Feature extractors behind one interface: images in, features and class probabilities out.

Images are always run in batches of `batch_size` rows, the last one filled up with empty images: convolutions may
round differently at another batch size, so a fixed one makes a row's features independent of how many rows are
asked for at once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from lfiw_ray.core.finite import require_finite
from lfiw_ray.models import domain as domain_net
from lfiw_ray.models import fidelity_extractors, random_features
from lfiw_ray.models import inception as inception_net
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.random_features import RandomFeatures
from lfiw_ray.models.transfer import to_device, to_host

_SMALL_BATCH = 256
_DEEP_BATCH, _DEEP_BATCH_ON_GPU = 8, 64  # of networks of hundreds of layers


class Extracted(NamedTuple):
    """Features (N, D) float32 and class probabilities (N, K) float32, None where the extractor has none."""

    features: np.ndarray
    probabilities: np.ndarray | None


class FeatureNet(Protocol):
    """What a network offers to be an extractor."""

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (N, D) and class probabilities (N, K) or None of images (N, H, W, C) uint8."""


@dataclass(frozen=True)
class Extractor:
    """A frozen feature space.

    Attributes
    ----------
    name : what reports call it.
    num_features : D.
    num_classes : K; None when there are no probabilities.
    no_probabilities : why not; None when there are.
    weights_sha256 : digest of the parameters (of the file, for Inception): equal digests, equal space.
    batch_size : rows of every forward pass.
    net : the network, in evaluation mode on `device`.
    """

    name: str
    num_features: int
    num_classes: int | None
    no_probabilities: str | None
    weights_sha256: str
    batch_size: int
    net: FeatureNet
    device: torch.device

    def describe(self) -> dict[str, Any]:
        """Plain values to store beside every number measured in this space."""
        names = ("name", "num_features", "num_classes", "no_probabilities", "weights_sha256", "batch_size")
        return {name: getattr(self, name) for name in names}

    def extract(self, x: np.ndarray, sample_ids: np.ndarray | None = None) -> Extracted:
        """Features and probabilities of images (N, H, W, C) uint8, N >= 0; errors name `sample_ids` (N,), if given.

        Raises
        ------
        ValueError
            Not images at rest.
        NonFiniteError
            The network gave NaN or infinity; names the row, or its sample id.
        """
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3):
            raise ValueError(f"images at rest are (N, H, W, 1 or 3) uint8, got {x.shape} {x.dtype}")
        features = np.empty((len(x), self.num_features), np.float32)
        probabilities = None if self.num_classes is None else np.empty((len(x), self.num_classes), np.float32)
        for rows, batch_features, batch_probabilities in self._batches(x):
            features[rows] = batch_features
            if probabilities is not None and batch_probabilities is not None:
                probabilities[rows] = batch_probabilities
        require_finite(features, f"features of the extractor {self.name}", sample_ids)
        return Extracted(features, probabilities)

    def _batches(self, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        for start in range(0, len(x), self.batch_size):
            rows = x[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, *x.shape[1:]), np.uint8)
            batch[: len(rows)] = rows
            with torch.inference_mode():
                found = self.net.outputs(to_device(batch, self.device))
            features, probabilities = (None if t is None else to_host(t[: len(rows)].float()) for t in found)
            assert features is not None
            yield slice(start, start + len(rows)), features, probabilities


def domain(net: DomainNet, device: torch.device | str = "cpu") -> Extractor:
    """The trained label classifier as a feature space."""
    device = torch.device(device)
    return Extractor(
        name="domain",
        num_features=domain_net.NUM_FEATURES,
        num_classes=net.num_classes,
        no_probabilities=None,
        weights_sha256=_state_sha256(net),
        batch_size=_SMALL_BATCH,
        net=net.to(device).eval(),
        device=device,
    )


def random(image_shape: tuple[int, int, int], device: torch.device | str = "cpu") -> Extractor:
    """The fixed random network for images (H, W, C)."""
    device = torch.device(device)
    net = RandomFeatures(image_shape)
    return Extractor(
        name="random",
        num_features=random_features.NUM_FEATURES,
        num_classes=None,
        no_probabilities="a random network knows no classes",
        weights_sha256=_state_sha256(net),
        batch_size=_SMALL_BATCH,
        net=net.to(device),
        device=device,
    )


def inception(weights_path: str | Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """torch-fidelity's Inception from a local file, or downloaded; DataError when neither is possible."""
    device = torch.device(device)
    loaded = inception_net.load(weights_path)
    return Extractor(
        name=inception_net.NAME,
        num_features=inception_net.NUM_FEATURES,
        num_classes=inception_net.NUM_CLASSES if loaded.no_probabilities is None else None,
        no_probabilities=loaded.no_probabilities,
        weights_sha256=loaded.weights_sha256,
        batch_size=deep_batch(device),
        net=loaded.net.to(device),
        device=device,
    )


FIDELITY_NAMES = (inception_net.NAME, *fidelity_extractors.NAMES)


def by_fidelity_name(
    name: str, weights_path: str | Path | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """One of `FIDELITY_NAMES`, torch-fidelity's own spaces, from a local file, or downloaded.

    Raises
    ------
    ValueError
        Another name.
    DataError
        There is no such file, it cannot be downloaded, or it does not hold these weights.
    """
    if name == inception_net.NAME:
        return inception(weights_path, device)
    device = torch.device(device)
    loaded = fidelity_extractors.load(name, weights_path)
    return Extractor(
        name=name,
        num_features=loaded.num_features,
        num_classes=None,
        no_probabilities=f"{name} gives features alone, and knows no classes",
        weights_sha256=loaded.weights_sha256,
        batch_size=deep_batch(device),
        net=loaded.net.to(device),
        device=device,
    )


def deep_batch(device: torch.device) -> int:
    """Rows of a forward pass of Inception and its like."""
    return _DEEP_BATCH if device.type == "cpu" else _DEEP_BATCH_ON_GPU


def _state_sha256(net: nn.Module) -> str:
    """SHA-256 of all parameters and buffers: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
