"""The curves end where the evaluation's own arms are, copies of training rows are found, and nothing is done twice."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from table1_toys import NUM_REAL, NUM_TEST, Toy, toy

from lfiw_ray.core.forms import Form
from lfiw_ray.engine import curve_files
from lfiw_ray.engine.evaluate import evaluate
from lfiw_ray.studies.evaluation_curves import ALPHAS, NUM_SAMPLES, NUM_SHOWN, evaluation_curves

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

COPIED = 100


class Evaluated(NamedTuple):
    """The toy whose 100 heaviest samples are copies, its evaluation, and its curves."""

    toy: Toy
    evaluation: dict[str, Any]
    curves: dict[str, Any]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Evaluated:  # noqa: ARG001
    made = toy(tmp_path_factory.mktemp("curves"), copied=COPIED)
    return Evaluated(made, evaluate(made.run, made.real, Form()), evaluation_curves(made.run, made.real, Form()))


def test_alpha_zero_is_raw_and_the_alpha_in_use_is_the_weighted_arm(evaluated: Evaluated) -> None:
    arms, points = evaluated.evaluation["extractors"]["random"]["arms"], evaluated.curves["by_alpha"]
    assert [point["alpha"] for point in points] == list(ALPHAS)
    for point, arm in ((points[0], "raw"), (points[-1], "weighted")):
        for metric in ("fid", "kid", "ess"):
            assert point[metric]["values"] == pytest.approx(arms[arm][metric]["values"], rel=1e-9, abs=1e-12), arm
    ess = [point["ess"]["mean"] for point in points]
    assert ess == sorted(ess, reverse=True)
    assert ess[0] == pytest.approx(300)


def test_with_exact_weights_the_distance_falls_with_alpha(evaluated: Evaluated) -> None:
    for metric in ("fid", "kid"):
        means = [point[metric]["mean"] for point in evaluated.curves["by_alpha"]]
        assert means == sorted(means, reverse=True)


def test_the_whole_selection_is_the_evaluations_arm(evaluated: Evaluated) -> None:
    arms, points = evaluated.evaluation["extractors"]["random"]["arms"], evaluated.curves["by_k"]
    assert [point["k"] for point in points] == [37, 75, 150, 300]
    for arm in ("gumbel", "gumbel_ht"):
        assert points[-1][arm]["values"] == pytest.approx(arms[arm]["kid"]["values"], rel=1e-9, abs=1e-12)
        assert len({point[arm]["mean"] for point in points}) == 4


def test_samples_that_copy_training_rows_are_found(evaluated: Evaluated) -> None:
    found = evaluated.curves["memorisation"]
    assert (found["num_train"], found["num_held_out"]) == (round(0.6 * (NUM_REAL - NUM_TEST)), NUM_TEST)
    assert found["heaviest"]["num_samples"] == found["raw"]["num_samples"] == NUM_SAMPLES
    assert found["heaviest"]["expected"] == pytest.approx(1800 / 2800)
    assert found["heaviest"]["share"] > COPIED / NUM_SAMPLES + 0.5 * (1 - COPIED / NUM_SAMPLES)
    assert found["heaviest"]["z"] > 4
    assert abs(found["raw"]["z"]) < 4.5
    assert [entry["distance_train"] for entry in found["shown"]] == [0.0] * NUM_SHOWN
    assert min(entry["distance_held_out"] for entry in found["shown"]) > 0


def test_the_images_are_of_the_samples_and_of_their_nearest_rows(evaluated: Evaluated) -> None:
    made, images = evaluated.toy, curve_files.images(evaluated.toy.run)
    heavy, train, held_out = np.split(images, 3)
    ids = [entry["sample_id"] for entry in evaluated.curves["memorisation"]["shown"]]
    assert np.array_equal(heavy, made.x[ids])
    assert np.array_equal(train, heavy)  # they are copies
    known = {image.tobytes() for image in made.real.x("evaluation")}
    assert all(image.tobytes() in known for image in held_out)


def test_finished_curves_are_not_computed_again(evaluated: Evaluated, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(evaluated.toy.run.url, folder)
    run = evaluated.toy.run._replace(url=str(folder))
    for name in ("samples", "weights", "embedded"):
        shutil.rmtree(folder / name)
    assert evaluation_curves(run, evaluated.toy.real, Form()) == evaluated.curves
    assert curve_files.finished(run) == evaluated.curves
