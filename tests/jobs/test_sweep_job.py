"""jobs/sweep_evaluation.py on a finished run: what it leaves, what a second call and another sweep do, and the page."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import Driver, Undisturbed, mtimes

pytestmark = pytest.mark.ray

FLAGS = (
    "--sweep.inputs=[own, clean_pixels]",
    "--sweep.calibrators=[platt, isotonic]",
    "--sweep.alphas=[0.5]",
    "--sweep.tails=[none]",
    "--sweep.schemes=[sir]",
    "--sweep.ks=[200]",
    "--sweep.extractor=random",
    "--sweep.num_validation_pools=2",
    "--sweep.num_test_pools=2",
)


def test_a_finished_run_is_swept_once(start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run, run)
    before = mtimes(run)
    job = start(run, *FLAGS, job="sweep_evaluation.py")
    assert job.finish() == 0, job.err
    found = json.loads((run / "sweep" / "results.json").read_text())
    assert {(trial["input"], trial["calibrator"]) for trial in found["trials"]} == {
        (name, kind) for name in ("own", "clean_pixels") for kind in ("platt", "isotonic")
    }
    assert all(len(trial["values"]) == 2 for trial in found["trials"])
    assert found["num_real_rows"] == {"train": 80, "validation": 80, "test": 80}
    assert found["num_calibration_rows"] == {"real": 80, "generated": 512}
    assert (found["pool_rows"], found["num_trials"], found["grid_size"]) == (12_288, 4, 4)
    assert set(found["test"]["arms"]) == {"winner", "own", "raw"}
    assert found["verdict"] in job.out
    rows = list(csv.DictReader((run / "sweep" / "trials.csv").read_text().splitlines()))
    assert [float(row["mean"]) for row in rows] == [trial["mean"] for trial in found["trials"]]
    assert {name: when for name, when in mtimes(run).items() if name in before} == before  # the run is as it was

    written = mtimes(run)
    again = start(run, *FLAGS, "--sweep.max_concurrent=1", job="sweep_evaluation.py")
    other = start(run, *FLAGS, "--sweep.alphas=[1.0]", job="sweep_evaluation.py")
    page = start(run, job="report.py")
    assert again.finish() == 0, again.err
    assert other.finish() == 2
    assert f"remove {run}/sweep" in other.err
    assert page.finish() == 0, page.err
    assert mtimes(run) == written
    assert "Sweep of the settings" in (run / "report" / "index.html").read_text()


MANY = (
    "--sweep.alphas=[0.2, 0.4, 0.6, 0.8, 1.0]",
    "--sweep.schemes=[sir, systematic, gumbel]",
    "--sweep.num_trials=60",
    "--sweep.max_concurrent=2",
)


def ended(run: Path) -> dict[Path, str]:
    """What the trials have told that saw both validation pools."""
    told = {path: path.read_text() for path in run.glob("sweep/tune/*/*/result.json")}
    return {path: text for path, text in told.items() if text.count("\n") == 2}


@pytest.mark.slow
def test_a_killed_sweep_goes_on(start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Killed while it extracts and again while trials run: what was done is kept, and the result is the same."""
    whole, cut, flags = tmp_path / "whole", tmp_path / "cut", (*FLAGS, *MANY)
    for run in (whole, cut):
        shutil.copytree(undisturbed.run, run)
    job = start(whole, *flags, job="sweep_evaluation.py")
    assert job.finish() == 0, job.err
    first = start(cut, *flags, job="sweep_evaluation.py")
    first.wait_until(lambda: list((cut / "inputs/spaces/random/pool").glob("*.json"))[3:])
    first.kill()
    extracted = {name: when for name, when in mtimes(cut).items() if name.endswith(".json") and "spaces" in name}
    second = start(cut, *flags, job="sweep_evaluation.py")
    second.wait_until(lambda: list(cut.glob("sweep/tune/*/trial_*/result.json")))
    second.kill()
    features = {name: when for name, when in mtimes(cut).items() if name.startswith("inputs/")}
    assert extracted.items() <= features.items()
    told = ended(cut)
    assert not (cut / "sweep/results.json").exists(), "killed too late"
    last = start(cut, *flags, job="sweep_evaluation.py")
    assert last.finish() == 0, last.err
    assert features.items() <= mtimes(cut).items()
    now = ended(cut)
    assert sum(now.get(path) == text for path, text in told.items()) >= len(told) - 2  # those Tune had not noted yet
    assert (cut / "sweep/results.json").read_text() == (whole / "sweep/results.json").read_text()
