"""Which stages a field decides: all *what* fields and all *how* fields of the configuration, one by one."""

from collections.abc import Iterator
from typing import Any

import pytest

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.plans import EXTERNAL_FIELDS, stage_plans, trains_outside
from lfiw_ray.section import Section

EMBEDDED = {"embedded/real", "embedded/pool"}  # of all the evaluation's extractors together
EVALUATED = {"evaluation_rows", "embedded/pool", "evaluation"}
LATE = {"selection", "resampled", "downstream", *EVALUATED}
NAIVE = {"naive_classifier", "naive_weights"}
OWN = {"classifier", "weights", "diagnostics", *LATE}  # of the classifier alone, not of the naive one
POOL = {"samples", "weights", "naive_weights", "diagnostics", *LATE}
FIT = {"fit_samples", *OWN, *NAIVE}
REAL = {"domain", "embedded/real"}  # of the real rows alone
ALL = {"generator", "code_length", *REAL, *FIT, *POOL}
FEATURES = {"features/real", "features/fit_samples", "features/samples"}  # where the classifier sees any

DECIDES = {  # the longest prefix of a field's name counts
    "seed": ALL,
    "data.": ALL,
    "generator.": set(),  # of models that are not the chosen one
    "generator.model": ALL - REAL,
    "generator.vae.": ALL - REAL,
    "generator.train.": ALL - REAL,
    "generate.": POOL | FIT,
    "generate.num_samples": POOL,
    "classifier.": FIT - {"fit_samples"},
    "classifier.input": FEATURES | OWN,
    "classifier.noise_sigma": OWN,
    "classifier.noise_draws": OWN,
    "classifier.bridges": OWN,
    "classifier.members": OWN,
    "classifier.folds": OWN,
    "classifier.extractor": set(),  # pixels do not need it
    "score.": FIT - {"fit_samples"},
    "weights.": {"diagnostics", *LATE},
    "weights.num_tuning_rows": FIT,
    "resample.": {"selection", "resampled", "downstream"},
    "resample.k": {"diagnostics", *LATE},  # the gate asks whether the ESS is enough for k
    "evaluate.": {"evaluation"},
    "evaluate.whole_pool": {"whole_pool", "evaluation"},
    "evaluate.extractors": {*EMBEDDED, "evaluation"},
    "evaluate.feature_dtype": {*EMBEDDED, "evaluation"},
    "evaluate.reference": {*EMBEDDED, *EVALUATED},  # as many rows of an arm as the reference has
    "evaluate.reference_npz": {"evaluation"},
    "evaluate.num_reference": {*EMBEDDED, *EVALUATED},
    "evaluate.num_rows": {*EMBEDDED, *EVALUATED},
    "evaluate.num_repeats": EVALUATED,
    "evaluate.rivals": EVALUATED,
    "evaluate.naive": {*NAIVE, "diagnostics", *LATE},
    "evaluate.extractor_epochs": {"domain", *EMBEDDED, "evaluation"},
    "downstream.": {"downstream"},
}


MODELS = ("vae", "iwae", "pixelcnn", "sngan", "dagan", "flow")


def leaves(section: Section, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Name of each field, and whether it is a *what* field."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.json_schema_extra["plan"]


def kinds(plan: bool) -> list[str]:
    """Names of all *what* (True) or *how* (False) fields."""
    return [key for key, is_what in leaves(PipelineConfig()) if is_what is plan]


def changed_value(value: Any) -> Any:
    """Another value; whether it is a sensible one does not matter here, but for the name of a model."""
    if value in (*MODELS, *EXTERNAL_FIELDS):
        return next(name for name in MODELS if name != value)
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else [*value, "x"] if isinstance(value, list) else f"{value}x"


def altered(section: Any, path: list[str]) -> Any:
    """A copy of a configuration with one field changed."""
    name, *rest = path
    old = getattr(section, name)
    return section.model_copy(update={name: altered(old, rest) if rest else changed_value(old)})


def changed_stages(key: str, config: PipelineConfig) -> set[str]:
    before, after = stage_plans(config, "ab"), stage_plans(altered(config, key.split(".")), "ab")
    known = before.keys() | after.keys()
    assert ALL <= {of_any_extractor(stage) for stage in known} <= ALL | FEATURES | {"whole_pool"}
    return {of_any_extractor(stage) for stage in known if before.get(stage) != after.get(stage)}


def of_any_extractor(stage: str) -> str:
    """The name of a stage without that of an extractor of the evaluation."""
    parts = stage.split("/")
    if parts[0] == "whole_pool":
        return parts[0]
    return f"embedded/{parts[2]}" if parts[0] == "embedded" else stage


@pytest.mark.parametrize("key", kinds(plan=True))
def test_a_what_field_changes_what_follows_from_it_and_nothing_else(key: str) -> None:
    prefix = max((p for p in DECIDES if key.startswith(p)), key=len)
    assert changed_stages(key, PipelineConfig()) == DECIDES[prefix]


@pytest.mark.parametrize("key", kinds(plan=False))
def test_a_how_field_changes_nothing(key: str) -> None:
    assert changed_stages(key, PipelineConfig()) == set()


def test_both_kinds_are_there() -> None:
    assert {"run", "generator.train.num_workers", "generate.pool.max_actors"} <= set(kinds(plan=False))
    assert len(kinds(plan=True)) > 50


@pytest.mark.parametrize("model", MODELS)
def test_only_the_chosen_models_section_is_part_of_its_plan(model: str) -> None:
    config = PipelineConfig.model_validate({"generator": {"model": model}})
    for key in (key for key in kinds(plan=True) if key.startswith("generator.")):
        chosen = key.split(".")[1] in ("model", "train", model)
        assert changed_stages(key, config) == (ALL - REAL if chosen else set()), key


@pytest.mark.parametrize("model", EXTERNAL_FIELDS)
def test_a_generator_made_elsewhere_is_what_identifies_it_and_the_fields_it_reads(model: str) -> None:
    config = PipelineConfig.model_validate({"generator": {"model": model}, "classifier": {"folds": 3}})
    for key in (key for key in kinds(plan=True) if key.startswith("generator.")):
        name = key.split(".")[-1]
        read = key == "generator.model" or (".external." in key and name in EXTERNAL_FIELDS[model])
        assert bool(changed_stages(key, config)) == read, key
    before, after = (stage_plans(config, "ab", identity) for identity in ("one", "two"))
    assert {of_any_extractor(stage) for stage in before if before[stage] != after[stage]} == ALL - REAL


def test_every_field_of_a_generator_made_elsewhere_is_read_by_one_kind() -> None:
    planned = {key.split(".")[-1] for key in kinds(plan=True) if ".external." in key}
    assert sorted(name for names in EXTERNAL_FIELDS.values() for name in names) == sorted(planned)


def test_the_pool_of_a_folder_is_the_rows_after_those_set_aside() -> None:
    config = PipelineConfig.model_validate({"generator": {"model": "folder"}, "classifier": {"folds": 3}})
    assert changed_stages("weights.num_tuning_rows", config) >= POOL
    assert changed_stages("generate.num_samples", config) >= POOL
    assert "fit_samples" not in changed_stages("generate.num_samples", config)


def test_other_data_are_another_plan_of_every_stage() -> None:
    config = PipelineConfig()
    before, after = stage_plans(config, "ab"), stage_plans(config, "cd")
    assert before.keys() == after.keys()
    assert all(before[stage] != after[stage] for stage in before)


def test_a_classifier_on_features_hangs_on_the_extractor() -> None:
    config = PipelineConfig.model_validate({"classifier": {"input": "features"}})
    changed = changed_stages("evaluate.extractor_epochs", config)
    assert changed == {*REAL, *FEATURES, *OWN}
    assert changed_stages("classifier.extractor", config) == FEATURES | OWN
    random = PipelineConfig.model_validate({"classifier": {"input": "both", "extractor": "random"}})
    assert changed_stages("evaluate.extractor_epochs", random) == {"domain", *EMBEDDED, "evaluation"}


def test_a_space_hangs_on_the_domain_extractor_only_where_it_is_that_one() -> None:
    """And its rows of the pool on their choice, its real rows on nothing but the data."""
    config, other = (PipelineConfig.model_validate({"evaluate": {"extractor_epochs": n}}) for n in (6, 7))
    before, after = stage_plans(config, "ab"), stage_plans(other, "ab")
    for part in ("real", "pool"):
        assert before[f"embedded/random/{part}"] == after[f"embedded/random/{part}"]
        assert before[f"embedded/domain/{part}"] != after[f"embedded/domain/{part}"]


def test_cross_fitting_hangs_the_classifier_on_the_pool_and_not_the_other_way_round() -> None:
    config = PipelineConfig.model_validate({"classifier": {"folds": 3, "input": "both"}})
    assert changed_stages("generate.num_samples", config) == {"features/samples", "classifier", *POOL}
    plain, crossed = stage_plans(PipelineConfig(), "ab"), stage_plans(config, "ab")
    assert all(plain[stage] == crossed[stage] for stage in ("samples", "fit_samples", *NAIVE))


def test_only_rows_for_alpha_lie_outside_the_pool_when_no_classifier_is_trained_there() -> None:
    sections = {"classifier": {"folds": 3}, "evaluate": {"naive": False}}
    alone = stage_plans(PipelineConfig.model_validate(sections), "ab")
    assert alone["fit_samples"] != stage_plans(PipelineConfig(), "ab")["fit_samples"]
    assert not trains_outside(PipelineConfig.model_validate(sections))
    assert trains_outside(PipelineConfig.model_validate(sections | {"evaluate": {"naive": True}}))
    assert trains_outside(PipelineConfig.model_validate({"evaluate": {"naive": False}}))
