"""Configuration of the evaluation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.section import Address, MaybeAddress, Section, how, what

ExtractorName = Literal[
    "domain",
    "random",
    "inception",
    "vgg16",
    "clip-rn50",
    "clip-rn101",
    "clip-rn50x4",
    "clip-rn50x16",
    "clip-rn50x64",
    "clip-vit-b-32",
    "clip-vit-b-16",
    "clip-vit-l-14",
    "clip-vit-l-14-336px",
    "dinov2-vit-s-14",
    "dinov2-vit-b-14",
    "dinov2-vit-l-14",
    "dinov2-vit-g-14",
]


class EvaluateConfig(Section):
    """How far each arm is from the real rows of the reference."""

    extractors: list[ExtractorName] = what(
        ["domain", "random"],
        "feature spaces, each with its own table: the domain extractor, the random network, or those of torch-fidelity",
        min_length=1,
    )
    inception_weights: MaybeAddress = how(None, "local Inception weights for torch-fidelity; none: it downloads them")
    extractor_weights: dict[str, Address] = how({}, "local weights of torch-fidelity's other extractors, path by name")
    feature_dtype: Literal["float16", "float32"] = what("float32", "how features are kept, and hence what is measured")
    pool: PoolConfig = PoolConfig(max_actors=2)
    reference: Literal["held_out", "test", "train"] = what(
        "held_out",
        "real rows to compare with: the evaluation split, the published test rows (needs data.test_rows = apart), or "
        "the published training rows, which the generator saw (what papers that report 50k against 50k train do)",
    )
    num_reference: int | None = what(None, "at most so many of them, drawn by seed; none: all", ge=2)
    reference_npz: dict[str, Address] = what(
        {}, "files of `mu` and `sigma` that others made, path by extractor; adds `fid_npz` to every arm"
    )
    num_repeats: int = what(5, "disjoint parts of the pool, each evaluated on its own", ge=2)
    num_rows: int | None = what(None, "rows of every arm; none: as many as there are reference rows", ge=2)
    extractor_epochs: int = what(6, "epochs of the domain extractor's training", ge=1)
    naive: bool = what(
        True, "also run the method as published, a classifier of clean pixels at alpha 1, for arms to compare with"
    )
    rivals: bool = what(True, "also run the rivals on the same pool: rejection samplers, MH chains, ranks, uniform")
    num_neighbours: int = what(5, "k of precision and recall", ge=1)
    num_kid_subsets: int = what(0, "random subsets of the KID that papers report, 100 of 1000 rows; 0: none", ge=0)
    kid_subset_size: int = what(1000, "rows of either set in such a subset", ge=2)
    kid_rbf: Annotated[float, Field(gt=0)] | Literal["median"] | None = what(
        None,
        "width of a Gaussian kernel for a second KID, in units of the features, or `median`: the median distance of "
        "two real rows; none: no second KID",
    )
    infinity: bool = what(False, "also extrapolate FID and Inception Score to infinitely many rows; costly")
    whole_pool: bool = what(False, "also measure all samples of the pool as one set, raw and weighted")

    @model_validator(mode="after")
    def _files_are_of_these_extractors(self) -> "EvaluateConfig":
        for field in ("extractor_weights", "reference_npz"):
            other = sorted(set(getattr(self, field)) - set(self.extractors))
            if other:
                raise ValueError(f"{field} names {', '.join(other)}; the extractors are {', '.join(self.extractors)}")
        return self
