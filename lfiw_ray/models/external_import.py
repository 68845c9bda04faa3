"""A user's generator by its import path, `package.module:object`.

Importing runs the module's code, so a path that came with a configuration file is not enough: its module must lie
below a prefix of `external.allowed`, else nothing is imported.  `good` allows `good` and `good.part`, not `goods`.

The object has `sample(sample_ids, seed) -> images`, with sample_ids (N,) int64 and images (N, H, W, C) uint8.  A
class, or a function that returns such an object, is called once in each worker, without arguments.  A sample should
be a function of (seed, sample_id) alone; the engine asks for batches that start at multiples of the batch size, so
that a generator that draws per batch is still the same in every run.  Each table has a seed of its own.
"""

import hashlib
import importlib
import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.foreign import ForeignCode

_SEEDS = 2**32  # what every library takes


class ImportedGenerator:
    """The object that an import path names.

    Raises
    ------
    ConfigError
        When the path has another form, is not allowed or leads to nothing that samples.
    GeneratorError
        When its module or its factory raises.
    """

    def __init__(self, path: str, allowed: list[str]):
        module, name = checked(path, allowed)
        with ForeignCode(f"generator.external.path: importing {module}"):
            found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) or (callable(found) and not hasattr(found, "sample")):
            with ForeignCode(f"generator.external.path: calling {path}"):
                found = found()
        if not callable(getattr(found, "sample", None)):
            raise ConfigError(
                f"generator.external.path: {path} is {_named(found)}, without a method sample(sample_ids, seed); name "
                "an object that has it, or a class or function that makes one without arguments"
            )
        self._user: Any = found

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """What the user's object gives for (N,) int64 ids; not checked here."""
        x: np.ndarray = self._user.sample(sample_ids, table_seed(seed, stream))
        return x


def table_seed(seed: int, stream: str) -> int:
    """A table's own seed, at least 0 and below 2^32: the tables of a run are independent samples."""
    return int(noise.generator(seed, f"external/{stream}").integers(_SEEDS))


def checked(path: str, allowed: list[str]) -> tuple[str, str]:
    """Module and name of an import path; ConfigError unless it may be imported."""
    module, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ConfigError(f"generator.external.path: {path!r} is not of the form package.module:object")
    if not any(f"{module}.".startswith(f"{prefix}.") for prefix in allowed):
        raise ConfigError(
            f"generator.external.path: importing {module} would run its code, and generator.external.allowed "
            f"({allowed}) does not name it; if you trust it, add {module.split('.')[0]!r} or {module!r} there"
        )
    return module, name


def source_sha256(path: str, allowed: list[str]) -> str | None:
    """SHA-256 of the module's own file, None where it has none; a changed module is another generator.

    Raises
    ------
    ConfigError
        When the module is not allowed or not found.
    """
    module, _ = checked(path, allowed)
    with ForeignCode(f"generator.external.path: importing the package of {module}"):
        spec = _spec(module)
    if spec is None:
        raise ConfigError(
            f"generator.external.path: there is no module {module}; install it, or set PYTHONPATH to its folder, "
            "on all nodes"
        )
    file = Path(spec.origin) if spec.origin and spec.has_location else None
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else None


def _spec(module: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module is; None where it or a package above it does not exist."""
    try:
        return importlib.util.find_spec(module)
    except ModuleNotFoundError as err:
        if f"{module}.".startswith(f"{err.name}."):
            return None
        raise


def _named(found: object) -> str:
    return "not in its module" if found is None else f"of type {type(found).__name__}"
