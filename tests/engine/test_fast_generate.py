"""The generate stage with samples in bfloat16 or of a compiled network: what workers are told, and what they keep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_toys import finished_generator, write_table
from torch._dynamo.testing import CompileCounter

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine import fill_pool
from lfiw_ray.engine.generate import GenerateWorker
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.run import prepare
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.fast_sampling import EAGER, Speed
from lfiw_ray.store.shards import Table, pending

ROWS = 8192 + 300  # the last shard ends inside a batch
BATCH = 1024


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished generator with random weights."""
    return finished_generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CompileCounter:
    """torch.compile with a backend that runs a graph as it is, and counts the graphs."""
    counter, compile_it = CompileCounter(), torch.compile
    torch._dynamo.reset()

    def compiled(function: Callable[..., Any], **options: Any) -> Any:
        return compile_it(function, backend=counter, **options)

    monkeypatch.setattr(torch, "compile", compiled)
    return counter


def worker(generator: str, table: Table, speed: Speed) -> GenerateWorker:
    return GenerateWorker(generator, table, "samples", 3, BATCH, "cpu", speed=speed)


def images(generator: str, folder: Path, speed: Speed) -> np.ndarray:
    table = write_table(folder, "samples", ROWS, 8192)
    one = worker(generator, table, speed)
    for shard in (1, 0):
        one.run_shard(shard)
    return gather_images(table, np.arange(ROWS)).astype(int)


def test_fast_samples_are_near_the_others(generator: str, tmp_path: Path, counted: CompileCounter) -> None:
    """The last batch of a compiled network is filled up, so that all shards are made by one graph."""
    exact = images(generator, tmp_path / "eager", EAGER)
    compiled = images(generator, tmp_path / "compiled", Speed(compiled=True))
    assert counted.frame_count == 1
    assert np.array_equal(compiled[:8192], exact[:8192])
    assert np.abs(compiled - exact).max() <= 1  # a batch of another size may round otherwise
    rounded = images(generator, tmp_path / "bf16", Speed(bf16=True))
    assert not np.array_equal(rounded, exact)
    assert np.abs(rounded - exact).mean() < 1


def test_a_machine_that_cannot_compile_fails_as_expected(
    generator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the shard, where failures are handed on, not in the worker's start, which would be tried for ever."""

    def refuse(*_: Any) -> Any:
        raise RuntimeError("no compiler at all")

    torch._dynamo.reset()
    compile_it = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: compile_it(function, backend=refuse, **options))
    table = write_table(tmp_path, "samples", ROWS, 8192)
    one = worker(generator, table, Speed(compiled=True))
    with pytest.raises(ConfigError, match=r"generate\.compile: .*no compiler at all"):
        one.run_shard(0)
    assert list(pending(table)) == [0, 1]


def test_workers_are_told_what_is_configured(tmp_path: Path) -> None:
    run, _ = prepare(PipelineConfig(run=str(tmp_path / "run")))
    for fields, speed in (({}, EAGER), ({"bf16": True}, Speed(True, False)), ({"compile": True}, Speed(False, True))):
        asked = run._replace(config=PipelineConfig.model_validate({"generate": fields}))
        for stage in ("fit_samples", "samples"):
            step = fill_pool._generate(asked, stage)
            assert step.worker.args[-1] == speed
