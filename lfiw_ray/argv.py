"""A configuration from a YAML file, the environment and flags; the later one wins.

File: `--config FILE` (path or any fsspec URL), nested sections.  Environment:
`LFIW__GENERATE__NUM_SAMPLES=1000000`, with two underscores each time.  Flags: `--generate.num_samples=1000000`
(hyphens and underscores are the same).  Values are YAML, and 1e6 is a whole number; a text field takes its text as it
stands.  An unknown key is an error that names the nearest known one.
"""

import argparse
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lfiw_ray.config import PipelineConfig
from lfiw_ray.errors import ConfigError, StoreError
from lfiw_ray.places import refusal, shown
from lfiw_ray.section import Section
from lfiw_ray.store.folder import Folder

ENV_PREFIX = "LFIW__"
_KEY_LETTERS = 200  # of an unknown key that are shown and compared
_SWITCHES = ("config", "dry-run", "repair")
_UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)  # the second: a date or number that cannot be


class Invocation(NamedTuple):
    """What a job was asked to do."""

    config: PipelineConfig
    dry_run: bool
    repair: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def from_argv(argv: Sequence[str], description: str, env: Mapping[str, str] | None = None) -> Invocation:
    """Read a job's configuration.

    Raises
    ------
    ConfigError
        Naming the key or field at fault, where it came from, and the nearest known key.
    """
    parser = _parser(description)
    given, unknown = parser.parse_known_args([_underscored(a) for a in argv])
    if unknown and not unknown[0].startswith("-"):
        raise ConfigError(f"unexpected argument {shown(unknown[0])}; fields are set by flags, see --help")
    if unknown:
        raise ConfigError(_unknown(unknown[0].lstrip("-").split("=")[0], "flag --", _SWITCHES))
    values = _read_file(given.config) if given.config else {}
    _merge(values, _from_env(os.environ if env is None else env))
    _merge(values, {k: _value(v, k) for k, v in vars(given).items() if k in _leaves() and v is not None})
    return Invocation(build(values), given.dry_run, given.repair)


def build(values: dict[str, Any]) -> PipelineConfig:
    """A configuration from nested values; ConfigError names each bad field."""
    for key in _keys(values):
        if key not in _leaves():
            raise ConfigError(_unknown(key, "configuration key ", _sections()))
    try:
        return PipelineConfig.model_validate(values)
    except ValidationError as err:
        raise ConfigError("; ".join(_problem(e) for e in err.errors())) from err


def to_yaml(config: PipelineConfig) -> str:
    """The whole configuration as YAML that `--config` reads."""
    text: str = yaml.safe_dump(config.model_dump(), sort_keys=False)
    return text


def _problem(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"] if str(part) in _names()) or "configuration"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if isinstance(error["input"], dict | Section) else f", got {shown(error['input'])}"
    return f"{field}: {message}{got}"


def _unknown(key: str, kind: str, others: Iterable[str] = ()) -> str:
    """An error text with the known key that is most like this one, else one whose last part is."""
    key = key[:_KEY_LETTERS]
    tails: dict[str, list[str]] = {}
    for leaf in _leaves():
        tails.setdefault(leaf.rsplit(".", 1)[-1], []).append(leaf)
    near = difflib.get_close_matches(key, [*others, *_leaves()], 1)
    if not near:
        near = [tails[t][0] for t in difflib.get_close_matches(key.rsplit(".", 1)[-1], tails, 1)]
    return f"unknown {kind}{key}" + (f"; did you mean {near[0]}?" if near else "; --help lists all")


def _underscored(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    name = name.replace("-", "_")
    return "--" + ("dry-run" if name == "dry_run" else name) + equals + value


def _parser(description: str) -> argparse.ArgumentParser:
    parser = _Parser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="[what] fields decide what is computed and are part of the plan; [how] fields may change on a resume.",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file (path or URL)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, what would run and its cost; do nothing")
    parser.add_argument(
        "--repair", action="store_true", help="check every byte of finished shards and redo the bad ones"
    )
    for key, field in _leaves().items():
        extra = field.json_schema_extra
        kind = "what" if isinstance(extra, dict) and extra.get("plan") else "how"
        default = str(field.default).replace("%", "%%")
        text = (field.description or "").replace("%", "%%")
        parser.add_argument(f"--{key}", dest=key, metavar="V", help=f"{text} [{kind}; default {default}]")
    return parser


def _walk(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            for key, leaf in _walk(type(default), f"{prefix}{name}."):
                yield key, _with_default(leaf, default, key.removeprefix(f"{prefix}{name}."))
        else:
            yield f"{prefix}{name}", field


def _with_default(field: FieldInfo, section: Section, path: str) -> FieldInfo:
    """The field with the default it has inside this section's own default value."""
    value: Any = section
    for part in path.split("."):
        value = getattr(value, part)
    changed = FieldInfo(annotation=field.annotation, default=value, description=field.description)
    changed.json_schema_extra = field.json_schema_extra
    return changed


@cache
def _leaves() -> dict[str, FieldInfo]:
    return dict(_walk(PipelineConfig))


@cache
def _sections() -> tuple[str, ...]:
    return tuple({key[:i]: None for key in _leaves() for i, letter in enumerate(key) if letter == "."})


def _names() -> set[str]:
    return {part for key in _leaves() for part in key.split(".")}


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        key = f"{prefix}{name if isinstance(name, str) else shown(name)}"
        if key in _sections() and isinstance(value, Mapping):
            yield from _keys(value, f"{key}.")
        elif key in _sections():
            raise ConfigError(f"configuration key {key} is a section of fields, got {shown(value)}")
        else:
            yield key


class _Loader(yaml.SafeLoader):
    """YAML as PyYAML reads it, and numbers such as 1e6 and 1e-4, which it would take for text."""


def _scientific(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    text = str(loader.construct_scalar(node))
    number = float(text)
    return int(Decimal(text)) if number.is_integer() and abs(number) < 2**63 else number


_Loader.add_implicit_resolver("!number", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
_Loader.add_constructor("!number", _scientific)


def _value(text: str, key: str) -> Any:
    """A flag's or variable's value: its text for a text field, else YAML."""
    annotation = _leaves()[key].annotation
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if type(None) in kinds and text.lower() in ("", "~", "null", "none"):
        return None
    if str in kinds:
        return text
    try:
        return yaml.load(text, Loader=_Loader)
    except _UNREADABLE as err:
        raise ConfigError(f"{key}: value {shown(text)} cannot be read: {_reason(err)}") from err


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    named = {k: v for k, v in env.items() if k.startswith(ENV_PREFIX)}
    flat = {}
    _check_near_misses(env)
    for name, text in named.items():
        key = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        if key not in _leaves():
            raise ConfigError(_unknown(key, f"environment variable {name[:_KEY_LETTERS]}: key "))
        flat[key] = _value(text, key)
    return flat


def _check_near_misses(env: Mapping[str, str]) -> None:
    """A field whose variable has one underscore too few would be ignored without a word."""
    for name in env:
        key = name.removeprefix("LFIW_").lower().replace("__", ".")
        if name.startswith("LFIW_") and (key in _leaves() or ("." in key and key.partition(".")[0] in _sections())):
            right = ENV_PREFIX + name.removeprefix("LFIW_")
            raise ConfigError(f"environment variable {name}: settings begin with {ENV_PREFIX}; did you mean {right}?")


def _merge(values: dict[str, Any], flat: Mapping[str, Any]) -> None:
    """Set dotted keys in nested values."""
    for key, value in flat.items():
        *sections, name = key.split(".")
        inside = values
        for section in sections:
            inside = inside.setdefault(section, {})
            if not isinstance(inside, dict):
                raise ConfigError(f"configuration key {section} is a section of fields, got {shown(inside)}")
        inside[name] = value


def _reason(err: Exception) -> str:
    return "it is nested too deeply" if isinstance(err, RecursionError) else str(err)


def _read_file(path: str) -> dict[str, Any]:
    if reason := refusal(path):
        raise ConfigError(f"--config: refused address: {reason}")
    try:
        values = yaml.load(_text_of(path), Loader=_Loader)
    except (OSError, StoreError, *_UNREADABLE) as err:
        raise ConfigError(f"configuration file {path}: {_reason(err)}") from err
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"configuration file {path} must hold sections of fields, got {type(values).__name__}")
    return values


def _text_of(path: str) -> str:
    """Contents of a file or URL; the store's own requests are made again, and their failures told in words."""
    if "://" not in path:
        return Path(path).expanduser().read_text(encoding="utf-8")
    folder, _, name = path.rpartition("/")
    return Folder(folder).read(name).decode("utf-8")


def count(text: str) -> int:
    """A flag's whole number of at least 2, for the `type` of an argument of a study's own parser."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"at least 2 are needed, got {text!r}")
    return int(text)


def amount(text: str) -> int:
    """A flag's whole number of at least 1, also as 1e10, for the `type` of an argument of a job's own parser."""
    number = positive(text)
    if not number.is_integer() or number >= 2**63:
        raise argparse.ArgumentTypeError(f"a whole number below 2^63 is needed, got {text!r}")
    return int(Decimal(text.replace("_", "")))


def positive(text: str) -> float:
    """A flag's number above 0, for the `type` of an argument of a job's own parser."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, got {text!r}")
    return number
