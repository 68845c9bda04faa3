"""The paper's table where the answer is known, its resume, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table1_toys import NUM_TEST, POOL, Toy, toy

from lfiw_ray.config import DataConfig
from lfiw_ray.errors import ConfigError
from lfiw_ray.store.shards import done_marks
from lfiw_ray.store.tables import from_parquet
from lfiw_ray.studies import table1_arms
from lfiw_ray.studies.table1 import study
from lfiw_ray.studies.table1_features import arms_of_pool, distinct_ids, real_table
from lfiw_ray.studies.table1_job import Job, Protocol, Sizes
from lfiw_ray.studies.table1_real import real_rows

SIZES = Sizes((Protocol("paper", 300, "test"), Protocol("today", 400, "train")), num_repeats=6)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return toy(tmp_path_factory.mktemp("table1"))


@pytest.fixture(scope="module")
def found(known: Toy, local_ray: None) -> dict[str, Any]:  # noqa: ARG001
    return study(known.run, known.real, SIZES, ["random"])


@pytest.mark.ray
def test_exact_weights_recover_the_data_in_every_arm_that_uses_them(found: dict[str, Any]) -> None:
    """Raw samples are far from the real rows; with exact weights all but the ranks are as near as other real rows."""
    assert [table["protocol"] for table in found["tables"]] == ["paper", "today"]
    for table in found["tables"]:
        fid = {name: arm["fid"]["mean"] for name, arm in table["arms"].items()}
        outcomes = {name: entry["outcome"] for name, entry in table["differences"]["fid"].items()}
        assert list(fid) == list(table1_arms.NAMES)
        for name in ("lfiw", "weighted", "sir", "gumbel", "gumbel_ht", "drs", "obrs", "mh"):
            assert fid[name] < min(0.2 * fid["raw"], 1.5 * table["floor"]["fid"]), name
            assert outcomes[name] == "helps", name
        for name in ("top_k", "reversed"):
            assert fid[name] > fid["raw"], name
        assert outcomes["reversed"] == "hurts"
        assert outcomes["uniform"] == "unclear"
        assert table["floor"]["fid"] < 0.15 * fid["raw"]
        assert table["arms"]["lfiw"]["fid"]["values"] == table["arms"]["weighted"]["fid"]["values"]  # alpha is 1


@pytest.mark.ray
def test_every_number_says_what_it_is_of(known: Toy, found: dict[str, Any]) -> None:
    paper, today = found["tables"]
    assert (paper["num_rows"], today["num_rows"], paper["pool_rows"]) == (300, 400, POOL // 6)
    assert paper["reference"] == {"label": "published test rows", "num_rows": 300}
    assert today["reference"] == {"label": "published training rows", "num_rows": 400}
    assert {table["extractor"] for table in found["tables"]} == {"random"}
    assert len(paper["weights_sha256"]) == 64
    for arm in paper["arms"].values():
        assert len(arm["fid"]["values"]) == 6
        assert arm["fid"]["se"] == pytest.approx(np.std(arm["fid"]["values"], ddof=1) / np.sqrt(6))
    assert paper["arms"]["raw"]["ess"]["mean"] == pytest.approx(300)
    assert paper["arms"]["lfiw"]["ess"]["mean"] < 300
    assert found["weights"] == {"alpha": 1.0, "auto": False, "ess_fraction": 0.64, "k_hat": None, "passed": True}
    assert found["run_url"] == known.run.url


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.ray
def test_finished_pools_are_not_computed_again(known: Toy, found: dict[str, Any], tmp_path: Path) -> None:
    """A second call needs neither samples nor weights; after one pool's mark is gone it makes that one alone."""
    folder = tmp_path / "run"
    shutil.copytree(known.run.url, folder)
    run = known.run._replace(url=str(folder))
    expected = found | {"run_url": str(folder)}
    hidden = [folder / name for name in ("samples", "weights")]
    for path in hidden:
        path.rename(path.with_suffix(".away"))
    assert study(run, known.real, SIZES, ["random"]) == expected
    for path in hidden:
        path.with_suffix(".away").rename(path)
    before = stamps(folder)
    (gone,) = folder.glob("table1/*/repeat-01/done.json")
    gone.unlink()
    assert study(run, known.real, SIZES, ["random"]) == expected
    after = stamps(folder)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == [str(gone.relative_to(folder))]


@pytest.mark.ray
def test_each_row_is_extracted_once_and_never_again(known: Toy, found: dict[str, Any], tmp_path: Path) -> None:
    """Of a table that was killed a shard of features is missing, and all figures: that shard alone is extracted."""
    folder = tmp_path / "run"
    shutil.copytree(known.run.url, folder)
    run = known.run._replace(url=str(folder))
    (table,) = (folder / "table1").iterdir()
    job = Job(run, "random", SIZES, 1.0, table.name)
    for repeat in (0, 5):
        ids = distinct_ids(arms_of_pool(job, repeat))
        kept = [
            from_parquet(path.read_bytes()) for path in sorted((table / f"embedded/pool-{repeat:02d}").glob("*.parq*"))
        ]
        assert np.array_equal(np.concatenate([part["sample_id"] for part in kept]), ids)
        assert 2000 < len(ids) < 14 * 700
    assert sum(mark.rows for mark in done_marks(real_table(job, 800))) == 800  # 400 of either kind for both protocols
    for path in table.glob("re*/done.json"):
        path.unlink()
    gone = table / "embedded/pool-03/00001.json"
    gone.unlink()
    before = stamps(folder)
    assert study(run, known.real, SIZES, ["random"]) == found | {"run_url": str(folder)}
    written = {name for name, stamp in stamps(folder).items() if stamp != before.get(name)}
    shard = {f"table1/{table.name}/embedded/pool-03/00001.{kind}" for kind in ("json", "parquet")}
    assert {name for name in written if not name.endswith("done.json")} == shard


@pytest.mark.ray
def test_other_sizes_lie_beside(known: Toy, found: dict[str, Any]) -> None:
    few = Sizes((Protocol("paper", 50, "test"),), num_repeats=2)
    (table,) = study(known.run, known.real, few, ["random"])["tables"]
    assert table["num_rows"] == 50
    assert len(list(Path(known.run.url, "table1").iterdir())) == 2
    assert study(known.run, known.real, SIZES, ["random"]) == found


@pytest.mark.ray
def test_pools_that_are_too_small_are_refused(known: Toy) -> None:
    sizes = Sizes((Protocol("paper", 900, "test"),), num_repeats=30)
    with pytest.raises(
        ConfigError, match=r"30 disjoint pools of 24,576 samples have 819 rows each, but an arm has 900"
    ):
        study(known.run, known.real, sizes, ["random"])


def test_the_real_rows_are_of_the_kind_asked_for(known: Toy) -> None:
    first_test = len(known.real.data.x) - NUM_TEST
    for kind in ("test", "train"):
        rows = real_rows(known.run, known.real, kind, 200)
        assert len(set(rows.rows)) == len(set(rows.others)) == 200
        assert ((rows.rows >= first_test) == (kind == "test")).all()
        assert ((rows.others >= first_test) == (kind == "train")).all()
    assert len(real_rows(known.run, known.real, "train", 3000).others) == NUM_TEST  # no more of the other kind


def test_too_few_real_rows_are_refused(known: Toy) -> None:
    with pytest.raises(ConfigError, match="1,001 samples are to be compared with as many published test rows, but th"):
        real_rows(known.run, known.real, "test", 1001)


def test_where_test_rows_are_mixed_in_held_out_rows_stand_for_them(known: Toy) -> None:
    """Of the same splits, which a run of mixed ones would not have; only the names and the rows are of interest."""
    mixed = known.run._replace(config=known.run.config.model_copy(update={"data": DataConfig(test_rows="mixed")}))
    found = {kind: real_rows(mixed, known.real, kind, 100) for kind in ("test", "train")}
    assert [found[kind].label for kind in found] == ["held-out rows", "rows of the training splits"]
    held_out = known.real.splits.evaluation
    assert [np.isin(found[kind].rows, held_out).mean() for kind in found] == [1, 0]
