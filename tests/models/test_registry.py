"""Models out of their files: the right ones, or an error that costs no memory."""

from typing import Any

import pytest
import torch

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.config_generators import DAGANConfig, FlowConfig, IWAEConfig, PixelCNNConfig, SNGANConfig, VAEConfig
from lfiw_ray.errors import DataError
from lfiw_ray.models.checkpoint import Description, description_to_bytes, tensors_to_bytes
from lfiw_ray.models.registry import BUILDERS, build, load

KINDS: dict[str, dict[str, Any]] = {
    "vae": VAEConfig(latents=2, width=2).model_dump(),
    "iwae": IWAEConfig(hidden=4).model_dump(),
    "flow": FlowConfig(width=4).model_dump(),
    "pixelcnn": PixelCNNConfig(blocks=1, filters=4, mixtures=2).model_dump(),
    "sngan": SNGANConfig(width=4, critic_width=4).model_dump(),
    "dagan": DAGANConfig(width=4, examples=10).model_dump(),
    "domain": {"num_classes": 3},
    "classifier": ClassifierConfig(width=2).model_dump(),
}


def described(kind: str, **changed: Any) -> Description:
    return Description(kind, KINDS[kind] | changed, (28, 28, 1), {})


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_model_comes_back_as_it_was(kind: str) -> None:
    """The layout without memory, too, is that of every kind."""
    model = build(described(kind))
    again = load(tensors_to_bytes(model.state_dict()), description_to_bytes(described(kind)), "folder")
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.parametrize("kind", ["vae", "classifier"])
@pytest.mark.parametrize("width", [3, 2**20])
def test_a_description_of_another_size_is_refused_before_it_takes_memory(kind: str, width: int) -> None:
    """The larger one would take terabytes."""
    weights = tensors_to_bytes(build(described(kind)).state_dict())
    told = (
        r"^folder/model\.safetensors does not fit folder/model\.json: [\w.]+: \(.*\), described as \(.*\), \d+ in all$"
    )
    with pytest.raises(DataError, match=told):
        load(weights, description_to_bytes(described(kind, width=width)), "folder")


def test_tensors_that_are_missing_or_too_many_are_named() -> None:
    tensors = dict(build(described("vae")).state_dict())
    name = next(iter(tensors))
    kept = {key: tensor for key, tensor in tensors.items() if key != name}
    for given, told in ((kept, f"{name}: None, described as"), (tensors | {"a": torch.ones(2)}, r"a: \(2,\), .* None")):
        with pytest.raises(DataError, match=told):
            load(tensors_to_bytes(given), description_to_bytes(described("vae")), "folder")
