"""A run folder that somebody else made: links and names that lead out of it, marks that say too much, deep nesting."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lfiw_ray.errors import StoreError
from lfiw_ray.store import runs, shards, stages, timings
from lfiw_ray.store.contents import parsed, understood
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.links import refuse_links
from lfiw_ray.store.seal import sealed
from lfiw_ray.store.shards import Layout, Table

DEEP = b"[" * 100_000


def test_a_name_in_a_done_mark_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = Folder(str(tmp_path / "run"))
    for name in ("../secret", str(tmp_path / "secret"), "%2e%2e/secret", "file:///etc/passwd"):
        files = {name: {"bytes": 6, "sha256": ""}}
        folder.write(stages.MARK, sealed({"plan": "p", "files": files, "result": {}}))
        for reads in (lambda name=name: stages.read(folder, name), lambda name=name: folder.write(name, b"x")):
            with pytest.raises(StoreError, match="is not the name of a file inside a run folder"):
                reads()
        assert "is not the name of a file inside" in (stages.damaged(folder) or "")
        with pytest.raises(StoreError, match="is not the name of a file inside"):
            folder.child(name)
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_link_out_of_the_run_folder_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    for folder in (run / "samples", outside):
        folder.mkdir(parents=True)
    (run / "samples" / "00000.parquet").touch()
    (run / "also").symlink_to(run / "samples")
    (tmp_path / "named").symlink_to(run)
    for url in (str(run), str(tmp_path / "named"), f"file://{run}"):
        refuse_links(Folder(url))
    for link, target in (
        (run / "weights", outside),
        (run / "samples" / "00001.json", outside / "x"),
        (run / "up", ".."),
    ):
        link.symlink_to(target)
        with pytest.raises(StoreError, match=rf"{link} is a link out of the run folder"):
            runs.open_run(Folder(str(run)), {}, {}, {}, dry=True)
        link.unlink()
    refuse_links(Folder("memory://nothing-there"))
    refuse_links(Folder(str(tmp_path / "absent")))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"plan": 1, "files": {}, "result": {}},
        {"plan": "p", "files": [], "result": {}},
        {"plan": "p", "files": {"a": 1}, "result": {}},
        {"plan": "p", "files": {"a": {"bytes": 1}}, "result": {}},
        {"plan": "p", "files": {}, "result": None},
        {"plan": "p", "files": {}, "result": {}, "more": 1},
    ],
)
def test_a_sealed_mark_of_another_form_is_refused(tmp_path: Path, body: dict[str, object]) -> None:
    folder = Folder(str(tmp_path))
    folder.write(stages.MARK, sealed(body))
    with pytest.raises(StoreError, match=r"done\.json is not a done mark"):
        stages.finished(folder, "p")


@pytest.mark.parametrize(
    "change", [{"rows": "3"}, {"rows": True}, {"bytes": None}, {"extra": []}, {"plan": 5}, {"shard": 0.0}]
)
def test_a_sealed_mark_of_a_shard_with_another_type_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    table = Table(str(tmp_path), "p", Layout(3, 3))
    mark = shards.commit(table.folder, 0, "p", 3, b"rows")
    assert shards.pending(table) == []
    table.folder.write(shards.mark_name(0), sealed({**mark._asdict(), **change}))
    with pytest.raises(StoreError, match="is not a done mark"):
        shards.pending(table)


def test_a_name_of_other_digits_is_no_shard(tmp_path: Path) -> None:
    table = Table(str(tmp_path), "p", Layout(3, 3))
    for name in ("².json", "notes.json", ".json"):
        table.folder.write(name, b"{}")
    assert shards.pending(table) == [0]


class AtOnce(ThreadPoolExecutor):
    """Has read everything that it is given before anything is taken."""

    def map(self, work: Any, *items: Any, **_: Any) -> Any:  # type: ignore[override]
        return iter(list(map(work, *items)))


def test_marks_are_read_a_window_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes them slowly holds a window of them, not all."""
    table, read = Table(str(tmp_path), "p", Layout(40, 1)), []
    for shard in range(40):
        shards.commit(table.folder, shard, "p", 1, b"")
    original = shards.read_mark
    monkeypatch.setattr(shards, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(shards, "_MARKS_AT_ONCE", 8)
    monkeypatch.setattr(shards, "read_mark", lambda *a: (read.append(a), original(*a))[1])
    marks = shards.done_marks(table)
    assert [next(marks).shard for _ in range(3)] == [0, 1, 2]
    assert len(read) == 8
    assert [mark.shard for mark in marks] == list(range(3, 40))


def test_deep_nesting_is_a_message(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for name in (runs.NAME, timings.NAME, stages.MARK, shards.mark_name(0)):
        folder.write(name, DEEP)
    reads = (
        lambda: runs.read_run(folder),
        lambda: timings.read(folder),
        lambda: stages.finished(folder, "p"),
        lambda: shards.read_mark(folder, 0),
        lambda: parsed(DEEP, "x.json"),
    )
    for read in reads:
        with pytest.raises(StoreError):
            read()


@pytest.mark.parametrize("body", [[], {"a": "1"}, {"a": None}, {"a": True}, "x"])
def test_timings_of_another_form_are_refused(tmp_path: Path, body: object) -> None:
    folder = Folder(str(tmp_path))
    folder.write(timings.NAME, json.dumps(body).encode())
    with pytest.raises(StoreError, match=r"timings\.json is not understood"):
        timings.read(folder)


def test_what_goes_wrong_while_a_file_is_read_is_the_files_fault() -> None:
    for fault in (lambda: {}["a"], lambda: 1 + "a", lambda: None.x, lambda: float("a"), lambda: 1 / 0, lambda: [][3]):
        with pytest.raises(StoreError, match=r"x\.json is not what this program writes"), understood("x.json"):
            fault()
    with pytest.raises(StoreError, match=r"^its own$"), understood("x.json"):
        raise StoreError("its own")
    with pytest.raises(MemoryError), understood("x.json"):
        raise MemoryError
