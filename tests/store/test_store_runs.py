"""`run.json` and the timings beside it."""

import pytest

from lfiw_ray.errors import StoreError
from lfiw_ray.store import runs, timings
from lfiw_ray.store.folder import Folder

PLANNED = {"seed": 0, "generate": {"num_samples": 10, "pool": {}}, "resample": {"schemes": ["sir"], "k": 3}}
PLANS = {"generator": "aa", "samples": "bb"}
RECORD = {"config": {"run": "x"}, "seed": 0}


def test_a_run_is_recorded_once(folder: Folder):
    runs.open_run(folder, PLANNED, PLANS, RECORD)
    before = folder.read(runs.NAME)
    assert runs.read_run(folder) == {"planned": PLANNED, "plans": PLANS, **RECORD}
    runs.open_run(folder, PLANNED, PLANS, {"config": {"run": "a resume on another cluster"}})
    assert folder.read(runs.NAME) == before


def test_a_dry_run_writes_nothing_and_checks_all_the_same(folder: Folder):
    runs.open_run(folder, PLANNED, PLANS, RECORD, dry=True)
    assert not folder.exists(runs.NAME)
    assert folder.sizes() == {}
    runs.open_run(folder, PLANNED, PLANS, RECORD)
    with pytest.raises(StoreError, match="another plan"):
        runs.open_run(folder, PLANNED, {"generator": "cc"}, RECORD, dry=True)


def test_another_plan_is_refused_with_the_fields_that_differ(folder: Folder):
    runs.open_run(folder, PLANNED, PLANS, RECORD)
    other = {"seed": 1, "generate": {"num_samples": 10, "pool": {}}, "resample": {"k": 4, "schemes": ["sir"]}, "new": 5}
    with pytest.raises(StoreError) as caught:
        runs.open_run(folder, other, {"generator": "cc"}, RECORD)
    lines = str(caught.value).splitlines()
    assert lines[0] == (f"run folder {folder.url} belongs to another plan; choose another one (--run), or change back:")
    assert lines[1:] == ["  seed: 0 there, 1 now", "  resample.k: 3 there, 4 now", "  new: None there, 5 now"]


def test_another_plan_of_the_same_fields_says_that_the_data_differ(folder: Folder):
    runs.open_run(folder, PLANNED, PLANS, RECORD)
    with pytest.raises(StoreError, match=r"change back:\n  no field differs: the real data are other ones"):
        runs.open_run(folder, PLANNED, {"generator": "cc"}, RECORD)


def test_fields_that_are_gone_are_listed_too():
    assert runs.differing_fields({"a": 1, "s": {"b": 2}}, {"s": {}}) == [
        "s.b: 2 there, None now",
        "a: 1 there, None now",
    ]
    assert runs.differing_fields(PLANNED, PLANNED) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"planned": {}}', "\xff"])
def test_a_record_that_cannot_be_understood_is_named(folder: Folder, text: str):
    folder.write(runs.NAME, text.encode("latin-1"))
    with pytest.raises(StoreError, match=r"samples/run.json is not a run's record .*choose another run folder"):
        runs.open_run(folder, PLANNED, PLANS, RECORD)


def test_a_folder_without_a_record_is_no_run(folder: Folder):
    with pytest.raises(StoreError, match=r"run\.json: no such file"):
        runs.read_run(folder)


def test_seconds_add_up_over_resumes(folder: Folder):
    assert timings.read(folder) == {}
    timings.add(folder, "samples", 1.5)
    timings.add(folder, "report", 0.25)
    timings.add(folder, "samples", 2.0)
    assert timings.read(folder) == {"samples": 3.5, "report": 0.25}


def test_torn_timings_are_named(folder: Folder):
    folder.write(timings.NAME, b'{"samples": ')
    with pytest.raises(StoreError, match=r"samples/timings.json is not understood .*remove it and run again"):
        timings.add(folder, "report", 1.0)
