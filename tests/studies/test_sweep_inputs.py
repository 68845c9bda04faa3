"""Further classifiers of a run: what they share with it, where their own stages lie, on which rows they calibrate."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.committee import Member
from lfiw_ray.engine.run import Real, Run, prepare
from lfiw_ray.errors import ConfigError
from lfiw_ray.studies import sweep_inputs
from lfiw_ray.studies.sweep_inputs import Input, calibration_rows, inputs_of
from lfiw_ray.studies.sweep_inputs import prepare as prepare_input


def opened(folder: Path, **sections: Any) -> tuple[Run, Real]:
    return prepare(PipelineConfig.model_validate({"run": str(folder), **sections}))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Real]:
    """A run on noised pixels with the naive arms."""
    return opened(tmp_path_factory.mktemp("run"))


def test_the_runs_own_and_the_naive_classifier_are_those_of_the_run(plain: tuple[Run, Real]) -> None:
    run, real = plain
    own, naive = inputs_of(run, real, ["own", "clean_pixels"])
    assert own.run is naive.run is run
    assert (own.classifier, own.weights) == ("classifier", "weights")
    assert (naive.classifier, naive.weights) == ("naive_classifier", "naive_weights")


def test_another_input_shares_the_samples_and_has_its_own_classifier(plain: tuple[Run, Real]) -> None:
    run, real = plain
    features, both = inputs_of(run, real, ["features", "both"])
    for one in (features, both):
        for stage in ("generator", "domain", "fit_samples", "samples", "naive_classifier", "naive_weights"):
            assert one.run.plans[stage] == run.plans[stage]
            assert one.run.folder(stage).url == run.folder(stage).url
        for stage in ("classifier", "weights", "features/samples", "features/real", "features/fit_samples"):
            assert one.run.folder(stage).url == f"{run.url}/inputs/{one.name}/{stage}"
        assert one.run.classifier_config("classifier").input == one.name
        assert one.run.table("weights").url == f"{run.url}/inputs/{one.name}/weights"
        assert one.run.table("weights").plan not in run.plans.values()
    assert run.folder("weights").url == f"{run.url}/weights"


def test_features_that_the_run_has_are_not_extracted_again(tmp_path: Path) -> None:
    run, real = opened(tmp_path, classifier={"input": "features"}, evaluate={"naive": False})
    (both,) = inputs_of(run, real, ["both"])
    for stage in ("features/real", "features/fit_samples", "features/samples"):
        assert both.run.folder(stage).url == run.folder(stage).url
        assert both.run.plans[stage] == run.plans[stage]
    assert both.run.folder("weights").url != run.folder("weights").url
    (clean,) = inputs_of(run, real, ["clean_pixels"])  # not a stage of this run
    assert clean.run.folder("classifier").url == f"{run.url}/inputs/clean_pixels/classifier"
    assert clean.run.classifier_config("classifier").noise_sigma == 0


def test_what_is_not_possible_beside_the_run_is_refused(plain: tuple[Run, Real], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sweep.inputs: own and pixels are the same classifier here"):
        inputs_of(*plain, ["own", "pixels"])
    folds = opened(tmp_path, classifier={"folds": 3}, evaluate={"naive": False})
    with pytest.raises(ConfigError, match=r"sweep.inputs: clean_pixels is trained on samples outside the pool"):
        inputs_of(*folds, ["clean_pixels"])
    assert inputs_of(*folds, ["features"])[0].run.config.classifier.folds == 3


def test_a_pool_without_weights_is_refused(plain: tuple[Run, Real]) -> None:
    run, real = plain
    with pytest.raises(ConfigError, match=r"weights lacks 7 of 7 shards; run jobs/score.py before the sweep"):
        prepare_input(run, real, Input("own", run))


def test_rows_that_calibrate_are_judged_by_one_fold_each(
    plain: tuple[Run, Real], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three folds of two members, whose numbers are in the logits; five real rows, and tuning rows fold by fold."""
    numbers = {f"{fold}-{member}": 10 * fold + member for fold in range(3) for member in range(2)}
    committee = tuple(tuple(Member(f"{fold}-{m}", m, None, 0.0) for m in range(2)) for fold in range(3))  # type: ignore[arg-type]
    x = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    monkeypatch.setattr(sweep_inputs, "committee_of", lambda *_: committee)
    monkeypatch.setattr(
        sweep_inputs, "load_classifier", lambda url, _: SimpleNamespace(inputs=("x",), number=numbers[url])
    )
    monkeypatch.setattr(sweep_inputs, "read_json", lambda folder, _: [1000.0 + numbers[folder.url]])

    def score(model: Any, inputs: tuple[np.ndarray, ...], ids: np.ndarray, *_: Any) -> np.ndarray:
        assert np.array_equal(inputs[0].ravel(), ids)
        return np.float32(100 * ids + model.number)

    monkeypatch.setattr(sweep_inputs, "score", score)
    logits, y = calibration_rows(Input("own", plain[0]), x)
    assert logits.tolist() == [0.5, 110.5, 220.5, 300.5, 410.5, 1000.5, 1010.5, 1020.5]
    assert y.tolist() == [1.0] * 5 + [0.0] * 3
