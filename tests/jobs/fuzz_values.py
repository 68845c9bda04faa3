"""Values and files that nobody should give a job, and the counting of what became of them."""

import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st

HOSTILE = [
    *("s3://key:secret@bucket/x", "s3://key:sec/ret@bucket/x", "https://me:pw@host/x", "https://host/x?sig=abc"),
    *("s3://bucket/../other", "s3://bucket/%2e%2e/x", "s3://bucket/a%252fb", "file:///a/../b", "s3://b\\x"),
    *("zip://a.zip::s3://b/c", "simplecache::http://h/x", "data:text/plain,x", "github://o:r@main/x", "ssh://h/x"),
    *("reference://x", "nosuch://x", "://x", "a\x00b", "a\nb", "s3://buck et/x"),
]
HUGE = [2**31, 2**63 - 1, 2**63, 10**30, 10**400, -(2**63), -1, 0]
ODD_TEXT = [
    "",
    " ",
    "名",
    "\u202e",
    "🙂",
    "a" * 5000,
    "<script>",
    "{{7*7}}",
    "%s%n",
    "null",
    "NaN",
    "1e999",
    "0x" + "f" * 5000,
]
EXACT = [None, True, False, float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 1.5, *HUGE, *ODD_TEXT, *HOSTILE]
PLAUSIBLE = [
    0.5,
    1,
    2,
    3,
    8,
    64,
    8192,
    100,
    "auto",
    "domain",
    "random",
    "sir",
    "gumbel",
    "none",
    ["random"],
    ["sir"],
    [],
]


def deep(levels: int, leaf: Any = 1) -> Any:
    """Lists and mappings in turn, so many levels of them."""
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_leaf = st.one_of(st.sampled_from(EXACT), st.sampled_from(PLAUSIBLE), st.integers(), st.floats(), _text)
values = st.one_of(
    _leaf,
    st.recursive(
        _leaf, lambda some: st.lists(some, max_size=3) | st.dictionaries(_text, some, max_size=3), max_leaves=6
    ),
    st.integers(20, 60).map(deep),
)

RAW_FILES = [
    *(
        b"[" * 5000,
        b"{a: " * 3000,
        b"- " * 3000,
        b"&a [*a]",
        b"a: &a {b: *a}",
        b"? [a]\n: 1",
        b"<<: 1",
        b"\xff\xfe\x00",
    ),
    *(b"!!python/object/apply:os.system [id]", b"!!timestamp 2024-99-99", b"seed: 2024-99-99", b"seed: !!binary x"),
    *(b"seed: " + b"9" * 5000, b"seed: 0x" + b"f" * 5000, b"a" * 10_000, b"%YAML 9.9\n---\na", b"seed: 1\nseed: 2\n"),
    b"\n".join(
        [b"a0: &a0 x"] + [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)]
    ),
    b"seed: &a0 [1]\nrun: &a1 [" + b"*a0, " * 9 + b"]\ndata: {path: [" + b"*a1, " * 9 + b"]}",
]
raw_files = st.one_of(st.sampled_from(RAW_FILES), st.binary(max_size=200), _text.map(lambda text: text.encode()))


def as_yaml(value: Any) -> str:
    """YAML of any of these values."""
    return yaml.safe_dump(value, allow_unicode=True)


class Outcome:
    """Calls of a job's `main` in this process, counted by the kind of input and by what became of it."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def call(self, kind: str, main: Callable[[], None], argv: list[str]) -> tuple[int, str]:
        """Exit code and error output; anything but an orderly end is raised as it is."""
        out, err, before = io.StringIO(), io.StringIO(), sys.argv
        sys.argv = ["job", *argv]
        try:
            with redirect_stdout(out), redirect_stderr(err):
                main()
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.argv = before
        assert code in (0, 2), f"exit code {code}: {err.getvalue()}"
        assert (code == 0) == (err.getvalue() == ""), err.getvalue()
        assert code == 0 or err.getvalue().startswith("error: "), err.getvalue()
        assert len(err.getvalue()) < 5000, err.getvalue()[:500]
        self.counts[kind, "accepted" if code == 0 else "refused with a message"] += 1
        return code, err.getvalue()

    def table(self) -> str:
        """A line for each kind of input."""
        kinds = sorted({kind for kind, _ in self.counts})
        return "\n".join(
            f"{kind:28s} {sum(n for (k, _), n in self.counts.items() if k == kind):6d} tried, "
            f"{self.counts[kind, 'refused with a message']:6d} refused with a message, "
            f"{self.counts[kind, 'accepted']:6d} accepted, 0 tracebacks"
            for kind in kinds
        )


def mutated(body: Any, where: int, new: Any) -> Any:
    """A JSON value with the `where`-th of its nodes replaced."""
    count = 0

    def walk(value: Any) -> Any:
        nonlocal count
        count += 1
        if count == where + 1:
            return new
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        return [walk(item) for item in value] if isinstance(value, list) else value

    return walk(body)


def num_nodes(body: Any) -> int:
    """How many nodes a JSON value has."""
    inside = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return 1 + sum(map(num_nodes, inside))


def plain_json(value: Any) -> bytes:
    """JSON of a value, NaN and infinity as Python writes them."""
    return json.dumps(value).encode()


def same_cases(num_cases: int) -> Callable[[Any], Any]:
    """So many cases, the same ones every time, none of them shrunk: each is told as it was tried."""
    chosen = settings(
        max_examples=num_cases,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    return lambda test: seed(0)(chosen(test))
