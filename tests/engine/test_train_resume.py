"""Interrupted training continues with the same numbers, to the last bit, and only from its own checkpoints."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_toys import ALONE, Point, equal, flip_bit, images, job

from lfiw_ray.engine import train_watch
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob, train
from lfiw_ray.engine.train_state import TrainState
from lfiw_ray.errors import StoreError
from lfiw_ray.models.checkpoint import tensors_from_bytes


class KilledError(Exception):
    """Stands for the end of the process."""


def run(work: TrainJob, stop_after_step: int | None = None) -> TrainState:
    """Train; with `stop_after_step`, until the first checkpoint at or after it, then die."""

    def report(metrics: dict[str, float]) -> None:
        if stop_after_step is not None and metrics["step"] >= stop_after_step:
            raise KilledError

    return train(work, work.data, work.held_out, ALONE, report)


@pytest.mark.parametrize("ema_decay", [0.0, 0.99])
def test_resume_after_an_epoch_is_bit_identical(tmp_path: Path, ema_decay: float) -> None:
    options: dict[str, Any] = {"ema_decay": ema_decay, "held_out": images(20, 1), "patience_epochs": 3}
    undisturbed = run(job(tmp_path / "whole", **options))
    for stop in (5, 10, 15):
        with pytest.raises(KilledError):
            run(job(tmp_path / "cut", **options), stop)
    resumed = run(job(tmp_path / "cut", **options))
    assert equal(resumed.tensors(), undisturbed.tensors())
    assert resumed.progress == undisturbed.progress


def test_the_best_weights_survive_a_kill_after_they_were_found(tmp_path: Path) -> None:
    """A point on its way from 0 to 5, one step an epoch, is best where the held-out rows lie, at 2."""
    options: dict[str, Any] = {"batch_size": 8, "epochs": 9, "warmup_steps": 0, "schedule": "constant", "lr": 0.5}
    options |= {"held_out": np.full((3, 1), 2, np.uint8), "patience_epochs": 9, "ema_decay": 0.0}
    fives = np.full((8, 1), 5, np.uint8)
    undisturbed = fit(job(tmp_path / "whole", Point, fives, **options), 0)
    with pytest.raises(KilledError):
        run(job(tmp_path / "cut", Point, fives, **options), 7)
    assert fit(job(tmp_path / "cut", Point, fives, **options), 0) == undisturbed
    at = float(tensors_from_bytes(undisturbed.files["model.safetensors"], "toy")["at"])
    assert abs(at - 2) < 0.3


def test_resume_inside_an_epoch_is_bit_identical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints by the clock: every second step here."""
    monkeypatch.setattr(train_watch, "_LOOK_EVERY", 2)
    options: dict[str, Any] = {"checkpoint_every_epochs": 100, "held_out": images(20, 1)}
    undisturbed = run(job(tmp_path / "whole", **options))
    by_the_clock = options | {"checkpoint_every_minutes": 1e-9}
    with pytest.raises(KilledError):
        run(job(tmp_path / "cut", **by_the_clock), 7)
    (mark,) = (tmp_path / "cut" / "checkpoints").glob("*.json")
    assert mark.name == "step-000000007.json"  # within the second epoch of 5 steps
    resumed = run(job(tmp_path / "cut", **by_the_clock))
    assert equal(resumed.tensors(), undisturbed.tensors())
    assert resumed.progress == undisturbed.progress


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = fit(job(tmp_path, held_out=images(20, 1)), 0)
    again = fit(job(tmp_path, held_out=images(20, 1)), 0)
    assert again == first


def test_only_the_newest_checkpoint_stays(tmp_path: Path) -> None:
    run(job(tmp_path))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000000020.json", "step-000000020.safetensors"]


def checkpoint(folder: Path) -> tuple[Path, Path]:
    """Tensors and mark of a run that was cut after its second epoch."""
    with pytest.raises(KilledError):
        run(job(folder), 10)
    stem = folder / "checkpoints" / "step-000000010"
    return stem.with_suffix(".safetensors"), stem.with_suffix(".json")


def test_an_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    tensors, _ = checkpoint(tmp_path)
    flip_bit(tensors, -1)
    with pytest.raises(StoreError, match=r"step-000000010.safetensors was altered; remove .*checkpoints"):
        run(job(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": "aaaa"}'])
def test_a_mark_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    _, mark = checkpoint(tmp_path)
    mark.write_text(text)
    with pytest.raises(StoreError, match=r"step-000000010.json is not a checkpoint's mark.*remove .*checkpoints"):
        run(job(tmp_path))


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    with pytest.raises(StoreError, match=r"step-000000010.json is of plan aaaa, this run's is bbbb"):
        run(job(tmp_path)._replace(plan="bbbb"))


def test_a_crash_between_tensors_and_mark_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """What `save` leaves when it dies at each of its writes and removals."""
    undisturbed = run(job(tmp_path / "whole"))
    tensors, mark = checkpoint(tmp_path / "cut")
    (tensors.parent / "step-000000015.safetensors").write_bytes(b"torn")  # no mark yet
    (tensors.parent / "step-000000005.json").write_text(json.dumps({"plan": "aaaa"}))  # tensors removed, mark not yet
    assert mark.exists()
    assert equal(run(job(tmp_path / "cut")).tensors(), undisturbed.tensors())
