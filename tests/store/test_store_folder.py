"""A folder at any URL: whole files or none, and messages that say what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from lfiw_ray.errors import StoreError
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from lfiw_ray.store import folder, shards

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

calls = 0
def count(original):
    def step(*arguments):
        global calls
        calls += 1
        return killed() if calls == int(sys.argv[2]) else original(*arguments)
    return step

folder.os.fsync = count(os.fsync)
Path.replace = count(Path.replace)
shards.commit(folder.Folder(sys.argv[1]), 0, "plan", 3, b"rows" * 1000)
"""


def test_files_come_and_go(folder: Folder):
    assert folder.sizes() == {}
    assert not folder.exists("a")
    folder.write("a", b"first")
    folder.write("a", memoryview(b"second!"))
    folder.write("b", b"")
    assert folder.read("a") == b"second!"
    assert folder.sizes() == {"a": 7, "b": 0}
    with folder.open("a") as file:
        file.seek(3)
        assert file.read() == b"ond!"
    folder.remove("a")
    folder.remove("a")
    assert folder.sizes() == {"b": 0}


def test_children_are_folders_below_and_not_files(folder: Folder):
    folder.child("x").write("a", b"1")
    assert folder.sizes() == {}
    assert folder.exists("x")
    assert folder.child("x").sizes() == {"a": 1}
    folder.child("w").write("b", b"2")
    folder.write("c", b"3")
    assert folder.folders() == ["w", "x"]
    assert folder.child("nowhere").folders() == []


def test_a_missing_file_is_named(folder: Folder):
    with pytest.raises(StoreError, match=r"cannot read .*samples/nothing: no such file"):
        folder.read("nothing")
    with pytest.raises(StoreError, match="samples/nothing"), folder.open("nothing"):
        pass


def test_the_probe_of_writing_leaves_nothing(folder: Folder):
    folder.check_writable()
    assert folder.sizes() == {}


def test_urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Folder("runs/a/").absolute_url() == str(tmp_path / "runs" / "a")
    assert Folder("~/a").absolute_url() == str(tmp_path / "home" / "a")
    assert Folder(f"file://{tmp_path}/a").absolute_url() == str(tmp_path / "a")
    assert Folder("memory://a/b/").absolute_url() == "memory://a/b"
    assert Folder("memory://a").child("b").path("c").endswith("a/b/c")


@pytest.mark.parametrize("act", [Folder.sizes, Folder.check_writable, Folder.absolute_url, lambda f: f.read("a")])
def test_an_unknown_kind_of_url_is_refused(act):
    with pytest.raises(StoreError, match=r"nosuch://x.*nosuch"):
        act(Folder("nosuch://x"))


# The commit of a shard calls, in turn: fsync of the rows, rename, fsync of the folder, and the same for the mark.
@pytest.mark.parametrize(("step", "done"), [(1, False), (2, False), (3, False), (4, False), (5, False), (6, True)])
def test_a_killed_writer_leaves_the_shard_pending_or_whole(tmp_path: Path, step: int, done: bool):
    table = Table(str(tmp_path / "run"), "plan", Layout(3, 3))
    writer = subprocess.run([sys.executable, "-c", KILLED_WRITER, table.url, str(step)], check=False)
    assert writer.returncode == -9
    assert shards.pending(table) == ([] if done else [0])
    if done:
        assert table.read(0) == b"rows" * 1000
    shards.commit(table.folder, 0, "plan", 3, b"rows" * 1000)
    undisturbed = Folder(str(tmp_path / "undisturbed"))
    shards.commit(undisturbed, 0, "plan", 3, b"rows" * 1000)
    assert table.folder.sizes() == undisturbed.sizes()  # nothing of the killed writer is left
    assert all(table.folder.read(name) == undisturbed.read(name) for name in undisturbed.sizes())


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Folder(str(tmp_path))
    folder.write("a", b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write("a", b"new")
    assert folder.read("a") == b"old"
    assert folder.sizes() == {"a": 3}


def test_leftovers_of_other_files_are_not_touched(tmp_path: Path):
    (tmp_path / ".ab.1.tmp").write_bytes(b"of a writer at work")
    Folder(str(tmp_path)).write("a*", b"")
    assert Folder(str(tmp_path)).sizes() == {".ab.1.tmp": 19, "a*": 0}


def test_a_full_disk_is_named_and_finished_shards_stay(small_disk: Path):
    table = Table(str(small_disk / "samples"), "plan", Layout(30, 3))
    rows = bytes(60_000)
    with pytest.raises(StoreError, match=r"samples/0000\d\.(parquet|json): .*disk is full; free some space"):  # noqa: PT012
        for shard in range(10):
            shards.commit(table.folder, shard, "plan", 3, rows)
    done = sorted({*range(10)} - {*shards.pending(table)})
    assert 0 < len(done) < 5
    assert done == list(range(len(done)))
    assert all(table.read(shard) == rows for shard in done)
    assert not [name for name in table.folder.sizes() if name.endswith(".tmp")]
    shards.discard(table.folder, 0)  # frees some space
    shards.commit(table.folder, len(done), "plan", 3, rows)
    assert shards.damaged(table) == {}


def test_a_read_only_disk_is_named(read_only_disk: Path):
    for act in (lambda f: f.write("a", b""), Folder.check_writable):
        with pytest.raises(StoreError, match=rf"cannot write {read_only_disk}/.*read-only; choose another run folder"):
            act(Folder(str(read_only_disk)))
    with pytest.raises(StoreError, match="read-only"):
        Folder(str(read_only_disk / "new")).check_writable()


def test_a_forbidden_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(StoreError, match=rf"cannot write {tmp_path}/a: Permission denied; no permission; choose"):
        Folder(str(tmp_path)).write("a", b"")


@pytest.mark.parametrize("below", ["file", "file/deep"])
def test_a_folder_below_a_regular_file_is_refused(tmp_path: Path, below: str):
    (tmp_path / "file").write_bytes(b"")
    folder = Folder(str(tmp_path / below))
    with pytest.raises(StoreError, match=r"a file stands where a folder is needed; choose another run folder"):
        folder.check_writable()
    assert not folder.exists("run.json")
