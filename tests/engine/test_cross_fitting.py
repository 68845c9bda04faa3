"""No row is weighed by a classifier, calibrator or early stopping that saw it; members and tuning rows in their places.

Images carry their ids, and what reaches a classifier is read from the images themselves, wherever it is called.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from fold_toys import FIRST, FIT, POOL, as_features, ids_in, labelled, labelled_run

from lfiw_ray.core.calibration import Calibration
from lfiw_ray.engine.classifier_rows import generated_rows, training_arrays
from lfiw_ray.engine.committee import (
    CALIBRATION,
    TUNING,
    Part,
    committee_of,
    part_folder,
    parts_of,
    seed_of,
    tuning_log_w,
)
from lfiw_ray.engine.committee_figures import finish_committee, held_out_logits
from lfiw_ray.engine.fit_classifier import calibrate
from lfiw_ray.engine.models import WEIGHTS, finish_model
from lfiw_ray.engine.read import read_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.score import ScoreWorker
from lfiw_ray.engine.train import HISTORY, Trained
from lfiw_ray.models.checkpoint import Description, tensors_to_bytes
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.store import stages

FOLDS = 4
HELD_OUT_X = labelled("calibration", FIT.held_out)


class Seen(NamedTuple):
    """Ids that reached the classifier of a fold, in the order they came."""

    trained: np.ndarray
    calibrated: np.ndarray
    scored: np.ndarray


def as_json(body: object) -> bytes:
    return json.dumps(body).encode()


def toy_logits(ids: np.ndarray, number: int) -> np.ndarray:
    """A logit that depends on the row and the classifier: higher for real rows, so that calibrators have work."""
    return np.sin(ids * (1.0 + number)) + 0.5 * (ids >= FIRST["classifier"])


class Recorder:
    """Stands for the network of every classifier; keeps what each, known by its bias, was asked about."""

    def __init__(self) -> None:
        self._calls: list[tuple[int, int, np.ndarray]] = []

    def logits(
        self, model: Classifier, inputs: tuple[torch.Tensor, ...], sample_ids: np.ndarray, seed: int
    ) -> torch.Tensor:
        number, found = int(model.last.bias[0]), dict(zip(model.inputs, inputs, strict=True))
        ids = ids_in(found["x"].numpy())
        assert np.array_equal(found["features"].numpy(), as_features(ids))
        assert np.isin(ids - sample_ids, list(FIRST.values())).all()
        self._calls.append((number, seed, ids))
        return torch.from_numpy(toy_logits(ids, number).astype(np.float32))

    def taken(self) -> dict[int, np.ndarray]:
        """Ids by classifier, and none of them again."""
        numbers = {number for number, _, _ in self._calls}
        out = {n: np.concatenate([ids for number, _, ids in self._calls if number == n]) for n in numbers}
        self._calls.clear()
        return out

    def seeds(self) -> set[tuple[int, int]]:
        """Classifiers and the seeds of their noise, of what was not taken yet."""
        return {(number, seed) for number, seed, _ in self._calls}


@pytest.fixture(scope="module")
def record() -> Iterator[Recorder]:
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classifier, "logits", lambda model, x, ids, seed, _: recorder.logits(model, x, ids, seed))
        yield recorder


def finish_part(run: Run, part: Part, number: int) -> None:
    """Calibrate and keep a classifier with `number` as its bias, as the stage does after its training."""
    config = run.config.classifier
    description = Description("classifier", config.model_dump(), run.image_shape, {"num_features": 3})
    model = Classifier(config, run.image_shape, 3)
    torch.nn.init.constant_(model.last.bias, number)
    trained = Trained({WEIGHTS: tensors_to_bytes(model.state_dict()), HISTORY: b"[]"}, {})
    rows = generated_rows(run, config, part.fold)
    figures, files = calibrate(run, description, trained, rows, seed_of(run, "classifier", part), HELD_OUT_X)
    files = {**files, **trained.files, CALIBRATION: as_json(figures)}
    folder = part_folder(run, "classifier", part)
    finish_model(folder, run.plans["classifier"], description, files, figures["after"])


def scored_pool(run: Run) -> np.ndarray:
    """Log weights of the whole pool, by the run's classifiers."""
    samples, features, weights = (run.table(name) for name in ("samples", "features/samples", "weights"))
    worker = ScoreWorker(committee_of(run), samples, features, weights, run.config.score.batch_size, "cpu")
    for shard in range(weights.layout.num_shards):
        worker.run_shard(shard)
    return read_log_w(weights, 0, POOL)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, record: Recorder) -> tuple[Run, list[Seen]]:
    run = labelled_run(tmp_path_factory.mktemp("run"), input="both", folds=FOLDS)
    x_train = labelled("classifier", FIT.train)
    trained, calibrated = [], []
    for fold in range(FOLDS):
        rows = generated_rows(run, run.config.classifier, fold)
        x, features, y, held_x, held_features, held_y = training_arrays(
            run, ("x", "features"), rows, x_train, HELD_OUT_X
        )
        for images, values, labels in ((x, features, y), (held_x, held_features, held_y)):
            assert np.array_equal(values, as_features(ids_in(images)))
            assert np.array_equal(labels == 1, ids_in(images) >= FIRST["classifier"])
        assert (len(y), y.sum()) == (2 * FIT.train, FIT.train)
        assert (len(held_y), held_y.sum()) == (FIT.held_out, FIT.held_out // 2)
        halves = FIRST["calibration"] + np.arange(FIT.held_out // 2), rows.held_out[: FIT.held_out // 2]
        assert np.array_equal(ids_in(held_x), np.stack(halves, 1).ravel())  # in turn; the rest only calibrates
        trained.append(ids_in(np.concatenate([x, held_x])))
        finish_part(run, Part(fold, 0), fold)
        calibrated.append(record.taken()[fold])
    scored_pool(run)
    scored = record.taken()
    return run, [Seen(*parts) for parts in zip(trained, calibrated, (scored[j] for j in range(FOLDS)), strict=True)]


def test_no_row_is_weighed_by_a_classifier_that_saw_it(seen: tuple[Run, list[Seen]]) -> None:
    for found in seen[1]:
        touched = np.concatenate([found.trained, found.calibrated])
        assert not np.isin(found.scored, touched).any()
        assert np.isin(touched, np.arange(POOL)).sum() >= FIT.train + FIT.held_out  # it did learn from the pool
        assert not np.isin(found.calibrated, found.trained[: 2 * FIT.train]).any()


def test_every_row_of_the_pool_is_weighed_once(seen: tuple[Run, list[Seen]]) -> None:
    scored = np.concatenate([found.scored for found in seen[1]])
    assert np.array_equal(np.sort(scored), np.arange(POOL))


def test_rows_that_choose_alpha_lie_outside_the_pool_and_are_dealt_over_the_folds(
    seen: tuple[Run, list[Seen]],
) -> None:
    run, found = seen
    assert run.table("fit_samples").layout.num_rows == FIT.tuning  # nothing is generated only to train
    for fold, part in enumerate(found):
        outside = part.calibrated[(part.calibrated >= FIRST["fit_samples"]) & (part.calibrated < FIRST["classifier"])]
        assert np.array_equal(outside - FIRST["fit_samples"], np.arange(fold, FIT.tuning, FOLDS))
    members = [fold[0] for fold in committee_of(run)]
    ids = FIRST["fit_samples"] + np.arange(FIT.tuning)
    wanted = [members[t % FOLDS].log_w(np.float32(toy_logits(ids[t : t + 1], t % FOLDS)))[0] for t in range(FIT.tuning)]
    assert np.allclose(tuning_log_w(run), wanted, rtol=0, atol=1e-12)


def test_the_figures_of_all_folds_count_a_row_once(seen: tuple[Run, list[Seen]]) -> None:
    run, _ = seen
    before, after, y = held_out_logits(run, "classifier")
    half = FIT.held_out // 2
    assert (len(y), y.sum()) == (2 * half, half)
    number = np.arange(half) % FOLDS
    real = toy_logits(FIRST["calibration"] + np.arange(half), 0)[number == 0]
    assert np.allclose(before[: len(real)], real, atol=1e-6)
    assert len(np.unique(before)) == len(before)
    figures = finish_committee(run, "classifier")
    assert stages.finished(run.folder("classifier"), run.plans["classifier"]) == figures
    p = 1 / (1 + np.exp(-after))
    assert figures["log_loss_nats"] == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))


def test_members_are_averaged_in_log_space(tmp_path: Path, record: Recorder) -> None:
    run = labelled_run(tmp_path, input="both", members=2)
    assert parts_of(run.config.classifier) == [Part(0, 0), Part(0, 1)]
    for member in range(2):
        finish_part(run, Part(0, member), member)
    seeds = [seed_of(run, "classifier", part) for part in parts_of(run.config.classifier)]
    assert seeds[0] == run.config.seed != seeds[1]
    calibrated = record.taken()
    outside = FIRST["fit_samples"] + np.arange(FIT.train + FIT.held_out + FIT.tuning)
    for ids in calibrated.values():
        assert np.isin(outside[FIT.train :], ids).all()
        assert not np.isin(np.arange(POOL), ids).any()
    log_w = scored_pool(run)
    assert record.seeds() == set(enumerate(seeds))
    (members,) = committee_of(run)
    each = [m.log_w(toy_logits(np.arange(POOL), j).astype(np.float32)) for j, m in enumerate(members)]
    assert not np.allclose(each[0], each[1], atol=0.1)
    assert np.allclose(log_w, np.mean(each, axis=0), atol=1e-6)
    assert np.array_equal(record.taken()[0], np.arange(POOL))
    tuning = [m.log_w(toy_logits(outside[-FIT.tuning :], j).astype(np.float32)) for j, m in enumerate(members)]
    assert np.allclose(tuning_log_w(run), np.mean(tuning, axis=0), rtol=0, atol=1e-12)


def test_a_single_classifier_lies_in_the_stage_folder_itself(tmp_path: Path) -> None:
    run = labelled_run(tmp_path)
    (part,) = parts_of(run.config.classifier)
    assert part_folder(run, "classifier", part).url == run.folder("classifier").url
    assert seed_of(run, "classifier", part) == run.config.seed
    body = {"calibration": Calibration("platt", 2.0, 1.0, False).to_json(), "log_prior_odds": 0.5}
    files = {CALIBRATION: as_json(body), TUNING: b"[0.0, 1.0, -1.0]"}
    stages.finish(run.folder("classifier"), run.plans["classifier"], files, {})
    assert tuning_log_w(run).tolist() == [1.5, 3.5, -0.5]


def test_fewer_generated_than_real_rows_shift_the_prior(tmp_path: Path) -> None:
    """Of 10,500 rows, 7 folds leave 1,024 each to calibrate; 2,048 are wanted, so that half as many train too."""
    run = labelled_run(tmp_path, folds=7)._replace(fit_rows=FIT._replace(held_out=2048))
    rows = generated_rows(run, run.config.classifier, 6)
    assert (len(rows.train), len(rows.held_out)) == (FIT.train // 2, 1024)


def test_the_prior_odds_are_those_of_the_rows_that_calibrate(seen: tuple[Run, list[Seen]], record: Recorder) -> None:
    """40 generated rows against 60 real ones, however many there were in training."""
    run, config = seen[0], seen[0].config.classifier
    description = Description("classifier", config.model_dump(), run.image_shape, {"num_features": 3})
    trained = Trained({WEIGHTS: tensors_to_bytes(Classifier(config, run.image_shape, 3).state_dict())}, {})
    rows = generated_rows(run, config, 0)
    figures, _ = calibrate(run, description, trained, rows._replace(held_out=rows.held_out[:80]), 5, HELD_OUT_X)
    assert figures["log_prior_odds"] == pytest.approx(np.log(40 / 60))
    record.taken()
