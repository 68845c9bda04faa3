"""Finished models in a run folder: the store's bytes and the registry's modules brought together."""

from typing import Any

from torch import nn

from lfiw_ray.models.checkpoint import Description, description_to_bytes
from lfiw_ray.models.registry import load
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"


def load_model(url: str) -> nn.Module:
    """The finished model of a stage folder, in evaluation mode; its checksums are verified."""
    folder = Folder(url)
    return load(stages.read(folder, WEIGHTS), stages.read(folder, DESCRIPTION), folder.url)


def finish_model(
    folder: Folder, plan: str, description: Description, files: dict[str, bytes], result: dict[str, Any]
) -> dict[str, Any]:
    """Keep a trained model: its files, its description, the mark."""
    return stages.finish(folder, plan, {**files, DESCRIPTION: description_to_bytes(description)}, result)
