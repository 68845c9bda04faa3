"""Imports go down only, core is pure, and only jobs talk to the terminal.

`violations` reads the syntax trees of a checkout; it is shown to notice each kind of violation in a small fake one.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BASE = {"errors", "places", "core"}
WORK = BASE | {
    "config",
    "config_selections",
    "config_generators",
    "config_sweep",
    "config_pool",
    "config_cost",
    "config_evaluate",
    "models",
    "store",
    "data",
    "engine",
}
MAY_IMPORT = {  # besides itself
    "errors": set(),
    "places": {"errors"},
    "core": {"errors"},
    "section": {"places"},
    "config_selections": {"section"},
    "config_generators": {"section"},
    "config_sweep": {"section"},
    "config_pool": {"section"},
    "config_cost": {"section"},
    "config_evaluate": {"section", "config_pool"},
    "config": BASE
    | {"section", *(f"config_{name}" for name in ("selections", "generators", "sweep", "pool", "evaluate", "cost"))},
    "models": BASE | {"config", "config_generators"},
    "store": BASE,
    "data": BASE | {"config", "store"},
    "resampling": BASE | {"store"},
    "engine": WORK,
    "studies": WORK,
    "report": WORK | {"argv"},  # for the configuration's text
    "argv": BASE | {"config", "section", "store"},
    "pipeline": WORK | {"studies", "report"},
    "jobs": WORK | {"studies", "report", "argv", "pipeline"},
}
MAY_USE = {  # packages from outside the standard library
    "errors": set(),
    "places": set(),
    "core": {"numpy", "scipy", "sklearn"},
    "section": {"pydantic"},
    "config_selections": {"pydantic"},
    "config_generators": {"pydantic"},
    "config_pool": {"pydantic"},
    "config_cost": set(),
    "config_evaluate": {"pydantic"},
    "config_sweep": {"pydantic"},
    "config": {"pydantic"},
    "models": {"numpy", "torch", "torchvision", "torch_fidelity", "safetensors", "diffusers"},
    "store": {"numpy", "pyarrow", "fsspec", "botocore", "aiohttp"},  # the last two come with s3fs
    "data": {"numpy", "pyarrow", "fsspec", "PIL"},
    "resampling": {"numpy", "pyarrow"},
    "engine": {"numpy", "torch", "ray", "pyarrow", "tensorboardX", "psutil"},
    "studies": {"numpy", "scipy", "sklearn", "torch", "ray"},
    "report": {"numpy", "matplotlib", "jinja2", "PIL"},
    "argv": {"pydantic", "yaml"},
    "pipeline": set(),
    "jobs": set(),
}
TORCH_IN_CORE = {"hinge.py", "importance_bound.py", "logistic_mixture.py", "losses.py", "semantic_loss.py"}
CORE_STANDARD = {
    "abc",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "math",
    "typing",
}
PRIVATE_RANDOM = {"numpy.random." + name for name in ("Generator", "Philox", "PCG64", "BitGenerator", "SeedSequence")}


def violations(root: Path) -> list[str]:
    """One line for each broken rule in the package and the jobs below a folder."""
    files = sorted([*(root / "lfiw_ray").rglob("*.py"), *(root / "jobs").rglob("*.py")])
    trees = {path: ast.parse(path.read_text(), str(path)) for path in files}
    modules = {_module(path, root): path for path in files}
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        where, room = path.relative_to(root), _room(path.relative_to(root))
        imported = {_known(name, modules) for name in _imports(trees[path])}
        graph[module] = {name for name in imported if name in modules}
        found += [f"{where} imports {name}" for name in sorted(imported) if not _allowed(name, room, path.name)]
        found += [f"{where}:{line} {text}" for line, text in _calls(trees[path], room)]
        if path.name == "__init__.py" and path.read_text():
            found.append(f"{where} is not empty")
    return found + [f"cycle: {' -> '.join(cycle)}" for cycle in _cycles(graph)]


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts if parts[0] == "lfiw_ray" else parts[1:])


def _room(where: Path) -> str:
    return "jobs" if where.parts[0] == "jobs" else where.with_suffix("").parts[1]


def _imports(tree: ast.AST) -> Iterator[str]:
    """Everything imported anywhere in a file, inside functions too, as far down as it is named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def _known(name: str, modules: dict[str, Path]) -> str:
    """`package.module` of `package.module.name`; other packages by their first part."""
    if name.startswith("lfiw_ray"):
        return name if name in modules or name.rsplit(".", 1)[0] not in modules else name.rsplit(".", 1)[0]
    return name if name.startswith(".") else name.split(".")[0]


def _allowed(name: str, room: str, file: str) -> bool:
    if room == "__init__":
        return False
    if name.startswith("lfiw_ray."):
        return name.split(".")[1] in MAY_IMPORT[room] | {room}
    if name in sys.stdlib_module_names:
        return room != "core" or name in CORE_STANDARD
    if name == "torch" and room == "core":
        return file in TORCH_IN_CORE
    return name in MAY_USE[room] or (name == "job" and room == "jobs")


def _calls(tree: ast.AST, room: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        name = _dotted(node).replace("np.", "numpy.", 1) if isinstance(node, ast.Attribute | ast.Name) else ""
        if name == "print" and room != "jobs":
            yield node.lineno, "uses print"
        if name == "sys.argv" and room not in ("jobs", "argv"):
            yield node.lineno, "reads sys.argv"
        if name.startswith("numpy.random.") and name not in PRIVATE_RANDOM:
            yield node.lineno, f"uses {name}: randomness is a function of (seed, stream, sample id)"
        if name.startswith("torch.") and room == "core" and ("rand" in name or "seed" in name):
            yield node.lineno, f"uses {name}: core has no random state"
    if room not in ("jobs", "argv") and "argparse" in set(_imports(tree)):
        yield 1, "parses flags"


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _cycles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    finished: set[str] = set()

    def visit(module: str, above: list[str]) -> Iterator[list[str]]:
        if module in above:
            yield [*above[above.index(module) :], module]
        elif module not in finished:
            for below in sorted(graph[module]):
                yield from visit(below, [*above, module])
            finished.add(module)

    for module in sorted(graph):
        yield from visit(module, [])


def test_the_layers_hold():
    assert violations(ROOT) == []


CLEAN = {
    "lfiw_ray/__init__.py": "",
    "lfiw_ray/errors.py": "",
    "lfiw_ray/config.py": "from pydantic import BaseModel\n",
    "lfiw_ray/argv.py": "import argparse, sys\nsys.argv\n",
    "lfiw_ray/core/__init__.py": "",
    "lfiw_ray/core/noise.py": "import numpy as np\nnp.random.Generator(np.random.Philox(0))\n",
    "lfiw_ray/core/losses.py": "import torch\n",
    "lfiw_ray/models/__init__.py": "",
    "lfiw_ray/models/vae.py": "from lfiw_ray.core import noise\nimport torch.nn.functional as F\n",
    "lfiw_ray/store/__init__.py": "",
    "lfiw_ray/store/shards.py": "import pyarrow.parquet\nfrom lfiw_ray import errors\n",
    "lfiw_ray/engine/__init__.py": "",
    "lfiw_ray/engine/pool.py": "import ray, time\nfrom lfiw_ray.store.shards import x\nimport lfiw_ray.models.vae\n",
    "jobs/run.py": "from job import main\nfrom lfiw_ray.engine.pool import y\nprint(y)\n",
    "jobs/job.py": "import sys\nsys.argv\n",
}


def checked(root: Path, changed: dict[str, str]) -> list[str]:
    for name, text in {**CLEAN, **changed}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return violations(root)


def test_a_clean_tree_has_no_violation(tmp_path: Path):
    assert checked(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("core/a.py", "import ray", "core/a.py imports ray"),
        ("core/a.py", "import torch.nn", "core/a.py imports torch"),
        ("core/a.py", "def f():\n    from pyarrow import parquet", "core/a.py imports pyarrow"),
        ("core/a.py", "from fsspec.core import url_to_fs", "core/a.py imports fsspec"),
        ("core/a.py", "import pathlib", "core/a.py imports pathlib"),
        ("core/a.py", "from time import monotonic", "core/a.py imports time"),
        ("core/a.py", "import datetime", "core/a.py imports datetime"),
        ("core/a.py", "import random", "core/a.py imports random"),
        ("core/a.py", "from lfiw_ray.config import what", "core/a.py imports lfiw_ray.config"),
        ("core/a.py", "from . import noise", "core/a.py imports ..noise"),
        ("core/a.py", "import numpy as np\nnp.random.rand(3)", "core/a.py:2 uses numpy.random.rand"),
        ("core/a.py", "import numpy\nnumpy.random.default_rng()", "core/a.py:2 uses numpy.random.default_rng"),
        ("engine/a.py", "import numpy as np\nnp.random.seed(3)", "engine/a.py:2 uses numpy.random.seed"),
        ("core/losses.py", "import torch\ntorch.manual_seed(0)", "core/losses.py:2 uses torch.manual_seed"),
        ("core/losses.py", "import torch\ntorch.randn(3)", "core/losses.py:2 uses torch.randn"),
        ("models/a.py", "from lfiw_ray.store import shards", "models/a.py imports lfiw_ray.store.shards"),
        ("models/a.py", "import ray", "models/a.py imports ray"),
        ("store/a.py", "from lfiw_ray.models.vae import x", "store/a.py imports lfiw_ray.models.vae"),
        ("store/a.py", "import lfiw_ray.engine.pool", "store/a.py imports lfiw_ray.engine.pool"),
        ("store/a.py", "import torch", "store/a.py imports torch"),
        ("engine/a.py", "import lfiw_ray.report.page", "engine/a.py imports lfiw_ray.report.page"),
        ("engine/a.py", "from lfiw_ray.studies import x", "engine/a.py imports lfiw_ray.studies.x"),
        ("engine/a.py", "import job", "engine/a.py imports job"),
        ("studies/a.py", "from lfiw_ray.report import x", "studies/a.py imports lfiw_ray.report.x"),
        ("report/a.py", "from lfiw_ray.studies import x", "report/a.py imports lfiw_ray.studies.x"),
        ("engine/a.py", "print(3)", "engine/a.py:1 uses print"),
        ("engine/a.py", "work(log=print)", "engine/a.py:1 uses print"),
        ("engine/a.py", "import argparse", "engine/a.py:1 parses flags"),
        ("engine/a.py", "import sys\nsys.argv[1:]", "engine/a.py:2 reads sys.argv"),
        ("core/__init__.py", "from lfiw_ray.core.noise import x", "core/__init__.py is not empty"),
        ("core/noise.py", "import lfiw_ray.core.losses", None),
    ],
)
def test_a_violation_is_noticed(tmp_path: Path, file: str, text: str, message: str | None):
    found = checked(tmp_path, {f"lfiw_ray/{file}": text})
    if message is None:
        assert found == []
    else:
        assert [line.startswith(f"lfiw_ray/{message}") for line in found] == [True], found


def test_a_cycle_is_noticed(tmp_path: Path):
    files = {
        "lfiw_ray/core/a.py": "from lfiw_ray.core import b",
        "lfiw_ray/core/b.py": "from lfiw_ray.core.c import x",
        "lfiw_ray/core/c.py": "def f():\n    import lfiw_ray.core.a",
    }
    assert checked(tmp_path, files) == ["cycle: " + " -> ".join(f"lfiw_ray.core.{name}" for name in "abca")]
