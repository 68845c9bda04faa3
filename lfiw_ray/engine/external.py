"""Generators that were made elsewhere: what they are, what identifies them, how a worker opens them.

Nothing is trained.  The stage `generator/` holds a description, and of a file generator the file itself, so that all
workers read the bytes that the plan was made of.

A folder of samples has nothing to generate more from.  Its first rows are `fit_samples/` (rows on which alpha is
chosen, and those that train the naive classifier where it is asked for), the rows after them are the pool: no row is
both.  The classifier learns from the pool itself by cross-fitting, so `classifier.folds` must be at least 3.
"""

import hashlib
from typing import Any, NamedTuple, Protocol

import numpy as np

from lfiw_ray.config import GeneratorConfig
from lfiw_ray.config_generators import ExternalConfig
from lfiw_ray.data import files
from lfiw_ray.data.image_rows import ImageRows
from lfiw_ray.engine.models import DESCRIPTION, load_model
from lfiw_ray.engine.plans import EXTERNAL_FIELDS
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.checkpoint import Description, description_from_bytes
from lfiw_ray.models.external_diffusers import PipelineGenerator
from lfiw_ray.models.external_file import FileGenerator
from lfiw_ray.models.external_import import ImportedGenerator, source_sha256
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder

FILE = "model.pt"


class Sampler(Protocol):
    """What the generate stage asks; it may also have `sample_labels(sample_ids, seed, stream) -> (N,) int64`."""

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of (N,) int64 ids; each a function of (seed, stream, id)."""
        ...


class Source(NamedTuple):
    """Where a generator made elsewhere comes from, as a worker needs it.

    `first_pool_row` is the row of a folder that is sample 0 of the pool.
    """

    config: ExternalConfig
    first_pool_row: int


TRAINED_HERE = Source(ExternalConfig(), 0)


class FolderSampler:
    """Rows of a folder in the place of samples; the seed has no part in it."""

    def __init__(self, source: Source):
        self._rows, self._first = rows_of(source.config), source.first_pool_row
        if source.config.labels:
            self.sample_labels = self._labels

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:  # noqa: ARG002
        """Images (N, H, W, C) uint8 of the ids' rows."""
        return self._rows.read(self._row(sample_ids, stream)).x

    def _labels(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray | None:  # noqa: ARG002
        return self._rows.read(self._row(sample_ids, stream)).labels

    def _row(self, sample_ids: np.ndarray, stream: str) -> np.ndarray:
        rows: np.ndarray = sample_ids + (0 if stream == "fit_samples" else self._first)
        return rows


def is_external(config: GeneratorConfig) -> bool:
    """Whether the generator was made elsewhere, so that nothing is trained."""
    return config.model in EXTERNAL_FIELDS


def path_of(config: ExternalConfig) -> str:
    """The configured path; ConfigError when there is none."""
    if config.path is None:
        raise ConfigError("generator.external.path: needed for a generator made elsewhere; an import path, file or URL")
    return config.path


def rows_of(config: ExternalConfig) -> ImageRows:
    """The rows of a folder of samples."""
    return ImageRows(path_of(config), config.image_column, config.labels)


def identity(config: GeneratorConfig) -> str | None:
    """What tells one generator made elsewhere from another, part of its plan; None for those that are trained.

    The import path with the configured version or the SHA-256 of its module's file, the SHA-256 of a file, the name of
    a pipeline, the fingerprint of a folder.  Where a file or folder lies has no part in it.

    Raises
    ------
    ConfigError, DataError
        When it cannot be found, or an import is not allowed.
    """
    if not is_external(config):
        return None
    external = config.external
    path = path_of(external)
    if config.model == "import":
        sha256 = source_sha256(path, external.allowed)
        return f"{path} {external.version or sha256}"
    if config.model == "torchscript":
        _latents(external)  # a missing one shows before any work
        return hashlib.sha256(_file(external)).hexdigest()
    return path if config.model == "diffusers" else rows_of(external).fingerprint()


def description_of(config: GeneratorConfig, image_shape: tuple[int, int, int]) -> Description:
    """Description of a generator made elsewhere."""
    return Description(config.model, config.external.planned(), image_shape, {"identity": identity(config)})


def files_of(config: GeneratorConfig) -> dict[str, bytes]:
    """What the generator's stage keeps beside the description: the file of a file generator."""
    return {FILE: _file(config.external)} if config.model == "torchscript" else {}


def open_generator(url: str, source: Source, device: str) -> tuple[Sampler, tuple[int, int, int]]:
    """The generator of a finished stage, and the shape (H, W, C) of its images."""
    folder = Folder(url)
    description = description_from_bytes(stages.read(folder, DESCRIPTION), f"{folder.url}/{DESCRIPTION}")
    return _opened(description.kind, folder, source, device), description.image_shape


def _opened(kind: str, folder: Folder, source: Source, device: str) -> Any:
    external = source.config
    if kind == "import":
        return ImportedGenerator(path_of(external), external.allowed)
    if kind == "torchscript":
        return FileGenerator(stages.read(folder, FILE), _latents(external), device)
    if kind == "diffusers":
        return PipelineGenerator(path_of(external), external.steps, external.prompt, device)
    return FolderSampler(source) if kind == "folder" else load_model(folder.url).to(device)


def _file(config: ExternalConfig) -> bytes:
    fs, path = files.connect(path_of(config), "generator.external.path")
    return files.read_bytes(fs, path)


def _latents(config: ExternalConfig) -> int:
    if config.latents is None:
        raise ConfigError("generator.external.latents: needed for a file generator; how many numbers of noise it takes")
    return config.latents
