"""Another evaluation of a run lies beside the first, reads what they share, and nothing else may differ."""

from pathlib import Path
from typing import Any

import pytest

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.digest import digest
from lfiw_ray.engine import beside
from lfiw_ray.engine.estimate import describe
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.errors import StoreError
from lfiw_ray.store import runs
from lfiw_ray.store.folder import Folder


def run_of(folder: Path, **evaluate: Any) -> Run:
    config = PipelineConfig.model_validate({"run": str(folder), "evaluate": {"extractors": ["random"], **evaluate}})
    return Run(config, str(folder), stage_plans(config, digest("x")), (8, 8, 1), FitRows(9, 9, 300), 900, 40)


def opened(run: Run) -> Run:
    runs.open_run(Folder(run.url), run.config.planned(), run.plans, {}, free=beside.STAGES)
    return beside.place(run)


def test_a_run_as_it_was_made_has_no_other_places(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert beside.place(run) is run
    assert opened(run) is run
    assert beside.place(run_of(tmp_path)).places == {}


def test_what_differs_lies_beside_and_what_does_not_is_shared(tmp_path: Path) -> None:
    first = opened(run_of(tmp_path))
    other = opened(run_of(tmp_path, infinity=True))
    assert set(other.places) == {"evaluation", "curves", "report"}
    place = f"{first.url}/evaluations/{other.plans['evaluation']}"
    assert [other.folder(s).url for s in ("evaluation", "report")] == [f"{place}/evaluation", f"{place}/report"]
    for stage in ("evaluation_rows", "embedded/random/pool", "samples"):
        assert other.folder(stage).url == first.folder(stage).url
    rows = opened(run_of(tmp_path, num_rows=30))
    assert {"evaluation_rows", "embedded/random/pool", "embedded/random/real"} < set(rows.places)
    assert len({run.folder("evaluation").url for run in (first, other, rows)}) == 3
    more = opened(run_of(tmp_path, extractors=["random", "inception"], whole_pool=True))
    assert {"embedded/inception/real", "whole_pool/random"} < set(more.places)
    assert more.folder("embedded/random/pool").url == first.folder("embedded/random/pool").url


def test_fields_that_decide_more_than_the_evaluation_are_refused(tmp_path: Path) -> None:
    opened(run_of(tmp_path))
    for field, value in (("naive", False), ("extractor_epochs", 9)):
        run = run_of(tmp_path, **{field: value})
        with pytest.raises(StoreError, match=rf"another plan; .*\n  evaluate\.{field}: "):
            opened(run)
        with pytest.raises(StoreError, match="another plan"):
            describe(run)
