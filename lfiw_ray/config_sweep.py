"""The part of the configuration that says what a sweep of the evaluation tries; see `studies.sweep`.

For the run all its fields are *how*: they decide nothing that a stage computes, and a sweep may be added to a finished
run.  The sweep has a plan of its own, made of all of them but `max_concurrent`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lfiw_ray.section import Section, how

Input = Literal["own", "clean_pixels", "pixels", "features", "both"]
SweepScheme = Literal["sir", "systematic", "stratified", "residual", "gumbel", "gumbel_ht"]
Exponent = Annotated[float, Field(ge=0)]
Size = Annotated[int, Field(ge=2)]
_CHOICES = ("inputs", "calibrators", "alphas", "tails", "schemes", "ks")


class SweepConfig(Section):
    """What a sweep tries, how it judges, and how many trials it makes."""

    num_trials: int = how(48, "settings tried: the whole grid of the choices, or a random part of this size", ge=1)
    inputs: list[Input] = how(
        ["own"],
        "what the classifier sees: own (the run's), clean_pixels (the method as published), pixels (noised), features "
        "or both (frozen ones of classifier.extractor); those that the run has not scored are trained and scored once",
        min_length=1,
    )
    calibrators: list[Literal["temperature", "platt", "beta", "isotonic"]] = how(
        ["temperature", "platt", "beta", "isotonic"], "calibrators, fitted on the sweep's training rows", min_length=1
    )
    alphas: list[Exponent] = how([0.2, 0.4, 0.6, 0.8, 1.0], "flattening exponents of w^alpha", min_length=1)
    tails: list[Literal["none", "truncate", "psis"]] = how(
        ["none", "truncate", "psis"], "upper tails of the weights; see weights.tail", min_length=1
    )
    schemes: list[SweepScheme] = how(
        ["sir", "systematic", "stratified", "residual", "gumbel", "gumbel_ht"],
        "how rows are selected: with replacement, Gumbel-top-k as a plain set, or with its Horvitz-Thompson weights",
        min_length=1,
    )
    ks: list[Size] = how([1_000, 2_500, 5_000], "rows selected from each pool, repeats counted", min_length=1)
    metric: Literal["kid", "fid"] = how(
        "kid", "what is made small; kid does not fall with the number of rows, fid does and allows one k alone"
    )
    extractor: str | None = how(None, "feature space, one of evaluate.extractors; none: the first of them")
    num_validation_pools: int = how(4, "disjoint pools on which trials are compared", ge=2)
    num_test_pools: int = how(4, "other disjoint pools, looked at once, for the winner", ge=2)
    scheduler: Literal["all", "asha"] = how(
        "all",
        "all: every trial sees every validation pool; asha: poor ones stop early, which depends on the order in which "
        "trials report, so that a repetition may stop others",
    )
    grace_pools: int = how(2, "pools that a trial sees before asha may stop it", ge=2)
    max_concurrent: int | None = how(None, "trials at the same time; none: one for each CPU of the cluster", ge=1)

    def own_plan(self) -> dict[str, Any]:
        """The fields that decide what the sweep computes."""
        return self.model_dump(exclude={"max_concurrent"})

    @model_validator(mode="after")
    def _choices_differ(self) -> "SweepConfig":
        for name in _CHOICES:
            values = getattr(self, name)
            twice = [value for place, value in enumerate(values) if value in values[:place]]
            if twice:
                raise ValueError(f"{name}: {twice[0]} is there twice")
        return self

    @model_validator(mode="after")
    def _trials_are_comparable(self) -> "SweepConfig":
        if self.metric == "fid" and len(self.ks) > 1:
            raise ValueError(
                f"metric fid falls with the number of rows, so that sets of {len(self.ks)} different sizes k cannot be "
                "compared by it; give one k, or use kid"
            )
        if self.scheduler == "asha" and self.grace_pools > self.num_validation_pools:
            raise ValueError(
                f"grace_pools ({self.grace_pools}) is more than num_validation_pools ({self.num_validation_pools})"
            )
        return self
