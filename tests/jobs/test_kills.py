"""Kill -9 of the driver, of an actor and of a training worker: the next call ends with the same bytes.

`samples/`, `weights/` and `selection/` are compared file by file with those of an undisturbed run.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import POOL, Driver, Undisturbed, digests

pytestmark = pytest.mark.ray

STAGES = (
    "generator",
    "fit_samples",
    "domain",
    "classifier",
    "naive_classifier",
    "samples and weights",
    "diagnostics",
    "selection",
    "resampled",
    "evaluation",
    "downstream",
    "studies",
    "report",
)


NO_STUDIES = "--studies.names=[]"  # no table hangs on them


def kill_in_each(
    stages: tuple[str, ...], part: float, start: Callable[..., Driver], run: Path, undisturbed: Undisturbed, *flags: str
) -> None:
    """One run, killed in one stage after the other when `part` of the stage's usual time is over, then finished."""
    seconds = json.loads((undisturbed.run / "timings.json").read_text())
    for stage in stages:
        driver = start(run, *flags)
        driver.wait_for_stage(stage)
        time.sleep(part * seconds[stage])
        driver.kill()
    last = start(run, *flags)
    assert last.finish() == 0, last.err
    assert digests(run) == digests(undisturbed.run)


@pytest.mark.slow
def test_the_driver_is_killed_in_three_stages(
    start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    stages = ("classifier", "samples and weights", "downstream")
    kill_in_each(stages, 0.6, start, tmp_path / "run", undisturbed, NO_STUDIES)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_the_driver_is_killed_in_every_stage(
    start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed, part: float
) -> None:
    kill_in_each(STAGES, part, start, tmp_path / "run", undisturbed)


def test_a_training_worker_every_kind_of_actor_and_then_the_driver_are_killed_while_they_work(
    start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """The next call here fills the pool only; the slow tests go through to the end."""
    run, flag = tmp_path / "run", "--classifier.train.num_workers=1"
    driver = start(run, flag)
    driver.wait_for_stage("classifier")
    driver.wait_until(lambda: list((run / "classifier" / "checkpoints").glob("*.json")))
    (trainer,) = driver.wait_until(lambda: driver.workers("RayTrainWorker"))
    trainer.kill()
    driver.wait_for_stage("samples and weights")
    driver.wait_until((run / "samples" / "00000.json").exists)
    actors = driver.workers("MapWorker")
    assert len(actors) == 3
    for actor in actors:
        actor.kill()
    driver.wait_until((run / "samples" / "00002.json").exists)  # by actors that came after them
    driver.kill()
    assert "resumed at step" in driver.out
    last = start(run, flag, job="score.py")
    assert last.finish() == 0, last.err
    assert digests(run, POOL) == digests(undisturbed.run, POOL)
