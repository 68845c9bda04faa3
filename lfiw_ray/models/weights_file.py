"""Weights files of feature extractors, downloaded or local, read without trusting them.

A weights file of PyTorch is a pickle, and unpickling runs what the file says.  So a file is only ever read with
`weights_only=True`, which builds tensors and plain containers and nothing else; networks are given the tensors that
came out, never the file.
"""

import http.client
import io
import pickle
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from lfiw_ray.errors import DataError

# what `torch.load` was seen to raise on thousands of damaged copies, besides subclasses of these
_DAMAGED = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def downloaded(url: str, field: str, hash_prefix: str | None = None, name: str | None = None) -> Path:
    """The file of an address in torch's own cache, where its other users find and leave it too; fetched once.

    Parameters
    ----------
    field : the configuration's field that may name a local file instead.
    hash_prefix : first digits of the file's SHA-256, checked after a download.
    name : of the file in the cache; None: the address's last part.

    Raises
    ------
    DataError
        It is not there and cannot be fetched; names the address, where to put the file, and the field.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / (name or url.rsplit("/", 1)[1])
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix)
    except (OSError, RuntimeError, http.client.HTTPException) as err:
        raise DataError(
            f"{path.name} cannot be downloaded ({err}): fetch {url} elsewhere and either put it at {path} "
            f"or name it in {field}"
        ) from err
    return path


def contents(path: Path, field: str) -> bytes:
    """Bytes of a weights file; DataError names it and the field when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as err:
        raise DataError(f"{field}: cannot read {path} ({err}); name a file of weights") from err


def tensors(data: bytes, path: Path, field: str, may_be_nan: Collection[str] = ()) -> dict[str, torch.Tensor]:
    """Tensors by name of a file that holds a dictionary of tensors and nothing else.

    Parameters
    ----------
    may_be_nan : names of tensors that need not be finite.

    Raises
    ------
    DataError
        It is damaged, holds anything else, or a tensor is not finite; names `path` and `field`.
    """
    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except _DAMAGED as err:
        raise DataError(f"{field}: {path} is no PyTorch file of plain tensors, or is damaged: {err}") from err
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{field}: {path} holds no dictionary of tensors")
    require_finite_tensors(state, path, field, may_be_nan)
    return state


def require_finite_tensors(
    state: dict[str, torch.Tensor], path: Path, field: str, may_be_nan: Collection[str] = ()
) -> None:
    """Refuse NaN and infinity, naming the tensor."""
    for name, value in state.items():
        if name not in may_be_nan and not value.isfinite().all():
            raise DataError(f"{field}: {path} has NaN or infinity in {name}; get the file again")
