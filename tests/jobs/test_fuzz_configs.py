"""Random files, flags and variables: a message and exit code 2, or a configuration that a run can be laid out with.

A few hundred in the ordinary suite; `-m slow` tries 6,000, and with those of `test_fuzz_run_files` 10,000.
"""

import importlib
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz_values import Outcome, as_yaml, raw_files, same_cases, values
from hypothesis import given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo
from tiny_run import REPOSITORY

from lfiw_ray.argv import ENV_PREFIX, _leaves, _sections
from lfiw_ray.data import named

ODD_KEYS = [
    "",
    ".",
    "generate.",
    "seed.x",
    "generate.num_samplez",
    "__class__",
    "data.name.x",
    "名",
    "a" * 5000,
    "-",
    "1",
]
ELSEWHERE = ("run", "data.path", "generator.external.path")  # may name any folder of this machine


def safe(key: str, value: Any) -> bool:
    """Whether trying a value touches nothing outside the test's folder."""
    named = value if isinstance(value, str) else ""
    return key not in ELSEWHERE or not (named.startswith(("/", "~")) or ".." in named.split("/"))


def like(field: FieldInfo) -> st.SearchStrategy[Any]:
    """The field's default, or a number near it."""
    default = field.default
    if isinstance(default, bool) or not isinstance(default, int | float):
        return st.just(default)
    return st.integers(0, 2 * default + 2) if isinstance(default, int) else st.floats(0, 2 * default + 1)


keys = st.one_of(*(st.sampled_from(sorted(some)) for some in (_leaves(), _sections(), ODD_KEYS)), st.text(max_size=12))
odd = st.tuples(keys, values)
likely = st.sampled_from(sorted(_leaves())).flatmap(lambda key: st.tuples(st.just(key), like(_leaves()[key])))
pairs = st.one_of(
    st.lists(likely, max_size=2), st.lists(st.one_of(odd, likely).filter(lambda p: safe(*p)), min_size=1, max_size=3)
)
cases = st.one_of(
    st.tuples(st.just("file"), pairs),
    st.tuples(st.just("flags"), pairs),
    st.tuples(st.just("environment"), pairs),
    st.tuples(st.just("raw file"), raw_files),
)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_config: Path) -> Iterator[Any]:
    """The jobs' own module, with no cluster to connect to and no network; the present folder is the test's."""

    def refused(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network in a test")

    monkeypatch.syspath_prepend(str(REPOSITORY / "jobs"))
    module = importlib.import_module("job")
    monkeypatch.setattr(module, "connected", lambda _: nullcontext())
    monkeypatch.setattr(urllib.request, "urlopen", refused)
    monkeypatch.setattr(named, "cache_folder", lambda name: tmp_path / "cache" / name)
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_config, tmp_path / "tiny.yaml")
    hook = importlib.import_module("sys").excepthook
    yield module
    importlib.import_module("sys").excepthook = hook


def nested(base: dict[str, Any], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The base with each dotted key set, over whatever stands in its way."""
    out: dict[str, Any] = yaml.safe_load(yaml.safe_dump(base))
    for key, value in pairs:
        *sections, name = key.split(".")
        inside = out
        for section in sections:
            inside[section] = inside[section] if isinstance(inside.get(section), dict) else {}
            inside = inside[section]
        inside[name] = value
    return out


def texts(pairs: list[tuple[str, Any]]) -> dict[str, str]:
    """What a shell can hand over of each value: text without NUL."""
    found = {
        key: value if isinstance(value, str) else as_yaml(value).removesuffix("...\n").strip() for key, value in pairs
    }
    return {key: text for key, text in found.items() if "\x00" not in key + text}


def try_one(outcome: Outcome, job: Any, kind: str, what: Any) -> None:
    """Lay out a run in a fresh folder with a tiny configuration and what was drawn."""
    shutil.rmtree("run", ignore_errors=True)
    base = yaml.safe_load(Path("tiny.yaml").read_text())
    argv, extra = ["--config=case.yaml"], {}
    if kind == "raw file":
        Path("case.yaml").write_bytes(what)
    else:
        Path("case.yaml").write_text(as_yaml(nested(base, what) if kind == "file" else base))
    given_texts = texts(what) if kind in ("flags", "environment") else {}
    if kind == "flags":
        argv += [f"--{key}={text}" for key, text in given_texts.items()]
    else:
        extra = {
            ENV_PREFIX + key.upper().replace(".", "__"): text for key, text in given_texts.items() if "=" not in key
        }
    argv += [] if "run" in given_texts else ["--run=run"]
    with pytest.MonkeyPatch.context() as patch:
        for name, text in extra.items():
            patch.setenv(name, text)
        code, err = outcome.call(kind, lambda: job.main(lambda *_: ["done"], "a job"), argv)
    assert err.removesuffix("\n").replace("\n", "").isprintable(), err
    if code == 0 and "--run=run" in argv:
        assert Path("run/run.json").exists()


def fuzz(num_cases: int, job: Any) -> Outcome:
    """So many cases, the same ones every time."""
    outcome = Outcome()

    @same_cases(num_cases)
    @given(cases)
    def one(case: tuple[str, Any]) -> None:
        try_one(outcome, job, *case)

    one()
    return outcome


def test_a_random_configuration_is_refused_with_a_message_or_can_be_laid_out(job: Any) -> None:
    outcome = fuzz(200, job)
    assert sum(outcome.counts.values()) == 200
    assert {end for _, end in outcome.counts} == {"accepted", "refused with a message"}


@pytest.mark.slow
def test_thousands_of_random_configurations(job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = fuzz(6000, job)
    with capsys.disabled():
        print(f"\n{outcome.table()}")
