"""The sweep as a Tune experiment: the right exponent wins, trials are as in this process, a stopped sweep goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from sweep_toys import target, work_in

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_sweep import SweepConfig
from lfiw_ray.engine import experiment
from lfiw_ray.errors import ConfigError, WorkerError
from lfiw_ray.studies import sweep as stage
from lfiw_ray.studies.sweep import run_settings
from lfiw_ray.studies.sweep_settings import Setting, settings_of
from lfiw_ray.studies.sweep_space import parts_of, pools_of
from lfiw_ray.studies.sweep_summary import winner_of
from lfiw_ray.studies.sweep_trial import Work, outcome, trial

CONFIG = SweepConfig(
    calibrators=["platt"], alphas=[0.0, 0.4, 1.0], tails=["none"], schemes=["systematic"], ks=[1_000], max_concurrent=2
)
STARTS = [0, 2_500, 5_000, 7_500]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work_in(tmp_path_factory.mktemp("sweep"))


@pytest.fixture
def real(local_ray: None) -> Iterator[Any]:  # noqa: ARG001
    """A reference to real rows."""
    reference = ray.put(target())
    yield reference
    del reference


def reports(folder: Path) -> dict[str, str]:
    """What each trial has written, a line (with time and process) a pool."""
    written = {str(path): path.read_text() for path in folder.glob("*/*/result.json")}
    return {path: text for path, text in written.items() if text}


@pytest.mark.ray
def test_a_stopped_sweep_goes_on_and_finds_the_right_exponent(
    work: Work, real: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trial 1 fails as long as a file is there; the next run repeats that trial and no other."""
    settings, poison = settings_of(CONFIG, seed=0), tmp_path / "poison"
    poison.touch()

    def poisoned(params: dict[str, Any], **given: Any) -> None:
        if params["trial"] == 1 and poison.exists():
            raise RuntimeError("poison")
        trial(params, **given)

    monkeypatch.setattr(stage, "trial", poisoned)
    monkeypatch.setattr(experiment, "MAX_FAILURES", 0)
    storage = str(tmp_path / "tune")
    with pytest.raises(WorkerError, match=r"sweep: 1 of 3 trials failed \(\(input own, .*\)\)[\s\S]*poison"):
        run_settings(CONFIG, work, settings, STARTS, real, "aaaa", storage)
    ended = reports(tmp_path / "tune")
    assert [text.count("\n") for text in ended.values()] == [4, 4]
    poison.unlink()
    rows = run_settings(CONFIG, work, settings, STARTS, real, "aaaa", storage)
    now = reports(tmp_path / "tune")
    assert len(now) == 3
    assert {path: now[path] for path in ended} == ended  # nothing that ended ran again
    for row, setting in zip(rows, settings, strict=True):
        expected = [outcome(work, setting, start, target()) for start in STARTS]
        assert row["values"] == pytest.approx([one.value for one in expected], rel=1e-6)
        assert row["ess"] == pytest.approx(sum(one.ess for one in expected) / 4)
        assert (row["alpha"], row["stopped"]) == (setting.alpha, False)
    assert settings[winner_of(rows)].alpha == 1.0


@pytest.mark.ray
def test_asha_stops_the_poor_and_not_the_best(work: Work, real: Any, tmp_path: Path) -> None:
    """One at a time, the best first: of those after it whoever is worse after two pools is stopped."""
    config = CONFIG.model_copy(update={"scheduler": "asha", "max_concurrent": 1})
    settings = [Setting("own", "platt", alpha, "none", "systematic", 1_000) for alpha in (1.0, 0.4, 0.2, 0.0)]
    rows = run_settings(config, work, settings, STARTS, real, "bbbb", str(tmp_path))
    assert [len(row["values"]) for row in rows] == [4, 2, 2, 2]
    assert [row["stopped"] for row in rows] == [False, True, True, True]
    assert winner_of(rows) == 0


def test_k_must_fit_the_pools() -> None:
    parts, pools = parts_of(60, 0), pools_of(20_000, 4, 4)
    with pytest.raises(
        ConfigError, match=r"sweep.ks: 5,000 rows are more than each of the 8 disjoint pools has \(2,500"
    ):
        stage._check_sizes(SweepConfig(), parts, pools)
    stage._check_sizes(SweepConfig(ks=[2_500]), parts, pools)
    with pytest.raises(ConfigError, match="59 real evaluation rows are too few for three parts of at least 20"):
        stage._check_sizes(SweepConfig(ks=[2_500]), parts_of(59, 0), pools)


def test_the_space_must_be_one_that_the_run_evaluates() -> None:
    def extractor(**sweep: Any) -> str:
        config = PipelineConfig.model_validate({"evaluate": {"extractors": ["random", "domain"]}, "sweep": sweep})
        return stage._extractor(config)

    assert (extractor(), extractor(extractor="domain")) == ("random", "domain")
    with pytest.raises(ConfigError, match=r"sweep.extractor: inception is none of evaluate.extractors, random, domain"):
        extractor(extractor="inception")
