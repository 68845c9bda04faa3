"""The part of the configuration that says which selections are made; see `config`."""

from typing import Literal

from pydantic import model_validator

from lfiw_ray.section import Section, how, what

Scheme = Literal[
    "sir",
    "systematic",
    "stratified",
    "residual",
    "gumbel",
    "pool",
    "drs",
    "obrs",
    "mh",
    "top_k",
    "uniform",
    "reversed",
]


class SelectionConfig(Section):
    """One more selection from the same pass over the weights."""

    scheme: Scheme = what("gumbel", "how rows are selected; see resample.schemes")
    k: int = what(10_000, "rows selected, repeats counted", ge=0)
    seed: int | None = what(None, "seed of the selection; none: the run's", ge=0)
    alpha: float | None = what(None, "flattening exponent, without clip or tail; none: the run's weights", ge=0)
    per_class: bool = what(False, "split k evenly over the classes of the samples' label column")

    @property
    def name(self) -> str:
        """What its file is called: the scheme, k, and what differs from the run."""
        parts = [self.scheme, f"k{self.k}"]
        parts += [f"alpha{self.alpha:g}"] if self.alpha is not None else []
        parts += [f"seed{self.seed}"] if self.seed is not None else []
        return "-".join([*parts, *(["per-class"] if self.per_class else [])])


class ResampleConfig(Section):
    """The resampled sets."""

    k: int = what(10_000, "rows of each resampled set", ge=1)
    schemes: list[Scheme] = what(
        ["sir", "gumbel"],
        "with replacement: sir (multinomial), systematic, stratified, residual; without: gumbel (Gumbel-top-k with "
        "Horvitz-Thompson weights), pool (one of each N // k candidates); rivals: drs, obrs, mh, top_k, uniform, "
        "reversed",
        min_length=1,
    )
    per_class: bool = what(False, "split k evenly over the classes of the samples' label column")
    more: list[SelectionConfig] = what([], "more selections, with their own k, seed and alpha, from the same pass")
    num_tasks: int = how(2, "tasks over groups of shards, in diagnostics, resampling and gathering", ge=1)

    @property
    def names(self) -> list[str]:
        """Names of all selections, in order."""
        return [*self.schemes, *(selection.name for selection in self.more)]

    @model_validator(mode="after")
    def _names_differ(self) -> "ResampleConfig":
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ValueError(f"selections asked for twice: {', '.join(twice)}")
        return self
