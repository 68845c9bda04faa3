"""The evaluation's features as tables: extracted once, the same however the work is cut, never of two extractors."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_toys import SHAPE, flip_bit, images

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.digest import digest
from lfiw_ray.core.forms import Form
from lfiw_ray.engine import embed, evaluation_rows
from lfiw_ray.engine.arms import Rows, choose_rows
from lfiw_ray.engine.embed_worker import EmbedWorker, Unit
from lfiw_ray.engine.features import build_extractor, gather_features
from lfiw_ray.engine.fill_features import fill_features
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.errors import ConfigError, DataError, NonFiniteError, ShardError
from lfiw_ray.models import extractors
from lfiw_ray.models.extractors import Extractor
from lfiw_ray.store import shards, tables
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import to_parquet

ROWS, PER_SHARD = 700, 256
X = images(ROWS, seed=8)
UNITS = [Unit("random", part, shard) for part in ("real", "pool") for shard in range(3)]


class Broken:
    """A network that gives one value everywhere."""

    def __init__(self, value: float):
        self._value = value

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return torch.full((len(x), 3), self._value), None


def broken(value: float, name: str = "random") -> Extractor:
    """An extractor of three features that are all `value`; its digest tells the value."""
    return Extractor(name, 3, None, "none", f"{value:064}", 256, Broken(value), torch.device("cpu"))


def some(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of X, with sample ids."""
    return 10 * np.arange(start, stop), X[start:stop]


def filled(
    folder: Path,
    units: list[Unit] = UNITS,
    build: Callable[[str], Extractor] = lambda _: extractors.random(SHAPE),
    dtype: str = "float32",
    weights: dict[str, str] | None = None,
    rows: Callable[[int, int], tuple[np.ndarray, np.ndarray]] = some,
) -> dict[tuple[str, str], Table]:
    """The tables after all units, the last one first."""
    made = {
        (u.extractor, u.part): Table(str(folder / u.extractor / u.part), "aa", Layout(ROWS, PER_SHARD)) for u in units
    }
    worker = EmbedWorker(build, units, made, {"real": rows, "pool": rows}, weights or {}, dtype, SHAPE)
    for index in reversed(range(len(units))):
        worker.run_shard(index)
    return made


def test_tables_agree_with_extraction_to_the_last_bit(tmp_path: Path) -> None:
    whole = extractors.random(SHAPE).extract(X).features
    for table in filled(tmp_path).values():
        assert np.array_equal(gather_features(table, np.arange(ROWS)).features, whole)
    assert whole.std() > 0.01


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, cut = filled(tmp_path / "whole"), filled(tmp_path / "cut")
    for table, other in zip(whole.values(), cut.values(), strict=True):
        before = Path(other.url, "00000.parquet").stat().st_mtime_ns
        shards.discard(other.folder, 1)
        filled(tmp_path / "cut")
        assert Path(other.url, "00000.parquet").stat().st_mtime_ns == before
        for shard in range(3):
            assert table.read(shard) == other.read(shard)
            assert table.mark(shard) == other.mark(shard)
    assert whole["random", "pool"].mark(2).extra["extractor"] == extractors.random(SHAPE).describe()


def test_single_precision_halved(tmp_path: Path) -> None:
    whole = extractors.random(SHAPE).extract(X).features
    found = gather_features(filled(tmp_path, dtype="float16")["random", "real"], np.arange(ROWS)).features
    assert np.array_equal(found, whole.astype(np.float16).astype(np.float32))
    assert not np.array_equal(found, whole)
    half = Path(tmp_path, "random", "real", "00000.parquet").stat().st_size
    assert half < 0.6 * Path(filled(tmp_path / "wide")["random", "real"].url, "00000.parquet").stat().st_size
    with pytest.raises(
        NonFiniteError, match=r"extractor random, sample id 5120: 70000 does not fit float16; set evalu"
    ):
        filled(tmp_path / "large", UNITS[:3], lambda _: broken(7e4), "float16")


def test_features_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """By the file of the table, and the sample id: the last shard of the last table comes first, row 512 of X."""
    with pytest.raises(
        NonFiniteError, match=r"random/pool/00002\.parquet: features of the extractor random: NaN .* in sample id 5120 "
    ):
        filled(tmp_path, build=lambda _: broken(float("nan")))
    assert list(tmp_path.rglob("*.json")) == []


def test_weights_that_changed_between_two_calls_are_refused(tmp_path: Path) -> None:
    """By a mark of either table, or by the digest that the classifier's features were made with."""
    filled(tmp_path, UNITS[:3], lambda _: broken(1.0))
    with pytest.raises(
        ConfigError, match=r"extractor random has weights of SHA-256 0+\.\.\., .* give the same weights"
    ):
        filled(tmp_path, UNITS, lambda _: broken(2.0))
    assert not (tmp_path / "random" / "pool").exists()
    with pytest.raises(ConfigError, match=r"features were made with abababababab"):
        filled(tmp_path / "other", weights={"random": "ab" * 32})
    filled(tmp_path, UNITS, lambda _: broken(1.0))


def test_weights_that_differed_between_two_nodes_are_refused(tmp_path: Path) -> None:
    """Both began before the other had committed a shard, so that only the finished tables tell."""
    one = filled(tmp_path / "one", UNITS[:3], lambda _: broken(1.0))
    same = filled(tmp_path / "same", UNITS[3:], lambda _: broken(1.0))
    other = filled(tmp_path / "other", UNITS[3:], lambda _: broken(2.0))
    run: Any = None  # nothing is left to extract
    assert fill_features(run, "evaluation", one | same, {})["random"]["weights_sha256"] == f"{1.0:064}"
    with pytest.raises(ConfigError, match=r"one/random/real and .*other/random/pool hold features of .* SHA-256 0000"):
        fill_features(run, "evaluation", one | other, {})


def test_extractors_do_not_disturb_each_other(tmp_path: Path) -> None:
    units = [Unit(name, "real", shard) for shard in range(3) for name in ("random", "other")]
    made = filled(tmp_path, units, lambda name: broken(1.0 if name == "random" else 2.0, name))
    for name, value in (("random", 1.0), ("other", 2.0)):
        assert (gather_features(made[name, "real"], np.arange(ROWS)).features == value).all()


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    def wide(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(start, stop), np.zeros((stop - start, 8, 9, 1), np.uint8)

    with pytest.raises(DataError, match=r"pool images are 8x9x1 and 8x8x1 in one run"):
        filled(tmp_path, rows=wide)


def run_of(folder: Path, **evaluate: object) -> Run:
    """A run of 700 samples in two pools, of which 60 rows stand for each arm."""
    small = {"extractors": ["random"], "num_repeats": 2, "num_rows": 60, "naive": False, **evaluate}
    config = PipelineConfig.model_validate(
        {"run": str(folder), "generate": {"num_samples": ROWS}, "resample": {"k": 10}, "evaluate": small}
    )
    return Run(config, str(folder), stage_plans(config, digest("x")), SHAPE, FitRows(1, 1, 1), 1, 40)


def chosen(run: Run) -> list[dict[str, Rows]]:
    """The rows of the arms, kept as the stage keeps them."""
    log_w, out = np.random.default_rng(3).normal(size=ROWS).astype(np.float32), []
    table = evaluation_rows.rows_table(run)
    for repeat in range(2):
        start = 350 * repeat
        part = log_w[start : start + 350]
        arms = choose_rows(part, part, start, 60, Form(0.5).apply, 0, with_rivals=True)
        rows = sum(len(a.sample_ids) for a in arms.values())
        distinct = len(np.unique(np.concatenate([a.sample_ids for a in arms.values()])))
        shards.commit(
            table.folder, repeat, table.plan, rows, to_parquet(tables.arms_table(arms)), {"distinct": distinct}
        )
        out.append(arms)
    return out


def test_the_rows_of_the_arms_survive(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    for repeat, arms in enumerate(chosen(run)):
        found = evaluation_rows.arms_of_pool(run, repeat)
        assert list(found) == list(arms)
        for name, rows in arms.items():
            assert np.array_equal(found[name].sample_ids, rows.sample_ids), name
            assert (found[name].log_w is None) == (rows.log_w is None), name
            assert rows.log_w is None or np.array_equal(found[name].log_w, rows.log_w), name
    ids = [evaluation_rows.distinct_ids(run, repeat) for repeat in range(2)]
    assert evaluation_rows.first_rows(run) == [0, len(ids[0]), len(ids[0]) + len(ids[1])]
    assert (np.diff(np.concatenate(ids)) > 0).all()
    assert ids[0][-1] < 350 <= ids[1][0]


def test_rows_that_were_not_chosen_yet(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"evaluation_rows is not complete"):
        evaluation_rows.first_rows(run_of(tmp_path))


def test_a_pool_reads_the_features_of_its_own_rows(tmp_path: Path) -> None:
    """A shard of the table may hold rows of two pools."""
    run = run_of(tmp_path)
    chosen(run)
    data = to_parquet(tables.samples_table(np.arange(ROWS), X))
    shards.commit(run.folder("samples"), 0, run.plans["samples"], ROWS, data)
    total = evaluation_rows.first_rows(run)[-1]
    table = embed.table_of(run, "random", "pool", total)
    worker = EmbedWorker(
        partial(build_extractor, run),
        [Unit("random", "pool", 0)],
        {("random", "pool"): table},
        {"pool": embed.PoolImages(run)},
        {},
        "float32",
        SHAPE,
    )
    assert worker.run_shard(0).rows == total
    whole = extractors.random(SHAPE).extract(X).features
    for repeat in range(2):
        ids = evaluation_rows.distinct_ids(run, repeat)
        assert np.array_equal(embed.pool_features(run, "random", repeat).features, whole[ids])
    assert repair(run) == []
    flip_bit(Path(table.url, "00000.parquet"), 20_000)
    assert [line.split(":")[0] for line in repair(run)] == ["embedded/random/pool/00000"]


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    run = run_of(tmp_path, extractors=["inception"], inception_weights=str(tmp_path / "none.pth"))
    with pytest.raises(DataError, match=r"none\.pth"):
        filled(tmp_path, [Unit("inception", "real", 0)], partial(build_extractor, run))
