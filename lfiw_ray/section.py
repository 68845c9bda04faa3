"""What a section of the configuration is: frozen, strict, and each field either *what* or *how*.

*What* decides what is computed, and is hashed into the plan; *how* (workers, devices, paths) may change on a resume.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lfiw_ray.places import checked, shown

Address = Annotated[str, AfterValidator(checked)]
"""A path or URL of a kind that `places` allows."""
MaybeAddress = Annotated[str | None, AfterValidator(checked)]


def what(default: Any, doc: str, **limits: Any) -> Any:
    """A field that decides what is computed; part of the plan."""
    return Field(default, description=doc, json_schema_extra={"plan": True}, **limits)


def how(default: Any, doc: str, **limits: Any) -> Any:
    """A field that decides how it is computed; not part of the plan."""
    return Field(default, description=doc, json_schema_extra={"plan": False}, **limits)


class Section(BaseModel):
    """A part of the configuration: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _rest_is_default(cls, values: Any) -> Any:
        """A section given in part keeps the rest of the default that it has here, not that of its class."""
        for name, field in cls.model_fields.items():
            if isinstance(field.default, Section) and isinstance(values, dict) and isinstance(values.get(name), dict):
                values = {**values, name: _merged(field.default.model_dump(), values[name])}
        return values

    @model_validator(mode="after")
    def _numbers_fit(self) -> "Section":
        """Whole numbers become sample ids, shapes and seeds, all of 64 bits."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int) and abs(number) >= 2**63:
                    raise ValueError(f"{name}: a whole number must be below 2^63, got {shown(number)}")
        return self

    def planned(self) -> dict[str, Any]:
        """The *what* fields, nested, as plain values."""
        out: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                out[name] = value.planned()
            elif isinstance(value, list) and value and isinstance(value[0], Section):
                out[name] = [item.planned() for item in value]
            elif isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("plan"):
                out[name] = value
        return out


def _merged(default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Nested values, the given ones over the default ones."""
    nested = {
        k: _merged(default[k], v) for k, v in given.items() if isinstance(v, dict) and isinstance(default.get(k), dict)
    }
    return {**default, **given, **nested}
