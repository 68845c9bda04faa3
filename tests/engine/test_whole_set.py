"""The whole pool as one set: a kill changes no bit, and what is kept is not mixed with other weights or damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_toys import SHAPE, flip_bit, images

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core import frechet, moments, set_sums
from lfiw_ray.core.digest import digest
from lfiw_ray.core.forms import Form
from lfiw_ray.engine import whole_set
from lfiw_ray.engine.measure import Reference, reference_of
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.engine.whole_set import SumWorker, finish, of_table, table_of
from lfiw_ray.errors import ConfigError, NonFiniteError, ShardError
from lfiw_ray.models import extractors
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import shards
from lfiw_ray.store.tables import samples_table, to_parquet, weights_parquet

ROWS = 3 * 8192 - 5000
X, LOG_W = images(ROWS, seed=4), np.random.default_rng(1).normal(300, 1, ROWS).astype(np.float32)
SPACE = extractors.random(SHAPE)
SHA256 = SPACE.weights_sha256
FORM = Form(0.5)


@pytest.fixture(scope="module")
def real() -> Reference:
    found = SPACE.extract(images(300, seed=5))
    return reference_of(SPACE.describe(), found, found, 3)


def run_of(folder: Path) -> Run:
    """A run with a scored pool of three shards."""
    config = PipelineConfig.model_validate(
        {
            "run": str(folder),
            "generate": {"num_samples": ROWS, "rows_per_shard": 8192},
            "resample": {"k": 10},
            "evaluate": {"extractors": ["random"], "naive": False, "whole_pool": True},
        }
    )
    run = Run(config, str(folder), stage_plans(config, digest("x")), SHAPE, FitRows(1, 1, 1), 1, 40)
    for shard in range(3):
        ids = np.arange(*run.table("samples").layout.bounds(shard))
        data = {"samples": to_parquet(samples_table(ids, X[ids]))}
        data["weights"] = weights_parquet(ids, LOG_W[ids], LOG_W[ids])
        for name, body in data.items():
            shards.commit(run.folder(name), shard, run.plans[name], len(ids), body)
    return run


def add_up(run: Run, *groups: int) -> None:
    worker = SumWorker(run, FORM, [("random", group) for group in groups], {"random": SHA256})
    for index in range(len(groups)):
        worker.run_shard(index)


def test_groups_are_the_whole_whatever_was_killed(tmp_path: Path, real: Reference) -> None:
    run, cut = run_of(tmp_path / "whole"), run_of(tmp_path / "cut")
    add_up(run, 0, 1, 2)
    add_up(cut, 2)
    with pytest.raises(ShardError, match=r"whole_pool/random/00000\.json is not committed"):
        of_table(table_of(cut, "random"), SHA256, real)
    first = Path(table_of(cut, "random").path(2))
    before = first.stat().st_mtime_ns
    assert shards.pending(table_of(cut, "random")) == [0, 1]
    add_up(cut, 2, 1, 0)
    assert first.stat().st_mtime_ns == before
    found = of_table(table_of(run, "random"), SHA256, real)
    assert of_table(table_of(cut, "random"), SHA256, real) == found
    features = SPACE.extract(X).features
    for name, log_w in (("raw", None), ("weighted", FORM.apply(LOG_W))):
        direct = frechet.distance(real.moments, moments.of(features, log_w))
        assert found[name]["fid"] == pytest.approx(direct, rel=1e-9)
        assert found[name]["num_rows"] == ROWS
        w = np.ones(ROWS) if log_w is None else np.exp(log_w - log_w.max())
        assert found[name]["ess"] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert found["raw"]["fid"] != pytest.approx(found["weighted"]["fid"], rel=1e-6)


def test_many_shards_share_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Reference) -> None:
    run, coarse = run_of(tmp_path / "a"), run_of(tmp_path / "b")
    add_up(run, 0, 1, 2)
    found = of_table(table_of(run, "random"), SHA256, real)
    monkeypatch.setattr(whole_set, "MAX_GROUPS", 2)
    assert table_of(coarse, "random").layout.num_shards == 2
    add_up(coarse, 1, 0)
    other = of_table(table_of(coarse, "random"), SHA256, real)
    assert other["weighted"]["num_rows"] == ROWS
    assert other["weighted"]["fid"] == pytest.approx(found["weighted"]["fid"], rel=1e-9)


def test_groups_of_other_weights_are_refused(tmp_path: Path, real: Reference) -> None:
    run = run_of(tmp_path)
    with pytest.raises(ConfigError, match=r"the run's features were made with abababababab"):
        SumWorker(run, FORM, [("random", 0)], {"random": "ab" * 32}).run_shard(0)
    add_up(run, 0, 1, 2)
    with pytest.raises(ConfigError, match=rf"00000\.parquet is of weights of SHA-256 {SHA256[:12]}.*of abababababab"):
        of_table(table_of(run, "random"), "ab" * 32, real)


def test_a_damaged_group_is_named_and_repaired(tmp_path: Path, real: Reference) -> None:
    run = run_of(tmp_path)
    add_up(run, 0, 1, 2)
    assert repair(run) == []
    flip_bit(Path(table_of(run, "random").path(1)), 3000)
    with pytest.raises(ShardError, match=r"whole_pool/random/00001\.parquet"):
        of_table(table_of(run, "random"), SHA256, real)
    assert [line.split(":")[0] for line in repair(run)] == ["whole_pool/random/00001"]
    assert shards.pending(table_of(run, "random")) == [1]


def test_a_feature_that_is_no_number_names_its_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> extractors.Extractor:
        class Net:
            def outputs(self, x):  # type: ignore[no-untyped-def]
                found, _ = SPACE.net.outputs(x)
                found[4] = float("nan")
                return found, None

        return replace(SPACE, net=Net())

    monkeypatch.setattr(whole_set, "build_extractor", broken)
    with pytest.raises(NonFiniteError, match=r"extractor random: NaN or infinity in sample id 8196 and"):
        add_up(run_of(tmp_path), 1)


def test_a_space_with_classes_has_a_score(real: Reference) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), 300)
    found = Extracted(real.features, p.astype(np.float32))
    assert finish(real, set_sums.of(*found, None))["inception_score"] == pytest.approx(np.exp(entropy_gap(p)), rel=1e-5)
    assert "inception_score" not in finish(real, set_sums.of(real.features, None, None))


def entropy_gap(p: np.ndarray) -> float:
    mean = p.mean(axis=0)
    return float((p * np.log(p / mean)).sum(axis=1).mean())
