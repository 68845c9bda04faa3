"""Slow, failing and dying storage: retries go through with the same bytes, or end in an error that can be resumed."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_proxy import KINDS, Faults, FaultyProxy
from weed import Weed, forget_clients

from lfiw_ray.errors import StoreError
from lfiw_ray.store import location, multipart, patience, shards, stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table

LAYOUT = Layout(24, 2)
Between = Callable[[Faults], FaultyProxy]


def rows_of(shard: int) -> bytes:
    return bytes([shard, 1, 2, 3]) * 5000


def files_of(folder: Folder) -> dict[str, bytes]:
    return {name: folder.read(name) for name in sorted(folder.sizes())}


def fill(table: Table) -> None:
    """What a stage does: commit what is pending, read it all again, finish."""
    for shard in shards.pending(table):
        shards.commit(table.folder, shard, "plan", 2, rows_of(shard), {"sum": 0.1})
    for mark in shards.done_marks(table):
        assert table.read(mark.shard) == rows_of(mark.shard)
        with table.open(mark.shard) as file:
            file.seek(4)
            assert file.read(4) == rows_of(mark.shard)[:4]
    stages.finish(table.folder.child("end"), "plan", {"a": b"file"}, {"rows": 24})


@pytest.fixture
def on_disk(tmp_path: Path) -> dict[str, bytes]:
    """The files of the same work on a disk."""
    table = Table(str(tmp_path / "on_disk"), "plan", LAYOUT)
    fill(table)
    return files_of(table.folder)


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_goes_through_with_a_third_of_its_requests_failing(
    bucket: str, proxy: Between, on_disk: dict[str, bytes], kind: str
):
    between = proxy(Faults(0.33, (kind,), seed=3, delay_s=0.01))
    table = Table(bucket, "plan", LAYOUT)
    fill(table)
    assert between.injected[kind] > 10
    between.set_faults(Faults(0.0))
    assert files_of(table.folder) == on_disk
    assert shards.damaged(table) == {}
    assert stages.finished(table.folder.child("end"), "plan") == {"rows": 24}


@pytest.mark.usefixtures("no_waits")
def test_a_stage_that_failed_is_resumed(bucket: str, proxy: Between, on_disk: dict[str, bytes]):
    between = proxy(Faults(0.0))
    table = Table(bucket, "plan", LAYOUT)
    for shard in range(5):
        shards.commit(table.folder, shard, "plan", 2, rows_of(shard), {"sum": 0.1})
    table.folder.write(shards.data_name(5), rows_of(5)[:100])  # torn by whatever: it has no mark
    for seed in range(3):
        between.set_faults(Faults(0.8, ("reset_request", "slow_down", "truncate"), seed))
        with pytest.raises(StoreError, match=rf"cannot \w+ {bucket}.*finished shards are kept"):
            fill(table)
    between.set_faults(Faults(0.0))
    begun = dict(between.requests)
    fill(table)
    assert files_of(table.folder) == on_disk
    assert between.requests["PUT"] - begun["PUT"] <= 2 * (12 - 5) + 2  # nothing finished is written again


def test_a_server_that_takes_requests_and_never_answers_is_given_up(
    bucket: str, proxy: Between, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(patience, "WAITS_S", (0.01,))
    monkeypatch.setattr(multipart, "SILENT_S", 0.5)
    monkeypatch.setattr(location, "READ_TIMEOUT_S", 0.5)
    between = proxy(Faults(0.0))
    Folder(bucket).write("a", b"before")
    between.set_faults(Faults(1.0, ("stall",), delay_s=3600.0))
    for act in (lambda f: f.write("a", b"rows"), lambda f: f.read("a"), Folder.sizes):
        with pytest.raises(StoreError, match=rf"cannot \w+ {bucket}.*; check the storage and run again, finished"):
            act(Folder(bucket))


@pytest.mark.usefixtures("no_waits")
def test_a_part_that_fails_is_put_again(bucket: str, proxy: Between, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * 2**20)
    between = proxy(Faults(0.25, ("reset_request", "error", "lost_answer"), seed=1))
    data = bytes(range(256)) * (48 * 2**12)
    monkeypatch.setattr(multipart, "_PART_WAITS_S", (0.01,) * 4)
    Folder(bucket).write("large", data)
    assert between.injected.total() >= 2
    assert between.requests["PUT"] < 2 * 10  # of ten parts
    between.set_faults(Faults(0.0))
    assert Folder(bucket).read("large") == data
    assert list(Folder(bucket).sizes()) == ["large"]


def test_the_server_is_killed_in_the_middle_of_a_write_and_comes_back(
    start_weed: Callable[[], Weed], monkeypatch: pytest.MonkeyPatch, on_disk: dict[str, bytes]
):
    twice_a_second = (0.5,) * int(2 * sum(patience.WAITS_S))
    monkeypatch.setattr(patience, "WAITS_S", twice_a_second)
    server = start_weed()
    server.make_bucket("own")
    between = FaultyProxy(server.port, Faults(0.0))
    for name, value in server.environment(between.endpoint).items():
        monkeypatch.setenv(name, value)
    forget_clients()
    table = Table("s3://own/run", "plan", LAYOUT)
    writer = threading.Thread(target=fill, args=(table,))
    writer.start()
    while between.requests["PUT"] < 9:
        time.sleep(0.001)
    server.kill()
    server.start()
    writer.join(sum(patience.WAITS_S) * 2)
    assert not writer.is_alive()
    assert files_of(table.folder) == on_disk
    between.close()
    forget_clients()
