"""A generator in one file: a TorchScript module, or a program saved by `torch.export`, from noise to images.

Such a file is a program of its maker, which runs with the rights of the worker that loads it: use files that you
trust.  It is never unpickled freely, though: an exported program keeps tensors as pickles, which torch would read
without restriction, and which may hold plain tensors only here.

The module maps noise z (N, latents) float32, standard normal, to images (N, C, H, W), either uint8 or float in
[-1, 1], which is rounded to the 8-bit grid like real data.  An exported program needs a dynamic first dimension.
Noise is drawn per fixed block of sample ids (`core.noise.by_block`), so that a sample is a function of
(seed, stream, sample id), up to the module's rounding at another batch size.
"""

import io
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError, GeneratorError
from lfiw_ray.models.foreign import ForeignCode
from lfiw_ray.models.scale import to_bytes
from lfiw_ray.models.transfer import to_device, to_host

_ROUNDING = 1e-3  # beyond [-1, 1], of a tanh in half precision


class FileGenerator:
    """The module of a file's bytes.

    Parameters
    ----------
    data : the file.
    latents : D, numbers of noise of a row.

    Raises
    ------
    ConfigError
        When the bytes are neither kind of file.
    GeneratorError
        When torch cannot load them.
    """

    def __init__(self, data: bytes, latents: int, device: str):
        with ForeignCode("generator.external.path: the file cannot be loaded"):
            self._module = _loaded(data, device)
        self._latents, self._device = latents, device

    @torch.no_grad()
    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of (N,) int64 ids.

        Raises
        ------
        GeneratorError
            When the module gives something else than images, or numbers outside [-1, 1].
        """
        z = noise.by_block(seed, stream, sample_ids, self._draw)
        x = self._module(to_device(z, self._device))
        if not isinstance(x, torch.Tensor) or x.ndim != 4:
            shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise GeneratorError(f"the file's module gave {shape}; a tensor of images (N, C, H, W) is needed")
        if x.dtype == torch.uint8:
            return to_host(x.permute(0, 2, 3, 1).contiguous())
        if not bool((x.abs() <= 1 + _ROUNDING).all()):  # NaN too
            raise GeneratorError(
                f"the file's module gave numbers from {float(x.min()):g} to {float(x.max()):g}; floats must lie in "
                "[-1, 1], or give uint8"
            )
        return to_host(to_bytes(x))

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.standard_normal((n, self._latents), dtype=np.float32)


def _loaded(data: bytes, device: str) -> torch.nn.Module:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ConfigError(f"generator.external.path: {_WANTED}")
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    if any("/code/" in name for name in names):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated", category=DeprecationWarning)
            module: torch.nn.Module = torch.jit.load(io.BytesIO(data), map_location=device)  # type: ignore[no-untyped-call]
        return module.eval()
    if any("models/" in name or "serialized_exported_program" in name for name in names):
        with _tensors_only():
            return torch.export.load(io.BytesIO(data)).module().to(device)
    raise ConfigError(f"generator.external.path: {_WANTED}")


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Inside, `torch.load` refuses everything but tensors and plain values, whatever its caller asks for."""
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_FORCE)
        if before is not None:
            os.environ[_FORCE] = before


_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch's own variable
_WANTED = "the file is neither a TorchScript module (torch.jit.save) nor an exported program (torch.export.save)"
