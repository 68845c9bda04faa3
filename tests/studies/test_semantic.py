"""The sweep on a local cluster: pairing, agreement with trials in this process, resume, failures; the draw of rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfiw_ray.config import DownstreamConfig
from lfiw_ray.engine import experiment
from lfiw_ray.errors import ConfigError, WorkerError
from lfiw_ray.studies import semantic
from lfiw_ray.studies.semantic import DownstreamData, labelled_rows, sweep
from lfiw_ray.studies.semantic_trial import Trial, TrialResult, run_trial

CONFIG = DownstreamConfig(
    num_labels=12, num_unlabelled=40, num_updates=12, batch_size=16, lr=3e-3, semantic_weight=0.5, num_seeds=2
)


def images(y: np.ndarray, seed: int) -> np.ndarray:
    """(N, 8, 8, 1) uint8: a bright column whose place tells the class, under noise."""
    x = np.random.default_rng(seed).integers(0, 100, (len(y), 8, 8, 1))
    x[np.arange(len(y)), :, 1 + 2 * y] += 120
    return x.astype(np.uint8)


def labels(count: int) -> np.ndarray:
    return np.arange(count) % 3


DATA = DownstreamData(
    labelled_x=images(labels(60), 0),
    labelled_y=labels(60),
    test_x=images(labels(90), 1),
    test_y=labels(90),
    unlabelled={"raw": images(labels(50), 2)},
)


def reports(folder: Path) -> dict[str, str]:
    """What each trial that ended has written, one line (with time and process) a run of it."""
    written = {str(path): path.read_text() for path in folder.glob("*/*/result.json")}
    return {path: text for path, text in written.items() if text}


def in_process(arm: str, repeat: int) -> TrialResult:
    """The same trial by hand: draws and training in this process."""
    rows = labelled_rows(DATA.labelled_y, CONFIG.num_labels, 5, repeat)
    pool = DATA.unlabelled.get(arm)
    if pool is not None:
        rng = semantic.noise.generator(5, "downstream unlabelled rows", repeat)
        pool = pool[rng.permutation(len(pool))[: CONFIG.num_unlabelled]]
    trial = Trial(arm, 5, repeat, 3, CONFIG.num_updates, CONFIG.batch_size, CONFIG.lr, CONFIG.semantic_weight)
    return run_trial(trial, DATA.labelled_x[rows], DATA.labelled_y[rows], pool, DATA.test_x, DATA.test_y)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_two_arms_two_repeats_then_resume(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = sweep(CONFIG, 5, "aaaa", str(tmp_path), DATA, 0.0)
    assert capfd.readouterr().out == ""
    written = reports(tmp_path)
    assert [text.count("\n") for text in written.values()] == [1] * 4
    for trial in (json.loads(text) for text in written.values()):
        expected = in_process(trial["arm"], trial["repeat"])
        assert trial["last_loss_nats"] == pytest.approx(expected.last_loss_nats, rel=1e-4)
        assert trial["labelled_crc"] == expected.labelled_crc
        assert out["arms"][trial["arm"]]["accuracies"][trial["repeat"]] == trial["accuracy"]
    assert (out["num_repeats"], out["num_updates"], out["num_unlabelled"], out["num_labels"]) == (2, 12, 40, 12)
    json.dumps(out, allow_nan=False)

    assert sweep(CONFIG, 5, "aaaa", str(tmp_path), DATA, 0.0) == out
    assert reports(tmp_path) == written  # nothing ran again


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_failed_sweep_names_its_trials_and_goes_on_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeat 1 of `raw` fails as long as a file is there; the next run repeats that trial and no other."""
    poison = tmp_path / "poison"
    poison.touch()
    whole = semantic._trial

    def poisoned(params: dict[str, Any], **kwargs: Any) -> None:
        if (params["arm"], params["repeat"]) == ("raw", 1) and poison.exists():
            raise RuntimeError("poison")
        whole(params, **kwargs)

    monkeypatch.setattr(semantic, "_trial", poisoned)
    monkeypatch.setattr(experiment, "MAX_FAILURES", 0)
    with pytest.raises(WorkerError, match=r"1 of 4 trials failed \(arm raw, repeat 1\)[\s\S]*poison"):
        sweep(CONFIG, 5, "bbbb", str(tmp_path), DATA, 0.0)
    ended = reports(tmp_path)
    poison.unlink()
    out = sweep(CONFIG, 5, "bbbb", str(tmp_path), DATA, 0.0)
    now = reports(tmp_path)
    assert len(ended) == 3
    assert len(now) == 4
    assert {path: now[path] for path in ended} == ended
    assert out["arms"]["raw"]["accuracies"][1] == pytest.approx(in_process("raw", 1).accuracy, abs=1.01 / 90)


def test_labelled_rows_are_balanced_and_belong_to_seed_and_repeat() -> None:
    y = np.random.default_rng(0).integers(0, 5, 400)
    rows = labelled_rows(y, 23, seed=1, repeat=2)
    counts = np.bincount(y[rows])
    assert len(set(rows)) == 23
    assert sorted(counts) == [4, 4, 5, 5, 5]
    assert np.array_equal(rows, labelled_rows(y, 23, seed=1, repeat=2))
    assert not np.array_equal(rows, labelled_rows(y, 23, seed=1, repeat=3))
    assert not np.array_equal(rows, labelled_rows(y, 23, seed=2, repeat=2))


def test_too_few_labelled_rows_name_the_field() -> None:
    with pytest.raises(ConfigError, match=r"downstream.num_labels \(2\) is less than the 3 classes"):
        labelled_rows(labels(9), 2, 0, 0)
    with pytest.raises(ConfigError, match="asks for 4 rows of class 0, which has 3"):
        labelled_rows(labels(9), 12, 0, 0)


def test_arms_share_the_size_of_the_smallest() -> None:
    small = replace(DATA, unlabelled={"raw": DATA.unlabelled["raw"], "real": DATA.unlabelled["raw"][:7]})
    assert semantic._check(CONFIG, small) == 7
    assert semantic._check(CONFIG, DATA) == 40
    with pytest.raises(ValueError, match="none called 'labels'"):
        semantic._check(CONFIG, replace(DATA, unlabelled={"labels": DATA.test_x}))
    with pytest.raises(ValueError, match=r"without a row: \['raw'\]"):
        semantic._check(CONFIG, replace(DATA, unlabelled={"raw": DATA.test_x[:0]}))


def test_arms_that_saw_other_rows_or_steps_are_not_compared() -> None:
    results = [in_process(arm, repeat) for arm in ("labels", "raw") for repeat in (0, 1)]
    assert len(semantic._accuracies(results, "raw", CONFIG, 40)) == 2
    last = results[3]
    for wrong in (replace(last, labelled_crc=1), replace(last, num_updates=11), replace(last, num_unlabelled=39)):
        with pytest.raises(WorkerError, match="arm raw, repeat 1: not comparable"):
            semantic._accuracies([*results[:3], wrong], "raw", CONFIG, 40)
    with pytest.raises(WorkerError, match=r"repeats \[0\], not"):
        semantic._accuracies(results[:3], "raw", CONFIG, 40)
