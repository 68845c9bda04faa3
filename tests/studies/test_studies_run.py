"""The stage of the studies on Ray: results kept, finished ones not run again, failures with a name."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args

import pytest

from lfiw_ray.config import PipelineConfig, StudiesConfig
from lfiw_ray.engine import study_files
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import WorkerError
from lfiw_ray.studies import run as stage
from lfiw_ray.studies import toy


def run_in(folder: Path) -> Run:
    values = dict.fromkeys(Run._fields) | {
        "config": PipelineConfig(seed=5),
        "url": str(folder),
        "plans": {},
        "places": {},
    }
    return Run(**values)


def test_every_name_of_the_configuration_is_a_study() -> None:
    (names,) = get_args(StudiesConfig.model_fields["names"].annotation)
    assert set(get_args(names)) == set(stage.STUDIES)
    for name, module in stage.STUDIES.items():
        assert name == module.NAME
        assert isinstance(module.TITLE, str)
        assert callable(module.study)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such study: \['toys'\]; there are \['toy'"):
        stage.run_studies(run_in(tmp_path), ["toy", "toys"])
    assert not (tmp_path / "studies").exists()


def test_no_names_no_work(tmp_path: Path) -> None:
    assert stage.run_studies(run_in(tmp_path), []) == {}


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_results_are_the_study_s_own_and_finished_ones_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path)
    found = stage.run_studies(run, ["toy", "toy"])
    assert found == {"toy": {"title": toy.TITLE, "url": study_files.url(run, "toy")}}
    results = study_files.read(run, "toy")
    assert results is not None
    assert results["generator"]["mean"] == toy.fit_toy(5, 0, toy.FULL.num_points, 0).mean
    when = (tmp_path / "studies" / "toy" / "done.json").stat().st_mtime_ns
    monkeypatch.setattr(stage, "_study", None)  # nothing can be started
    assert stage.run_studies(run, ["toy"]) == found
    assert (tmp_path / "studies" / "toy" / "done.json").stat().st_mtime_ns == when


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_study_that_fails_is_named_and_those_before_it_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    @ray.remote
    def instead(name: str, seed: int) -> dict[str, Any]:
        if name == "bad":
            raise ZeroDivisionError("no answer")
        return {"seed": seed}

    known: dict[str, ModuleType] = {name: SimpleNamespace(TITLE=name) for name in ("good", "bad")}  # type: ignore[misc]
    monkeypatch.setattr(stage, "STUDIES", known)
    monkeypatch.setattr(stage, "_study", instead)
    run = run_in(tmp_path)
    with pytest.raises(WorkerError, match=r"study bad failed for good: .*no answer"):
        stage.run_studies(run, ["good", "bad"])
    assert study_files.read(run, "good") == {"seed": 5}
    assert study_files.read(run, "bad") is None
