"""Inception with random weights: what the real one costs, without a download and without its meaning.

Convolutions and the head are normal with variance 2 / fan-in (He et al. 2015), so that activations neither die nor
grow on their way through 94 layers.
"""

import hashlib
import io
from pathlib import Path

import torch

from lfiw_ray.models import inception
from lfiw_ray.models.extractors import Extractor, deep_batch
from lfiw_ray.models.torchvision_ops import load_torch_fidelity


def write(path: Path) -> None:
    """Write a weights file that torch-fidelity reads too; always the same."""
    theirs = load_torch_fidelity().FeatureExtractorInceptionV3

    class Fresh(theirs):  # type: ignore[misc, valid-type]
        def load_state_dict(self, _: object) -> None:
            """Keep what the layers were made with."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    net: torch.nn.Module = Fresh(inception.NAME, ["2048"], feature_extractor_weights_path=nothing)
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
    torch.save(net.state_dict(), path)


def extractor(path: Path, device: str) -> Extractor:
    """A feature space of that file, under a name that cannot be taken for Inception's."""
    data = path.read_bytes()
    net = inception.InceptionNet(torch.load(io.BytesIO(data), weights_only=True), has_head=True)
    return Extractor(
        name="random-inception",
        num_features=inception.NUM_FEATURES,
        num_classes=inception.NUM_CLASSES,
        no_probabilities=None,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        batch_size=deep_batch(torch.device(device)),
        net=net.to(device),
        device=torch.device(device),
    )
