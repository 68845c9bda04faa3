"""Neither the real rows nor the pools that judge the winner have chosen it."""

from pathlib import Path

import numpy as np
import pytest
import ray
from table1_toys import POOL as NUM_SAMPLES
from table1_toys import toy

from lfiw_ray.engine.features import gather_features
from lfiw_ray.models import extractors
from lfiw_ray.store import shards
from lfiw_ray.studies.sweep_space import parts_of, pools_of, space_of


def test_the_three_parts_are_disjoint_thirds_of_all_rows() -> None:
    parts = parts_of(1001, seed=4)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1001))
    assert sorted(len(part) for part in parts) == [333, 334, 334]
    assert all(np.all(np.diff(part) > 0) for part in parts)
    again, other = parts_of(1001, seed=4), parts_of(1001, seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts.test, other.test)


def test_each_part_is_drawn_from_all_rows() -> None:
    """Mean row numbers differ from the middle by less than 4.5 standard errors (false alarm 2e-5)."""
    for part in parts_of(3000, seed=0):
        assert abs(part.mean() - 1499.5) < 4.5 * 3000 / np.sqrt(12 * 1000)


def test_pools_are_disjoint_and_those_that_test_come_after_those_that_compare() -> None:
    pools = pools_of(100, 2, 1)
    assert pools == (33, [0, 33], [66])
    covered = [set(range(start, start + pools.rows)) for start in (*pools.validation, *pools.test)]
    assert sum(len(rows) for rows in covered) == len(set.union(*covered)) == 99
    assert max(set.union(*covered)) < 100


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_images_are_extracted_once_real_ones_too(tmp_path: Path) -> None:
    """A second call writes nothing; after a shard's mark is gone it makes that shard alone, of the same bytes."""
    known = toy(tmp_path)
    run, real = known.run, known.real
    x, parts = real.x("evaluation"), parts_of(len(real.splits.evaluation), 0)
    (shared,) = real.share(x)
    space = space_of(run, "random", shared, parts)
    extractor = extractors.random((8, 8, 1))
    for reference, rows in ((space.validation, parts.validation), (space.test, parts.test)):
        assert np.array_equal(ray.get(reference).features, extractor.extract(x[rows]).features)
    some = np.array([0, 2047, 2048, 9000, NUM_SAMPLES - 1])
    assert np.array_equal(gather_features(space.table, some).features, extractor.extract(known.x[some]).features)
    assert space.description == extractor.describe()

    files = sorted(Path(run.url, "inputs").rglob("*.*"))
    before = {path: path.stat().st_mtime_ns for path in files}
    space_of(run, "random", shared, parts)
    assert {path: path.stat().st_mtime_ns for path in files} == before
    gone = Path(run.url, "inputs/spaces/random/pool/00003.parquet")
    kept = gone.read_bytes()
    shards.discard(space.table.folder, 3)
    space_of(run, "random", shared, parts)
    written = {path for path in files if path.stat().st_mtime_ns != before[path]}
    assert written == {gone, gone.with_suffix(".json")}
    assert gone.read_bytes() == kept
