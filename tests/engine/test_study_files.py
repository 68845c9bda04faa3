"""Results of studies in a run folder: written once, read back, refused when torn or of another seed."""

from pathlib import Path
from typing import Any

import pytest

from lfiw_ray.config import PipelineConfig, StudiesConfig
from lfiw_ray.engine import study_files
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.run import Run, prepare
from lfiw_ray.errors import StoreError

RESULTS: dict[str, Any] = {"bias": [0.25, None], "name": "α"}


def run_in(folder: Path, **config: Any) -> Run:
    """A run of which only the configuration and the folder are needed."""
    values = dict.fromkeys(Run._fields) | {"config": PipelineConfig(**config), "url": str(folder)}
    return Run(**values | {"plans": {}, "places": {}})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert study_files.read(run, "toy") is None
    study_files.write(run, "toy", RESULTS)
    assert study_files.read(run, "toy") == RESULTS
    assert study_files.read(run, "estimators") is None
    assert Path(study_files.url(run, "toy")).read_text().startswith("{")
    assert Path(study_files.url(run, "toy")) == tmp_path / "studies" / "toy" / "results.json"


def test_another_seed_is_another_study(tmp_path: Path) -> None:
    study_files.write(run_in(tmp_path), "toy", RESULTS)
    other = run_in(tmp_path, seed=1)
    with pytest.raises(StoreError, match="was made by plan"):
        study_files.is_finished(other, "toy")
    with pytest.raises(StoreError, match="was made by plan"):
        study_files.read(other, "toy")


def test_the_list_of_studies_is_no_part_of_the_plan(tmp_path: Path) -> None:
    study_files.write(run_in(tmp_path), "toy", RESULTS)
    other = run_in(tmp_path, studies=StudiesConfig(names=["estimators"]))
    assert study_files.read(other, "toy") == RESULTS


def test_numbers_that_are_none_are_refused_and_leave_it_unfinished(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        study_files.write(run, "toy", {"bias": float("nan")})
    assert not study_files.is_finished(run, "toy")


def test_an_altered_file_is_named(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    study_files.write(run, "toy", RESULTS)
    file = Path(study_files.url(run, "toy"))
    file.write_bytes(file.read_bytes().replace(b"0.25", b"0.52"))
    with pytest.raises(StoreError, match=r"studies/toy/results.json is torn or was altered"):
        study_files.read(run, "toy")


def test_repair_makes_exactly_the_altered_study_unfinished(tmp_path: Path) -> None:
    config = PipelineConfig(run=str(tmp_path), studies=StudiesConfig(names=["toy", "estimators"]))
    run, _ = prepare(config)
    for name in ("toy", "estimators"):
        study_files.write(run, name, RESULTS)
    file = Path(study_files.url(run, "toy"))
    file.write_bytes(file.read_bytes()[:-1])
    (line,) = repair(run)
    assert line.startswith("studies/toy: ")
    assert [study_files.is_finished(run, name) for name in ("toy", "estimators")] == [False, True]
