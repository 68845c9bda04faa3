"""Stages that are not sharded: files and one mark over all of them."""

import json

import pytest

from lfiw_ray.errors import StoreError
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder

FILES = {"model.bin": bytes(range(200)), "empty": b""}
RESULT = {"alpha": 0.1 + 0.2, "table": [1, None, "x"]}


@pytest.fixture
def done(folder: Folder) -> Folder:
    stages.finish(folder, "plan", FILES, RESULT)
    return folder


def test_a_finished_stage_gives_its_result_and_files(done: Folder):
    assert stages.finished(done, "plan") == RESULT
    assert {name: stages.read(done, name) for name in FILES} == FILES
    assert stages.damaged(done) is None


def test_an_unfinished_stage_has_nothing_to_read(folder: Folder):
    folder.write("model.bin", FILES["model.bin"])
    assert stages.finished(folder, "plan") is None
    assert stages.damaged(folder) is None
    with pytest.raises(StoreError, match=r"samples is not finished; run the stage that writes it"):
        stages.read(folder, "model.bin")


def test_the_mark_is_written_last(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    written = []
    monkeypatch.setattr(Folder, "write", lambda _self, name, _data: written.append(name))
    stages.finish(folder, "plan", FILES, RESULT)
    assert written == ["model.bin", "empty", stages.MARK]


def test_finishing_again_writes_the_same_bytes(done: Folder):
    before = done.read(stages.MARK)
    stages.finish(done, "plan", FILES, RESULT)
    assert done.read(stages.MARK) == before


def test_another_plan_is_refused(done: Folder):
    with pytest.raises(StoreError, match=r"samples was made by plan plan, this run's is other; choose another"):
        stages.finished(done, "other")


def test_a_discarded_stage_is_unfinished(done: Folder):
    stages.discard(done)
    assert stages.finished(done, "plan") is None


def test_a_file_that_the_mark_does_not_name_is_not_read(done: Folder):
    done.write("stray", b"")
    with pytest.raises(StoreError, match=r"has no file stray; its mark names \['empty', 'model.bin'\]"):
        stages.read(done, "stray")


@pytest.mark.parametrize("kind", ["missing", "truncated", "flipped"])
def test_a_damaged_file_is_named_by_all_that_read_it(done: Folder, kind: str):
    data = FILES["model.bin"]
    if kind == "missing":
        done.remove("model.bin")
    else:
        done.write("model.bin", data[:-1] if kind == "truncated" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(StoreError, match=r"samples/model.bin"):
        stages.read(done, "model.bin")
    assert "samples/model.bin" in (stages.damaged(done) or "")
    if kind == "flipped":  # sizes alone are looked at before a stage is skipped
        assert stages.finished(done, "plan") == RESULT
    else:
        with pytest.raises(StoreError, match=r"samples/model.bin .*run again with --repair"):
            stages.finished(done, "plan")


@pytest.mark.parametrize("mark", ["", "{", "[]", "null", "{}", '"x"', "altered"])
def test_a_mark_that_cannot_be_understood_is_named_and_repaired(done: Folder, mark: str):
    altered = json.dumps({**json.loads(done.read(stages.MARK)), "result": {"alpha": 1.0}})
    done.write(stages.MARK, (altered if mark == "altered" else mark).encode())
    for act in (lambda: stages.finished(done, "plan"), lambda: stages.read(done, "model.bin")):
        with pytest.raises(StoreError, match=r"done.json is not a done mark .*run again with --repair"):
            act()
    assert "done.json" in (stages.damaged(done) or "")
    stages.discard(done)
    assert stages.finished(done, "plan") is None
