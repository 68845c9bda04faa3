"""The plan of each stage: a hash of the fields that decide what it computes, and of the plans before it."""

from collections.abc import Callable
from typing import Any

from lfiw_ray.config import ClassifierConfig, GeneratorConfig, PipelineConfig
from lfiw_ray.core.digest import digest

FORMAT = 1  # raised when the meaning of what is stored changes
EXTERNAL_FIELDS = {
    "import": ("version",),
    "torchscript": ("latents",),
    "diffusers": ("steps", "prompt"),
    "folder": ("labels", "image_column"),
}


def stage_plans(config: PipelineConfig, fingerprint: str, identity: str | None = None) -> dict[str, str]:
    """Plan per stage.

    Parameters
    ----------
    fingerprint : of the real data: the same fields on other data are another plan.
    identity : of a generator that was made elsewhere (`external.identity`): another file is another plan.
    """
    fields = config.planned()
    common = {"format": FORMAT, "seed": config.seed, "data": fields["data"], "fingerprint": fingerprint}
    cut = {name: fields["generate"][name] for name in ("rows_per_shard", "batch_size", "bf16", "compile")}
    plans: dict[str, str] = {}

    def plan(stage: str, *before: str, **own: Any) -> None:
        plans[stage] = digest({"stage": stage, "before": [plans[b] for b in before], **own})

    plan("generator", common=common, generator=_generator(config.generator, identity))
    plan("code_length", "generator")
    plan("domain", common=common, epochs=fields["evaluate"]["extractor_epochs"])
    tuning = {"tuning": fields["weights"]["num_tuning_rows"]}
    plan("fit_samples", "generator", cut=cut, **tuning, **({} if trains_outside(config) else {"rows": "tuning"}))
    outside = ["fit_samples"] if config.generator.model == "folder" else []  # the pool is the rows after them
    plan("samples", "generator", *outside, generate=fields["generate"])
    fit, pool = _features(config, common, plan)
    trained_on = ["fit_samples", *fit, *(["samples", *pool] if config.classifier.folds else [])]
    plan("classifier", *trained_on, classifier=_classifier(config.classifier), score=fields["score"])
    plan("weights", "samples", *pool, "classifier", score=fields["score"])
    naive = ["naive_weights"] if config.evaluate.naive else []
    if naive:
        own = _classifier(config.classifier.on_clean_pixels())
        plan("naive_classifier", "fit_samples", classifier=own, score=fields["score"])
        plan("naive_weights", "samples", "naive_classifier", score=fields["score"])
    plan("diagnostics", "weights", *naive, weights=fields["weights"], k=fields["resample"]["k"])  # the gate asks for k
    plan("selection", "diagnostics", resample=fields["resample"])
    plan("resampled", "selection")
    tables = _embedded(config, common, plan)
    plan("evaluation", "diagnostics", "domain", *tables, evaluate=fields["evaluate"])
    plan("downstream", "resampled", downstream=fields["downstream"])
    return plans


def _generator(config: GeneratorConfig, identity: str | None) -> dict[str, Any]:
    """The *what* fields of the chosen model alone; of one made elsewhere, what it is."""
    fields = config.planned()
    if config.model in fields:
        return {name: fields[name] for name in ("model", config.model, "train")}
    return {"model": config.model, "identity": identity, "external": _external(config)}


def _external(config: GeneratorConfig) -> dict[str, Any]:
    """The fields of `external` that this kind of generator reads."""
    return {name: getattr(config.external, name) for name in EXTERNAL_FIELDS[config.model]}


def trains_outside(config: PipelineConfig) -> bool:
    """Whether a classifier is trained on samples outside the pool; with cross-fitting only the naive one is."""
    return config.classifier.folds == 0 or config.evaluate.naive


def _features(config: PipelineConfig, common: dict[str, Any], plan: Callable[..., None]) -> tuple[list[str], list[str]]:
    """Plan the tables of frozen features, where there are any; names of those of fit_samples and of the pool."""
    if config.classifier.input == "pixels":
        return [], []
    extractor = config.classifier.extractor
    before = ["domain"] if extractor == "domain" else []
    plan("features/real", *before, common=common, extractor=extractor)
    for table in ("fit_samples", "samples"):
        plan(f"features/{table}", table, "features/real")
    return ["features/real", "features/fit_samples"], ["features/samples"]


def _embedded(config: PipelineConfig, common: dict[str, Any], plan: Callable[..., None]) -> list[str]:
    """Plan the rows of the arms and their features in each of the evaluation's spaces; names of those tables."""
    fields, tables = config.evaluate.planned(), []
    compared = {name: fields[name] for name in ("reference", "num_reference", "num_rows")}
    naive = ["naive_weights"] if config.evaluate.naive else []
    cut = {name: fields[name] for name in ("num_repeats", "rivals")}
    plan("evaluation_rows", "samples", "weights", *naive, "diagnostics", **cut, **compared)
    for name in config.evaluate.extractors:
        before = ["domain"] if name == "domain" else []
        space = {"extractor": name, "dtype": fields["feature_dtype"]}
        plan(f"embedded/{name}/real", *before, common=common, **space, **compared)
        plan(f"embedded/{name}/pool", "evaluation_rows", *before, **space)
        tables += [f"embedded/{name}/{part}" for part in ("real", "pool")]
        if config.evaluate.whole_pool:
            plan(f"whole_pool/{name}", "diagnostics", *before, extractor=name)
            tables.append(f"whole_pool/{name}")
    return tables


def _classifier(config: ClassifierConfig) -> dict[str, Any]:
    """The *what* fields, without the extractor where it is not used."""
    unused = {"extractor"} if config.input == "pixels" else set()
    return {name: value for name, value in config.planned().items() if name not in unused}
