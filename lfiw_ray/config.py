"""The configuration of a run: one frozen model per stage, nested in `PipelineConfig`.

Each field is either *what* (it decides what is computed, and is hashed into the plan) or *how* (workers,
devices, paths; a resume may change it).  `argv.py` reads files, environment and flags into it.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lfiw_ray.config_cost import CostConfig
from lfiw_ray.config_evaluate import EvaluateConfig
from lfiw_ray.config_generators import (
    FAST_SAMPLING,
    DAGANConfig,
    ExternalConfig,
    FlowConfig,
    GeneratorName,
    IWAEConfig,
    PixelCNNConfig,
    SNGANConfig,
    VAEConfig,
)
from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.config_selections import ResampleConfig
from lfiw_ray.config_sweep import SweepConfig
from lfiw_ray.core.blocks import WEIGHT_BLOCK
from lfiw_ray.core.noise import NOISE_BLOCK
from lfiw_ray.section import Address, MaybeAddress, Section, how, what

Fraction = Annotated[float, Field(gt=0, lt=1)]


class DataConfig(Section):
    """Real data and its four disjoint splits."""

    name: Literal[
        "embedded", "fashion-mnist", "mnist", "binarized-mnist", "cifar10", "omniglot", "parquet", "images"
    ] = what("embedded", "data set; `embedded` is 10,000 Fashion-MNIST images inside the package")
    path: MaybeAddress = how(None, "folder or URL of the data set's files (any fsspec URL); not for `embedded`")
    image_column: str = what("image", "column of the images (parquet)")
    label_column: str | None = what(None, "column of integer labels (parquet); none: no labels")
    test_column: str | None = what(None, "integer or boolean column that marks published test rows (parquet)")
    test_value: int = what(1, "its value for a test row; true is 1")
    test_rows: Literal["mixed", "apart"] = what(
        "mixed",
        "published test rows are mixed into all splits, or apart: they are the evaluation split, and the other splits "
        "are drawn from the published training rows, of which those that the fractions leave over are not used",
    )
    generator_fraction: Fraction = what(0.35, "share of the rows that train the generator")
    classifier_fraction: Fraction = what(0.35, "share of the rows that train the classifier (and the domain extractor)")
    calibration_fraction: Fraction = what(0.1, "share for early stopping and calibration; the rest is for evaluation")

    @model_validator(mode="after")
    def _some_rows_are_left(self) -> "DataConfig":
        total = self.generator_fraction + self.classifier_fraction + self.calibration_fraction
        if self.test_rows == "apart" and total > 1 + 1e-9:
            raise ValueError(f"the three fractions of the training rows sum to {total:g}, which is more than 1")
        if self.test_rows == "mixed" and total >= 1:
            raise ValueError(f"the three fractions sum to {total:g}; less than 1 must leave rows for the evaluation")
        return self


class TrainConfig(Section):
    """One training run, of any model, on Ray Train."""

    epochs: int = what(20, "passes over the training rows", ge=1)
    batch_size: int = what(128, "rows a step, over all workers", ge=1)
    lr: float = what(1e-3, "peak learning rate of AdamW", gt=0)
    weight_decay: float = what(0.0, "decoupled weight decay", ge=0)
    warmup_steps: int = what(100, "steps of linear warm-up", ge=0)
    schedule: Literal["constant", "linear", "cosine"] = what("cosine", "learning rate after the warm-up")
    ema_decay: float = what(
        0.999, "decay of the averaged weights, which are the ones kept; 0: no averaging", ge=0, lt=1
    )
    beta1: float = what(0.9, "decay of AdamW's first moment", ge=0, lt=1)
    beta2: float = what(0.999, "decay of AdamW's second moment", ge=0, lt=1)
    clip_norm: float = what(1.0, "largest gradient norm; 0: no clipping", ge=0)
    patience_epochs: int = what(0, "stop after so many epochs without a better held-out loss; 0: never", ge=0)
    bf16: bool = what(True, "bfloat16 autocast and channels-last convolutions on a GPU")
    num_workers: int = how(1, "Ray Train workers; 0 trains inside the calling process", ge=0)
    cpus_per_worker: float = how(1.0, "CPUs each worker reserves", gt=0)
    num_threads: int = how(1, "torch threads of each worker on CPU (another number may round differently)", ge=1)
    max_failures: int = how(3, "restarts after a lost worker", ge=0)
    checkpoint_every_epochs: int = how(5, "epochs between checkpoints", ge=1)
    checkpoint_every_minutes: float = how(5.0, "minutes between checkpoints, when that is sooner", gt=0)


class GeneratorConfig(Section):
    """The generator and its training."""

    model: GeneratorName = what("vae", "model of the registry, or where a generator made elsewhere comes from")
    vae: VAEConfig = VAEConfig()
    iwae: IWAEConfig = IWAEConfig()
    pixelcnn: PixelCNNConfig = PixelCNNConfig()
    sngan: SNGANConfig = SNGANConfig()
    dagan: DAGANConfig = DAGANConfig()
    flow: FlowConfig = FlowConfig()
    external: ExternalConfig = ExternalConfig()
    train: TrainConfig = TrainConfig(epochs=40, batch_size=32, lr=2e-3, ema_decay=0.99)


class GenerateConfig(Section):
    """The pool of generated samples."""

    num_samples: int = what(100_000, "samples in the pool", ge=1)
    rows_per_shard: int = what(16_384, f"samples a shard; a multiple of {WEIGHT_BLOCK:,}", ge=1)
    batch_size: int = what(1024, f"samples a forward pass; divides {NOISE_BLOCK:,}", ge=1)
    bf16: bool = what(False, "bfloat16 autocast and channels-last convolutions; of models trained here, for GPUs")
    compile: bool = what(False, "torch.compile the sampled network, at each actor's start; of models trained here")
    pool: PoolConfig = PoolConfig()

    @model_validator(mode="after")
    def _blocks_fit(self) -> "GenerateConfig":
        if self.rows_per_shard % WEIGHT_BLOCK:
            raise ValueError(f"rows_per_shard ({self.rows_per_shard}) must be a multiple of {WEIGHT_BLOCK}")
        if NOISE_BLOCK % self.batch_size:
            raise ValueError(f"batch_size ({self.batch_size}) must divide {NOISE_BLOCK}")
        return self


class ClassifierConfig(Section):
    """The classifier that tells real from generated."""

    input: Literal["pixels", "features", "both"] = what(
        "pixels", "what it sees: a ResNet on noised pixels, a small head on frozen features, or both side by side"
    )
    extractor: Literal["domain", "random", "inception"] = what("domain", "frozen features, where it sees any")
    bridges: int = what(
        0, "distributions between real and generated, whose log ratios are summed (telescoping); 0: one ratio", ge=0
    )
    members: int = what(1, "classifiers trained from other seeds; their log weights are averaged", ge=1)
    folds: int = what(
        0,
        "cross-fitting: train on the pool itself, in so many folds, each scored by a classifier that saw none of it; "
        "0: train on samples outside the pool",
        ge=0,
    )
    width: int = what(24, "channels of the first layer", ge=1)
    noise_sigma: float = what(0.75, "noise added to both sides, in units of the [-1, 1] pixel range", ge=0)
    noise_draws: int = what(1, "noisy copies whose logits are averaged when a row is scored", ge=1)
    dropout: float = what(0.0, "dropout before the last layer", ge=0, lt=1)
    calibrators: list[Literal["temperature", "platt", "beta", "isotonic"]] = what(
        ["temperature", "platt", "beta", "isotonic"],
        "calibrators tried; the best cross-validated log loss wins",
        min_length=1,
    )
    train: TrainConfig = TrainConfig(epochs=16, lr=2e-3, ema_decay=0.99, patience_epochs=3)

    def on_clean_pixels(self) -> "ClassifierConfig":
        """The method as published, otherwise alike and trained alike."""
        plain = {"input": "pixels", "noise_sigma": 0.0, "noise_draws": 1, "bridges": 0, "members": 1, "folds": 0}
        return self.model_copy(update=plain)

    @model_validator(mode="after")
    def _folds_leave_rows(self) -> "ClassifierConfig":
        if self.folds in (1, 2):
            raise ValueError(
                f"folds ({self.folds}) must be 0 or at least 3: one is scored, one calibrates, the rest train"
            )
        return self


class ScoreConfig(Section):
    """The weights of the pool."""

    batch_size: int = what(256, "rows a forward pass", ge=1)
    pool: PoolConfig = PoolConfig()


class WeightsConfig(Section):
    """From calibrated log odds to the weights that are used, and the gate."""

    alpha: Annotated[float, Field(ge=0)] | Literal["auto"] = what(
        "auto", "flattening exponent w^alpha, or `auto`: the largest that passes"
    )
    num_tuning_rows: int = what(4_096, "generated rows outside the pool on which alpha is chosen", ge=256)
    min_ess_fraction: float = what(0.15, "smallest ESS / N that `auto` passes", gt=0, lt=1)
    max_k_hat: float = what(0.7, "largest Pareto shape that passes", gt=0)
    beta: float = what(0.0, "lower clip max(w^alpha, beta), in units of the mean weight; 0: none", ge=0)
    tail: Literal["none", "truncate", "psis"] = what(
        "none", "upper tail: as it is, truncated at sqrt(N) times the mean (Ionides), or Pareto-smoothed"
    )


class DownstreamConfig(Section):
    """Semi-supervised classification with the semantic loss."""

    num_labels: int = what(200, "labelled real rows", ge=10)
    num_unlabelled: int = what(3_000, "unlabelled generated rows of an arm", ge=1)
    num_updates: int = what(300, "optimiser steps, the same for every arm", ge=1)
    batch_size: int = what(64, "rows a step; half of them unlabelled where an arm has any", ge=2)
    lr: float = what(3e-3, "learning rate of Adam", gt=0)
    semantic_weight: float = what(0.5, "weight of the semantic loss", ge=0)
    num_seeds: int = what(5, "repetitions of every arm", ge=2)
    max_concurrent: int = how(2, "trials at the same time", ge=1)


class StudiesConfig(Section):
    """Experiments of known answer, independent of the run's data."""

    names: list[Literal["toy", "estimators", "telescoping", "gaussians"]] = how(
        ["toy", "gaussians", "telescoping", "estimators"],
        "studies of known answer to run and show in the report, about a minute on two cores; empty: none",
    )


class ReportConfig(Section):
    """The page."""

    grid_rows: int = how(6, "rows of an image grid", ge=1)
    grid_columns: int = how(12, "columns of an image grid", ge=1)


class PipelineConfig(Section):
    """Everything a run needs."""

    run: Address = how("runs/default", "run folder: a path or any fsspec URL", min_length=1)
    seed: int = what(0, "seed of everything random", ge=0)
    num_gpus: float = how(0.0, "GPUs of each training worker and each actor; 0: CPU", ge=0)
    dashboard: bool = how(True, "whether a Ray that the job starts itself has its dashboard, about ten processes")
    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    generate: GenerateConfig = GenerateConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    score: ScoreConfig = ScoreConfig()
    weights: WeightsConfig = WeightsConfig()
    resample: ResampleConfig = ResampleConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    downstream: DownstreamConfig = DownstreamConfig()
    sweep: SweepConfig = SweepConfig()
    studies: StudiesConfig = StudiesConfig()
    report: ReportConfig = ReportConfig()
    cost: CostConfig = CostConfig()

    @model_validator(mode="after")
    def _samples_can_be_fast(self) -> "PipelineConfig":
        model, fast = self.generator.model, ", ".join(FAST_SAMPLING)
        for name in ("bf16", "compile"):
            if getattr(self.generate, name) and model not in FAST_SAMPLING:
                raise ValueError(
                    f"generate.{name}: it applies to {fast}; {model} is sampled as it is, set generate.{name} to false"
                )
        return self

    @model_validator(mode="after")
    def _k_fits(self) -> "PipelineConfig":
        for name, k in [("k", self.resample.k), *((f"more: k of {s.name}", s.k) for s in self.resample.more)]:
            if k > self.generate.num_samples:
                raise ValueError(
                    f"resample.{name} ({k}) is more than generate.num_samples ({self.generate.num_samples})"
                )
        return self
