"""The training loop in this process: what a step is made of, and when training ends."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_toys import ALONE, Point, equal, images, job, tiny_vae
from tensorboardX.proto.event_pb2 import Event

from lfiw_ray.engine import train_loop, train_step
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob, train
from lfiw_ray.engine.train_state import TrainState
from lfiw_ray.engine.train_step import Stepper, batch_rows
from lfiw_ray.engine.train_watch import Rank
from lfiw_ray.errors import ConfigError, NonFiniteError
from lfiw_ray.models.checkpoint import tensors_from_bytes
from lfiw_ray.models.noise import BatchNoise

FIVES = np.full((8, 1), 5, np.uint8)  # with batches of 8 rows, one step is one epoch


def point_job(folder: Path, **options: Any) -> TrainJob:
    steps = {"batch_size": 8, "warmup_steps": 0, "schedule": "constant", "clip_norm": 0.0, "ema_decay": 0.0, "lr": 0.5}
    return job(folder, **({"build": Point, "rows": FIVES} | steps | options))


def run(work: TrainJob) -> TrainState:
    return train(work, work.data, work.held_out, ALONE, lambda _: None)


def place(state: TrainState) -> float:
    return float(state.model.at.detach())


@pytest.mark.parametrize(("num_rows", "batch_size"), [(60, 12), (61, 12), (12, 12), (7, 2)])
def test_an_epoch_is_a_permutation_without_its_rest(num_rows: int, batch_size: int) -> None:
    steps = num_rows // batch_size
    epochs = [
        np.concatenate([batch_rows(3, epoch * steps + i, num_rows, batch_size) for i in range(steps)])
        for epoch in range(3)
    ]
    for rows in epochs:
        assert len(rows) == steps * batch_size == len(set(rows.tolist()))
        assert 0 <= rows.min() <= rows.max() < num_rows
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(batch_rows(3, 1, num_rows, batch_size), batch_rows(3, 1, num_rows, batch_size))


def test_every_row_is_left_out_equally_often() -> None:
    """Of 7 rows in batches of 2 one is left out an epoch; over 2,100 epochs each about 300 times."""
    left = np.zeros(7)
    for epoch in range(2100):
        seen = np.concatenate([batch_rows(0, 3 * epoch + i, 7, 2) for i in range(3)])
        left[np.setdiff1d(np.arange(7), seen)] += 1
    z = (left - 300) / math.sqrt(2100 * (1 / 7) * (6 / 7))
    assert np.abs(z).max() < 4.5  # false alarm: about 5 in 100,000


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rate_of_every_step(tmp_path: Path, schedule: str) -> None:
    """Warm-up over 3 of 8 steps, then the schedule, written out by hand from its definition."""
    state = run(point_job(tmp_path, epochs=8, warmup_steps=3, schedule=schedule, lr=0.1))
    rest = [(step - 3) / 5 for step in range(3, 8)]
    shape = {
        "constant": [1.0] * 5,
        "linear": [1 - r for r in rest],
        "cosine": [(1 + math.cos(math.pi * r)) / 2 for r in rest],
    }
    expected = [0.1 * f for f in (1 / 4, 2 / 4, 3 / 4, *shape[schedule])]
    assert [entry["lr"] for entry in state.progress.history] == pytest.approx(expected, rel=1e-6)


def test_averaged_weights_follow_the_warmed_up_decay(tmp_path: Path) -> None:
    places = [place(run(point_job(tmp_path / str(epochs), epochs=epochs))) for epochs in (1, 2, 3, 4)]
    average = 0.0  # the start
    for step, at in enumerate(places):
        decay = min(0.2, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * at
    state = run(point_job(tmp_path / "averaged", epochs=4, ema_decay=0.2))
    assert place(state) == places[-1]
    assert float(state.averaged()["at"]) == pytest.approx(average, rel=1e-6)


def test_clipping_bounds_the_gradient_that_the_optimiser_sees(tmp_path: Path) -> None:
    """The first gradient is -5; AdamW's first moment after one step is a tenth of what it was given."""
    free, clipped = (run(point_job(tmp_path / str(c), epochs=1, clip_norm=c)) for c in (0.0, 0.5))
    moments = [float(s.optimisers[""].state_dict()["state"][0]["exp_avg"]) for s in (free, clipped)]
    assert moments == pytest.approx([-0.5, -0.05], rel=1e-5)
    assert [s.progress.history[0]["gradient_norm"] for s in (free, clipped)] == [5.0, 5.0]


def test_early_stopping_keeps_the_best(tmp_path: Path) -> None:
    """The point goes from 0 to 5 by about half a unit a step; the held-out rows lie at 2."""
    work = point_job(tmp_path, epochs=50, patience_epochs=3, held_out=np.full((3, 1), 2, np.uint8))
    trained = fit(work, num_gpus=0)
    losses = [entry["held_out_loss"] for entry in run(work).progress.history]
    best = int(np.argmin(losses))
    assert 2 <= best <= 5
    assert len(losses) == best + 1 + 3
    at = float(tensors_from_bytes(trained.files["model.safetensors"], "toy")["at"])
    assert (at - 2) ** 2 / 2 == pytest.approx(losses[best], rel=1e-6)
    assert abs(at - 2) < 0.3


def test_without_patience_the_last_weights_are_kept(tmp_path: Path) -> None:
    work = point_job(tmp_path, epochs=20, held_out=np.full((3, 1), 2, np.uint8))
    trained = fit(work, num_gpus=0)
    assert float(tensors_from_bytes(trained.files["model.safetensors"], "toy")["at"]) > 4


def test_a_loss_that_is_not_finite_names_its_step_and_leaves_no_bad_checkpoint(tmp_path: Path) -> None:
    """The point passes 2 at the 5th update, so that the loss of step 5 is the first that is not a number."""
    places = [place(run(point_job(tmp_path / str(epochs), epochs=epochs))) for epochs in range(1, 7)]
    first_bad = int(np.argmax(np.array(places) > 2)) + 1
    broken = point_job(tmp_path / "broken", epochs=20, build=walled)
    with pytest.raises(NonFiniteError, match=f"^toy: .* at step {first_bad}; lower"):
        run(broken)
    (kept,) = (tmp_path / "broken" / "checkpoints").glob("*.safetensors")
    assert kept.name == f"step-{first_bad:09d}.safetensors"  # after `first_bad` steps, the last good state
    assert all(t.isfinite().all() for t in tensors_from_bytes(kept.read_bytes(), "kept").values())


def walled() -> Point:
    return Point(wall=2.0)


def test_a_held_out_loss_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    held_out = np.full((2, 1), np.nan, np.float32)
    with pytest.raises(NonFiniteError, match="toy: held-out loss is nan after epoch 1"):
        run(point_job(tmp_path, held_out=held_out))
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"toy: batch_size \(61\) is more than the 60 training rows"):
        run(job(tmp_path, batch_size=61))


class Recorder(Point):
    """Keeps the rows and the noise that it was given; the rows' own loss has a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def loss(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        normal = noise.normal(3)
        self.seen.append((batch[0], normal))
        return super().loss((batch[0].float() * normal.mean(1).reshape(-1, 1, 1, 1),), noise)


@pytest.mark.parametrize("count", [2, 3])
def test_the_stripes_of_all_workers_are_one_workers_batch(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, noise and gradient: batches of 5 rows do not divide evenly."""
    monkeypatch.setattr(train_step, "_parallel", lambda lowered, rank: lowered)  # noqa: ARG005
    work = job(tmp_path, batch_size=5, clip_norm=0.0)
    config = work.config

    def step(rank: Rank) -> Recorder:
        state = TrainState(Recorder(), config)
        Stepper("toy", work.seed, state, rank).take(work.data, 4, 4 * 12)
        assert isinstance(state.model, Recorder)
        return state.model

    whole, parts = step(ALONE), [step(Rank(i, count, torch.device("cpu"))) for i in range(count)]
    assert [len(part.seen[0][0]) for part in parts] != [5]
    for column in (0, 1):
        together = torch.cat([part.seen[0][column] for part in parts])
        assert torch.equal(together, whole.seen[0][column])
    mean = sum(float(part.at.grad) for part in parts) / count  # what gradient averaging gives
    assert mean == pytest.approx(float(whole.at.grad), rel=1e-6)


def best_of(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: t for name, t in state.tensors().items() if name.startswith("best/")}


def test_held_out_loss_is_that_of_the_averaged_weights_and_changes_nothing(tmp_path: Path) -> None:
    work = job(tmp_path / "looked", held_out=images(31, 1), ema_decay=0.9)
    state = run(work)
    assert equal(state.tensors(), run(job(tmp_path / "blind", ema_decay=0.9)).tensors() | best_of(state))
    before = {name: t.clone() for name, t in state.tensors().items()}
    found = train_loop.held_out_loss(state, work, work.held_out, ALONE)
    assert equal(state.tensors(), before)
    assert found == state.progress.history[-1]["held_out_loss"]
    state.model.load_state_dict(state.averaged())
    total = 0.0
    for index, low in enumerate(range(0, 31, 12)):
        x = torch.from_numpy(images(31, 1)[low : low + 12])
        noise = BatchNoise(work.seed, (1 << 40) + index, 0, len(x), len(x))
        total += float(state.model.loss((x,), noise)[0].detach()) * len(x)
    assert found == pytest.approx(total / 31, rel=1e-6)


def test_tensorboard_events_lie_in_the_run_folder(tmp_path: Path) -> None:
    run(job(tmp_path, build=tiny_vae, epochs=2))
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    found = {(value.tag, event.step) for event in read_events(events) for value in event.summary.value}
    assert {("loss", 5), ("loss", 10), ("gradient_norm", 10), ("elbo_bpd", 10)} <= found


def read_events(path: Path) -> list[Event]:
    """Events of a TFRecord file: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    data, events, low = path.read_bytes(), [], 0
    while low < len(data):
        size = int.from_bytes(data[low : low + 8], "little")
        events.append(Event.FromString(data[low + 12 : low + 12 + size]))
        low += 16 + size
    return events
