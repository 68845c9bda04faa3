"""What a shard costs the driver: slopes by hand, a few marks, a few shards on a local cluster."""

from pathlib import Path

import pytest

from lfiw_ray.engine import pool
from lfiw_ray.studies.control_plane import bytes_a_shard, read_marks, schedule, seconds_a_shard


def test_slopes_are_between_the_smallest_and_the_largest_size() -> None:
    found = [{"num_shards": n, "wall_s": 5 + 0.01 * n, "grown_bytes": 1e6 + 300 * n} for n in (200, 50, 100)]
    assert seconds_a_shard(found) == pytest.approx(0.01)
    assert bytes_a_shard(found) == pytest.approx(300)
    with pytest.raises(ValueError, match="two sizes are needed, got 1"):
        bytes_a_shard(found[:1])


def test_marks_are_all_read_and_removed(tmp_path: Path) -> None:
    found = read_marks(300, tmp_path)
    assert found["num_shards"] == 300
    assert found["shards_per_s"] == pytest.approx(300 / found["wall_s"])
    assert found["peak_bytes"] > max(found["grown_bytes"], 50e6)  # a process that has loaded NumPy, and may shrink
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_shards_of_no_work_come_back_window_by_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each window is a dataset of its own, and no shard is lost between them."""
    windows, original = [], pool._window
    monkeypatch.setattr(pool, "WINDOW", 8)
    monkeypatch.setattr(pool, "_window", lambda *a: (windows.append(list(a[1])), original(*a))[1])
    assert schedule(20)["num_shards"] == 20
    assert windows == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
