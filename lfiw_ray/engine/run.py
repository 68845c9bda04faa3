"""A run: its configuration, folder, plans and real data, and the names of its parts."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import ray

from lfiw_ray.config import ClassifierConfig, PipelineConfig
from lfiw_ray.core.folds import FOLD_BLOCK
from lfiw_ray.data.image_data import ImageData, fingerprint
from lfiw_ray.data.load import load
from lfiw_ray.data.reference_rows import ReferenceRows, reference_rows
from lfiw_ray.data.splits import Splits, split
from lfiw_ray.engine.external import identity, rows_of
from lfiw_ray.engine.plans import stage_plans, trains_outside
from lfiw_ray.errors import ConfigError
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.moments_file import read_npz
from lfiw_ray.store.shards import Layout, Table

MIN_ROWS_TO_EXTRAPOLATE = 100
MAX_SHARDS = 2_000_000


class FitRows(NamedTuple):
    """How many generated rows are used: to train a classifier, held out from it, and to choose alpha.

    They lie outside the pool, by sample id in this order; with cross-fitting the first two come from the pool.
    """

    train: int
    held_out: int
    tuning: int


class Run(NamedTuple):
    """Everything a stage needs to know; small, and travels to workers without the data.

    `places` holds the folders of stages that do not lie under their own name: those of a run's further classifiers,
    and of further evaluations (`engine.beside`).
    """

    config: PipelineConfig
    url: str
    plans: dict[str, str]
    image_shape: tuple[int, int, int]
    fit_rows: FitRows
    num_classifier_rows: int
    num_evaluation_rows: int
    places: Mapping[str, str] = {}

    def folder(self, stage: str) -> Folder:
        """Folder of a stage."""
        return Folder(self.url).child(self.places.get(stage, stage))

    def table(self, stage: str) -> Table:
        """A sharded table: one of `tables`."""
        outside = stage.endswith("fit_samples")
        rows = self.first_tuning_row + self.fit_rows.tuning if outside else self.config.generate.num_samples
        return Table(self.folder(stage).url, self.plans[stage], Layout(rows, self.config.generate.rows_per_shard))

    @property
    def first_tuning_row(self) -> int:
        """Sample id in fit_samples of the first row for choosing alpha; before it lie rows that train classifiers."""
        outside = trains_outside(self.config)
        return self.fit_rows.train + self.fit_rows.held_out if outside else 0

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the sharded tables of this run."""
        outside = ("fit_samples", "features/fit_samples") if self.reads_features else ("fit_samples",)
        return (*outside, *self.pool_tables)

    @property
    def pool_tables(self) -> tuple[str, ...]:
        """Names of the tables with a row for each sample of the pool."""
        features = ("features/samples",) if self.reads_features else ()
        return ("samples", *features, "weights", *(("naive_weights",) if self.config.evaluate.naive else ()))

    @property
    def reads_features(self) -> bool:
        """Whether the classifier sees frozen features, which are then kept as tables."""
        return self.config.classifier.input != "pixels"

    @property
    def naive_table(self) -> Table:
        """Weights of the naive arms: the published method's, or the run's own where it was not asked for."""
        return self.table("naive_weights" if self.config.evaluate.naive else "weights")

    def classifier_config(self, stage: str) -> ClassifierConfig:
        """Configuration of `classifier`, or of `naive_classifier`: the same on clean pixels, trained alike."""
        config = self.config.classifier
        return config if stage == "classifier" else config.on_clean_pixels()

    @property
    def device(self) -> str:
        """Device of workers."""
        return "cuda" if self.config.num_gpus else "cpu"

    @property
    def evaluation_rows(self) -> int:
        """Rows of every evaluated set: as many as the reference has, unless told otherwise."""
        return self.config.evaluate.num_rows or self.num_evaluation_rows


class Real(NamedTuple):
    """The real data of a run and its splits."""

    data: ImageData
    splits: Splits

    def x(self, part: str) -> np.ndarray:
        """(n, H, W, C) uint8 images of a split."""
        x: np.ndarray = self.data.x[getattr(self.splits, part)]
        return x

    def labels(self, part: str) -> np.ndarray:
        """(n,) int64 labels of a split; ConfigError when the data have none."""
        labels: np.ndarray = self.all_labels()[getattr(self.splits, part)]
        return labels

    def all_labels(self) -> np.ndarray:
        """(N,) int64 labels of all rows; ConfigError when the data have none."""
        if self.data.labels is None:
            raise ConfigError("data.label_column: labels are needed here and the data have none; name their column")
        return self.data.labels

    def reference(self, config: PipelineConfig) -> ReferenceRows:
        """Which rows the evaluation compares with."""
        return reference_rows(self.data, self.splits, config)

    def share(self, *arrays: np.ndarray) -> tuple["ray.ObjectRef[np.ndarray]", ...]:
        """References to arrays in the object store, which all workers of a node read without a copy."""
        return tuple(ray.put(np.ascontiguousarray(a)) for a in arrays)


def prepare(config: PipelineConfig) -> tuple[Run, Real]:
    """Load the real data and lay out the run; touches nothing on disk.

    Raises
    ------
    ConfigError, DataError
        When the data cannot be used with this configuration.
    """
    data = load(config.data)
    splits = split(len(data.x), config.data, config.seed, data.labels, data.num_test)
    rows = FitRows(len(splits.classifier), len(splits.calibration), config.weights.num_tuning_rows)
    _, height, width, channels = data.x.shape
    url = Folder(config.run).absolute_url()
    plans = stage_plans(config, fingerprint(data), identity(config.generator))
    num_compared = len(reference_rows(data, splits, config).compared)
    run = Run(config, url, plans, (height, width, channels), rows, len(splits.classifier), num_compared)
    _check_shards(run)
    _check_pools(run)
    _check_folder(run)
    _check_labels(config, data)
    for path in config.evaluate.reference_npz.values():
        read_npz(path, None)  # a file at fault is found before any work
    return run, Real(data, splits)


def _check_labels(config: PipelineConfig, data: ImageData) -> None:
    if data.labels is not None:
        return
    for field, used in (
        ("evaluate.extractors", "domain" in config.evaluate.extractors),
        ("classifier.extractor", config.classifier.input != "pixels" and config.classifier.extractor == "domain"),
    ):
        if used:
            raise ConfigError(
                f"{field}: the domain extractor needs labels and the data have none; use `random`, or pixels"
            )


def _check_folder(run: Run) -> None:
    """A folder of samples has no more rows than it has, and none to spare for a classifier outside the pool."""
    config = run.config
    if config.generator.model != "folder":
        return
    if not config.classifier.folds:
        raise ConfigError(
            "classifier.folds: a folder of samples cannot generate rows outside the pool to train on; use at least 3 "
            "folds, so that the pool itself trains the classifiers and none weighs a row that it saw"
        )
    found, outside = rows_of(config.generator.external).num_rows, run.table("fit_samples").layout.num_rows
    if found - outside < config.generate.num_samples:
        raise ConfigError(
            f"generate.num_samples: {config.generator.external.path} holds {found} samples; the first {outside} are "
            f"set aside (weights.num_tuning_rows, evaluate.naive), so the pool has at most {max(found - outside, 0)}"
        )


def _check_shards(run: Run) -> None:
    """A driver keeps the number of every shard, and an object store lists every file."""
    most = max(run.table(name).layout.num_shards for name in run.tables)
    if most > MAX_SHARDS:
        raise ConfigError(
            f"generate.rows_per_shard: {run.config.generate.rows_per_shard} rows a shard make {most:,} shards of a "
            f"table, at most {MAX_SHARDS:,} are handled; use larger shards"
        )


def _check_pools(run: Run) -> None:
    config = run.config
    needed = config.classifier.folds * FOLD_BLOCK
    if config.generate.num_samples < needed:
        raise ConfigError(
            f"classifier.folds: {config.classifier.folds} folds of blocks of {FOLD_BLOCK} need {needed} samples, "
            f"generate.num_samples is {config.generate.num_samples}; raise it or use fewer folds"
        )
    pool_rows = config.generate.num_samples // config.evaluate.num_repeats
    if pool_rows < run.evaluation_rows:
        raise ConfigError(
            f"evaluate.num_repeats: {config.evaluate.num_repeats} disjoint pools of {config.generate.num_samples} "
            f"samples have {pool_rows} rows each, but {run.evaluation_rows} are evaluated; "
            "raise generate.num_samples or set evaluate.num_rows"
        )
    _check_rows(run)


def _check_rows(run: Run) -> None:
    """Metrics that draw rows of a set need enough of them."""
    evaluate, fewest = run.config.evaluate, min(run.evaluation_rows, run.num_evaluation_rows)
    if evaluate.num_kid_subsets and evaluate.kid_subset_size > fewest:
        raise ConfigError(
            f"evaluate.kid_subset_size: subsets of {evaluate.kid_subset_size} rows of sets of {fewest}; use fewer"
        )
    if evaluate.infinity and run.evaluation_rows < MIN_ROWS_TO_EXTRAPOLATE:
        raise ConfigError(
            f"evaluate.infinity: {run.evaluation_rows} rows cannot be extrapolated from, at least "
            f"{MIN_ROWS_TO_EXTRAPOLATE} are needed; set evaluate.num_rows"
        )
