"""Adversarial training: turns, rows, noise, averages, failures and resumes of a model with several players."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_toys import ALONE, SHAPE, equal, images, job
from torch import nn

from lfiw_ray.config_generators import SNGANConfig
from lfiw_ray.engine import train_step
from lfiw_ray.engine.train_loop import TrainJob, train
from lfiw_ray.engine.train_state import TrainState
from lfiw_ray.engine.train_step import Stepper, batch_rows
from lfiw_ray.engine.train_watch import Rank
from lfiw_ray.errors import ConfigError, NonFiniteError
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.players import Player
from lfiw_ray.models.sngan import SNGAN

ROWS = np.arange(48, dtype=np.uint8).reshape(48, 1)
Result = tuple[torch.Tensor, dict[str, torch.Tensor]]


class Place(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(()))


class Duel(nn.Module):
    """The chaser goes to 2 beyond the runner, the runner to the mean row; both losses depend on both places."""

    def __init__(self, wall: float = float("inf")):
        super().__init__()
        self.chaser, self.runner, self.wall = Place(), Place(), wall
        self.seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []
        self.prepared: list[tuple[np.ndarray, int]] = []

    def prepare(self, data: tuple[np.ndarray, ...], seed: int) -> None:
        self.prepared.append((data[0], seed))

    def players(self) -> tuple[Player, ...]:
        return Player("chaser", self._chase, 3, averaged=False), Player("runner", self._run)

    def _chase(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> Result:
        assert not self.runner.at.requires_grad
        self.seen.append(("chaser", batch[0], noise.normal()))
        loss = (self.chaser.at - self.runner.at - 2) ** 2 / 2
        return loss, {"chased": torch.tensor(float(len(self.seen)))}

    def _run(self, batch: tuple[torch.Tensor, ...], noise: BatchNoise) -> Result:
        assert not self.chaser.at.requires_grad
        self.seen.append(("runner", batch[0], noise.normal()))
        loss = (self.runner.at - batch[0].float().mean()) ** 2 / 2 + self.chaser.at * self.runner.at / 10
        return loss * (float("nan") if float(self.runner.at.detach()) > self.wall else 1.0), {}


def duel_job(folder: Path, build: Any = Duel, **options: Any) -> TrainJob:
    usual = {"batch_size": 4, "epochs": 2, "warmup_steps": 0, "schedule": "constant", "clip_norm": 0.0, "lr": 0.5}
    return job(folder, build, ROWS, **(usual | {"ema_decay": 0.0} | options))


def run(work: TrainJob, report: Any = lambda _: None) -> TrainState:
    return train(work, work.data, work.held_out, ALONE, report)


def test_turns_have_fresh_rows_and_noise_which_are_functions_of_seed_step_and_update(tmp_path: Path) -> None:
    """48 rows in batches of 4, 4 updates a step: 3 steps an epoch, each row once in one of the turns."""
    state = run(duel_job(tmp_path))
    seen = state.model.seen
    assert [name for name, _, _ in seen] == ["chaser", "chaser", "chaser", "runner"] * 6
    for epoch in range(2):
        rows = torch.cat([rows for _, rows, _ in seen[12 * epoch : 12 * (epoch + 1)]]).flatten()
        assert sorted(rows.tolist()) == list(range(48))
    for update, (_, rows, drawn) in enumerate(seen):
        step, turn = divmod(update, 4)
        expected = batch_rows(7, step, 48, 16)[4 * turn : 4 * (turn + 1)]
        assert rows.flatten().tolist() == expected.tolist()
        assert torch.equal(drawn, BatchNoise(7, update, 0, 4, 4).normal())


def test_the_places_are_those_of_an_optimiser_each_written_out_by_hand(tmp_path: Path) -> None:
    """Adam in float64 from its definition, with the betas of the configuration; nobody moves in another's turn."""
    state = run(duel_job(tmp_path, beta1=0.5, beta2=0.8))
    at, moments = {"chaser": 0.0, "runner": 0.0}, {"chaser": (0.0, 0.0, 0), "runner": (0.0, 0.0, 0)}
    for name, rows, _ in state.model.seen:
        to_chaser, mean = at["chaser"] - at["runner"] - 2, float(rows.float().mean())
        gradient = to_chaser if name == "chaser" else at["runner"] - mean + at["chaser"] / 10
        first, second, count = moments[name]
        first, second, count = 0.5 * first + 0.5 * gradient, 0.8 * second + 0.2 * gradient**2, count + 1
        moments[name] = first, second, count
        at[name] -= 0.5 * (first / (1 - 0.5**count)) / (np.sqrt(second / (1 - 0.8**count)) + 1e-8)
    assert float(state.model.chaser.at.detach()) == pytest.approx(at["chaser"], rel=1e-5)
    assert float(state.model.runner.at.detach()) == pytest.approx(at["runner"], rel=1e-5)


def test_metrics_carry_the_players_name_and_are_means_over_its_updates(tmp_path: Path) -> None:
    (entry,) = run(duel_job(tmp_path, epochs=1)).progress.history
    assert entry["chaser_chased"] == pytest.approx(np.mean([1, 2, 3, 5, 6, 7, 9, 10, 11]))
    names = {"chaser_loss", "chaser_gradient_norm", "runner_loss", "runner_gradient_norm", "lr", "chaser_chased"}
    assert entry.keys() == names | {"epoch", "step"}


def test_only_the_marked_players_weights_are_averaged(tmp_path: Path) -> None:
    places = [float(run(duel_job(tmp_path / str(n), epochs=n)).model.runner.at.detach()) for n in (1, 2)]
    state = run(duel_job(tmp_path / "averaged", ema_decay=0.2))
    assert state.averaged()["chaser.at"] == state.model.chaser.at
    assert state.model.runner.at == places[-1]
    assert min(places[0], places[1]) < float(state.averaged()["runner.at"]) < max(places[0], places[1]) + 1e-6
    assert float(state.averaged()["runner.at"]) != places[-1]


def test_clipping_is_by_the_norm_of_each_players_gradient(tmp_path: Path) -> None:
    """The chaser's first gradient is -2, the runner's about minus the mean row; both become half."""
    state = run(duel_job(tmp_path, epochs=1, batch_size=12, clip_norm=0.5, beta1=0.9))
    for name, updates in (("chaser", 3), ("runner", 1)):
        first = state.optimisers[name].state_dict()["state"][0]["exp_avg"]
        assert float(first) == pytest.approx(-0.5 * (1 - 0.9**updates), rel=1e-5)
    assert state.progress.history[0]["runner_gradient_norm"] > 10


def test_a_loss_that_is_not_finite_names_step_and_player(tmp_path: Path) -> None:
    """The runner's first two updates of about half a unit bring it past 0.7."""
    with pytest.raises(NonFiniteError, match=r"^toy: loss or gradient of the runner is not finite at step 2; lower"):
        run(duel_job(tmp_path, partial(Duel, 0.7)))


def test_a_model_is_prepared_with_the_training_rows_before_it_is_trained(tmp_path: Path) -> None:
    ((rows, seed),) = run(duel_job(tmp_path)).model.prepared
    assert np.array_equal(rows, ROWS)
    assert seed == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 13}, r"toy: batch_size \(13\) times the 4 updates of a step is more than the 48 training rows"),
        ({"patience_epochs": 2}, r"toy: patience_epochs \(2\) must be 0: an adversarial model"),
    ],
)
def test_what_adversarial_training_cannot_do_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(duel_job(tmp_path, **options))


def tiny_gan() -> SNGAN:
    return SNGAN(SNGANConfig(latents=3, width=4, critic_width=4, critic_steps=2), SHAPE)


class KilledError(Exception):
    """Stands for the end of the process."""


def test_resume_is_bit_identical(tmp_path: Path) -> None:
    """60 rows in batches of 5, 3 updates a step: 4 steps an epoch; killed after the first and the second."""
    options: dict[str, Any] = {"batch_size": 5, "ema_decay": 0.9, "held_out": images(20, 1), "beta1": 0.0, "epochs": 3}
    undisturbed = run(job(tmp_path / "whole", tiny_gan, **options))

    def die_after(step: int, metrics: dict[str, float]) -> None:
        if metrics["step"] >= step:
            raise KilledError

    for step in (4, 8):
        with pytest.raises(KilledError):
            run(job(tmp_path / "cut", tiny_gan, **options), partial(die_after, step))
    resumed = run(job(tmp_path / "cut", tiny_gan, **options))
    assert equal(resumed.tensors(), undisturbed.tensors())
    assert resumed.progress == undisturbed.progress
    kinds = {name.rsplit("/", 2)[0] for name in undisturbed.tensors() if name.startswith("optimiser/")}
    assert kinds == {"optimiser/critic", "optimiser/generator"}


@pytest.mark.parametrize("count", [2, 3])
def test_the_stripes_of_all_workers_are_one_workers_batch_in_every_turn(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_step, "_parallel", lambda lowered, rank: lowered)  # noqa: ARG005
    work = duel_job(tmp_path, batch_size=5)

    def seen(rank: Rank) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
        state = TrainState(Duel(), work.config)
        Stepper("toy", 7, state, rank).take(work.data, 1, 4)
        return state.model.seen

    whole, parts = seen(ALONE), [seen(Rank(i, count, torch.device("cpu"))) for i in range(count)]
    for turn in range(4):
        for column in (1, 2):
            assert torch.equal(torch.cat([part[turn][column] for part in parts]), whole[turn][column])
