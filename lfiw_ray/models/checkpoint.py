"""A model as bytes: safetensors for the parameters, JSON for what builds it.  Nothing is unpickled."""

import json
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from lfiw_ray.errors import DataError


class Description(NamedTuple):
    """What is needed to build a model again."""

    kind: str
    config: dict[str, Any]
    image_shape: tuple[int, int, int]
    extra: dict[str, Any]


def tensors_to_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    """safetensors bytes; tensors are moved to the CPU and made contiguous."""
    data: bytes = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    return data


def tensors_from_bytes(data: bytes, name: str) -> dict[str, torch.Tensor]:
    """Tensors of safetensors bytes; DataError names the file when they cannot be read."""
    try:
        tensors: dict[str, torch.Tensor] = load(data)
    except SafetensorError as err:
        raise DataError(f"{name} is not a safetensors file ({err}); remove its folder and train again") from err
    return tensors


def description_to_bytes(description: Description) -> bytes:
    """JSON of a description."""
    return json.dumps(description._asdict(), indent=1, sort_keys=True, allow_nan=False).encode()


def description_from_bytes(data: bytes, name: str) -> Description:
    """Description of JSON bytes; DataError names the file when it cannot be read."""
    try:
        body = json.loads(data)
        height, width, channels = body["image_shape"]
        return Description(body["kind"], body["config"], (height, width, channels), body["extra"])
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise DataError(f"{name} does not describe a model ({err!r}); remove its folder and train again") from err
