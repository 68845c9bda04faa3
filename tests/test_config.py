"""Every field is *what* or *how*, and only the *what* fields reach the plan."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.section import Section

DEFAULT = PipelineConfig.model_validate({"classifier": {"input": "both"}})  # where every field matters


def leaves(section: Section, *above: str) -> Iterator[tuple[str, bool]]:
    """Dotted name of every field, and whether it is *what*."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, *above, name)
        else:
            extra = field.json_schema_extra
            assert isinstance(extra, dict), f"{name} is neither what nor how"
            yield ".".join((*above, name)), bool(extra["plan"])


LEAVES = dict(leaves(DEFAULT))


def perturbed(section: Section, path: str) -> Section:
    """The section with another value, valid or not, in one field."""
    name, _, rest = path.partition(".")
    value = getattr(section, name)
    return section.model_copy(update={name: perturbed(value, rest) if rest else ["changed", value]})


def with_the_model_of(path: str) -> PipelineConfig:
    """The configuration whose generator reads a field: only the chosen model's section reaches the plan."""
    _, section, *rest = path.split(".") if path.startswith("generator.") else ("", "vae")
    reads = {"latents": "torchscript", "steps": "diffusers", "prompt": "diffusers", "version": "import"}
    model = reads.get(rest[0], "folder") if section == "external" else section
    chosen = "vae" if model in ("model", "train") else model
    return PipelineConfig.model_validate({"classifier": {"input": "both"}, "generator": {"model": chosen}})


@pytest.mark.parametrize("path", sorted(LEAVES.keys() - {"generator.model"}))  # which decides what the others mean
def test_the_plan_depends_on_the_what_fields_alone(path: str):
    default = with_the_model_of(path)
    config = perturbed(default, path)
    assert isinstance(config, PipelineConfig)
    assert config != default
    assert (config.planned() != default.planned()) == LEAVES[path]
    assert (stage_plans(config, "data") != stage_plans(default, "data")) == LEAVES[path]


def test_both_kinds_of_fields_are_there():
    how = {path for path, is_what in LEAVES.items() if not is_what}
    assert {"run", "num_gpus", "data.path", "generate.pool.max_actors", "resample.num_tasks"} <= how
    assert {"seed", "generate.num_samples", "generate.batch_size", "resample.k"} <= LEAVES.keys() - how


@pytest.mark.parametrize("path", LEAVES)
def test_every_field_is_described(path: str):
    section: Section = DEFAULT
    *above, name = path.split(".")
    for part in above:
        section = getattr(section, part)
    assert len(type(section).model_fields[name].description or "") > 5


def test_a_configuration_is_frozen_and_strict():
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULT.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="valid integer"):
        PipelineConfig(seed="1")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="not permitted"):
        PipelineConfig(sead=1)  # type: ignore[call-arg]


def test_a_section_given_in_part_keeps_the_rest_of_its_own_default():
    train = DEFAULT.classifier.train
    assert PipelineConfig.model_validate({"classifier": {"train": {"epochs": 3}}}).classifier.train == (
        train.model_copy(update={"epochs": 3})
    )
    assert PipelineConfig.model_validate({"classifier": {"width": 8}}).classifier.train == train


def test_limits_hold_between_fields():
    ok = PipelineConfig.model_validate({"generate": {"num_samples": 10}, "resample": {"k": 10}})
    assert ok.resample.k == ok.generate.num_samples
    with pytest.raises(ValidationError, match=r"resample.k \(11\) is more than generate.num_samples \(10\)"):
        PipelineConfig.model_validate({"generate": {"num_samples": 10}, "resample": {"k": 11}})
