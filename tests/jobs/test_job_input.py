"""Bad input to a job: one clear line, exit code 2, and nothing is written; `--dry-run` writes nothing either."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_run import REPOSITORY, Driver, Undisturbed, mtimes

BAD_FLAGS = {
    "--generate.num_sample=5": "unknown flag --generate.num_sample; did you mean generate.num_samples?",
    "--generate.num_samples=many": "generate.num_samples",
    "--generate.num_samples=0": "generate.num_samples",
    "--generate.rows_per_shard=1000": "rows_per_shard (1000) must be a multiple of 8192",
    "--resample.k=50000": "resample.k (50000) is more than generate.num_samples (49152)",
    "--classifier.train.lr=-1": "classifier.train.lr",
    "--data.path=/nowhere/at/all": "/nowhere/at/all",
    "--evaluate.num_rows=30000": "evaluate.num_repeats",
    "--config=/nowhere.yaml": "/nowhere.yaml",
}


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_config: Path
) -> Callable[..., tuple[int, str, str]]:
    """Calls a job in this process: `call(run, *flags)` gives exit code, output and errors."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "jobs"))
    job = importlib.import_module("job")

    def never(*_: Any) -> list[str]:
        raise AssertionError("the work was started")

    def call_it(run: Path, *flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["job", f"--config={tiny_config}", f"--run={run}", *flags])
        with pytest.raises(SystemExit) as ended:
            job.main(never, "a job")
        return ended.value.code, *capsys.readouterr()

    return call_it


@pytest.mark.parametrize("flag", BAD_FLAGS)
def test_bad_flags(call: Callable[..., tuple[int, str, str]], tmp_path: Path, flag: str) -> None:
    code, _, err = call(tmp_path / "run", flag)
    assert code == 2
    assert err.startswith("error: ")
    assert BAD_FLAGS[flag] in err
    assert not (tmp_path / "run").exists()


def test_dry_run_shows_the_plan_and_writes_nothing(call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = call(tmp_path / "run", "--dry-run")
    assert (code, err) == (0, "")
    assert "6 of 6 shards" in out
    shown = yaml.safe_load(out.split("\nrun folder ")[0])
    assert shown["generate"]["num_samples"] == 49_152
    assert not (tmp_path / "run").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_gpus_that_are_not_there(call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, _, err = call(tmp_path / "run", "--num-gpus=99")
    assert code == 2
    assert "num_gpus: each worker is to hold 99 GPU(s)" in err


@pytest.mark.ray
def test_a_folder_of_another_plan(call: Callable[..., tuple[int, str, str]], undisturbed: Undisturbed) -> None:
    before = mtimes(undisturbed.run)
    for flags in (("--seed=1",), ("--seed=1", "--dry-run")):
        code, _, err = call(undisturbed.run, *flags)
        assert code == 2
        assert "belongs to another plan" in err
        assert "seed: 0 there, 1 now" in err
    code, _, err = call(undisturbed.run, "--generator.vae.width=5", "--resample.k=7")
    assert code == 2
    assert "generator.vae.width: 4 there, 5 now" in err
    assert "resample.k: 500 there, 7 now" in err
    assert mtimes(undisturbed.run) == before


@pytest.mark.ray
def test_dry_run_of_a_finished_run(call: Callable[..., tuple[int, str, str]], undisturbed: Undisturbed) -> None:
    before = mtimes(undisturbed.run)
    code, out, _ = call(undisturbed.run, "--dry-run")
    assert code == 0
    assert "0 of 6 shards" in out
    assert mtimes(undisturbed.run) == before


def test_a_process_ends_with_the_same_code(start: Callable[..., Driver], tmp_path: Path) -> None:
    driver = start(tmp_path / "run", "--resample.k=0")
    assert driver.finish() == 2
    assert driver.err.startswith("error: resample.k")
    assert driver.out == ""
