"""The plan of each stage: a hash of the fields that decide what it computes, and of the plans before it."""

from typing import Any

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.digest import digest

FORMAT = 1  # raised when the meaning of what is stored changes


def stage_plans(config: PipelineConfig, fingerprint: str) -> dict[str, str]:
    """Plan per stage.

    Parameters
    ----------
    fingerprint : of the real data: the same fields on other data are another plan.
    """
    fields = config.planned()
    common = {"format": FORMAT, "seed": config.seed, "data": fields["data"], "fingerprint": fingerprint}
    cut = {name: fields["generate"][name] for name in ("rows_per_shard", "batch_size")}
    plans: dict[str, str] = {}

    def plan(stage: str, *before: str, **own: Any) -> None:
        plans[stage] = digest({"stage": stage, "before": [plans[b] for b in before], **own})

    plan("generator", common=common, generator=fields["generator"])
    plan("domain", common=common, epochs=fields["evaluate"]["extractor_epochs"])
    plan("fit_samples", "generator", cut=cut, tuning=fields["weights"]["num_tuning_rows"])
    domain = ["domain"] if config.classifier.input == "features" else []
    plan("classifier", "fit_samples", *domain, classifier=fields["classifier"], score=fields["score"])
    plan("samples", "generator", generate=fields["generate"])
    plan("weights", "samples", "classifier", score=fields["score"])
    naive = ["naive_weights"] if config.evaluate.naive else []
    if naive:
        own = config.classifier.on_clean_pixels().planned()
        plan("naive_classifier", "fit_samples", classifier=own, score=fields["score"])
        plan("naive_weights", "samples", "naive_classifier", score=fields["score"])
    plan("diagnostics", "weights", *naive, weights=fields["weights"], k=fields["resample"]["k"])  # the gate asks for k
    plan("selection", "diagnostics", resample=fields["resample"])
    plan("resampled", "selection")
    plan("evaluation", "diagnostics", "domain", evaluate=fields["evaluate"])
    plan("downstream", "resampled", downstream=fields["downstream"])
    return plans
