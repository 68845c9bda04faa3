"""All that a training run carries from one step to the next, as a checkpoint that resumes bit by bit.

What a step does is a function of (seed, step), so a checkpoint needs no generator state: parameters, their
average, the moments of each player's optimiser, the best weights so far and a few numbers.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.errors import StoreError
from lfiw_ray.models.averaging import Average
from lfiw_ray.models.checkpoint import tensors_from_bytes, tensors_to_bytes
from lfiw_ray.models.players import Player, players_of, trained_parameters
from lfiw_ray.store.folder import Folder

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """The numbers of a training run."""

    step: int = 0
    epoch: int = 0
    best_loss: float | None = None
    bad_epochs: int = 0
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # of the metrics of an epoch that is not over


class TrainState:
    """Model, average, an optimiser for each player, best weights, progress."""

    def __init__(self, model: nn.Module, config: TrainConfig):
        self.model, self.config = model, config
        self.players = players_of(model)
        last = tuple(f"{player.name}." for player in self.players if not player.averaged)
        self.average = Average(model, config.ema_decay, last) if config.ema_decay else None
        self.optimisers = {player.name: self._optimiser(player) for player in self.players}
        self.best: dict[str, torch.Tensor] | None = None
        self.progress = Progress()

    def _optimiser(self, player: Player) -> torch.optim.AdamW:
        config, trained = self.config, trained_parameters(self.model, player)
        betas = (config.beta1, config.beta2)
        return torch.optim.AdamW(trained, lr=config.lr, betas=betas, weight_decay=config.weight_decay)

    def averaged(self) -> dict[str, torch.Tensor]:
        """The weights that are evaluated and kept."""
        return self.average.state if self.average else self.model.state_dict()

    def keep_best(self) -> None:
        """Note the present weights as the best."""
        self.best = {name: t.detach().clone() for name, t in self.averaged().items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor under one name each."""
        out = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        if self.average:
            out |= {f"average/{name}": t for name, t in self.average.state.items()}
        out |= {f"best/{name}": t for name, t in (self.best or {}).items()}
        for player, optimiser in self.optimisers.items():
            kind = _moments_of(player)
            for index, moments in optimiser.state_dict()["state"].items():
                out |= {f"{kind}/{index}/{name}": t for name, t in moments.items()}
        return {name: t.clone() for name, t in out.items()}

    def load(self, tensors: dict[str, torch.Tensor], progress: dict[str, Any]) -> None:
        """Take over a checkpoint."""
        part = {kind: _below(tensors, kind) for kind in ("model", "average", "best")}
        self.model.load_state_dict(part["model"])
        if self.average:
            for name, t in part["average"].items():
                self.average.state[name].copy_(t)
        self.best = part["best"] or None
        for player, optimiser in self.optimisers.items():
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for name, t in _below(tensors, _moments_of(player)).items():
                index, key = name.split("/")
                moments.setdefault(int(index), {})[key] = t
            optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
        self.progress = Progress(**progress)


def _moments_of(player: str) -> str:
    return f"optimiser/{player}" if player else "optimiser"


def _below(tensors: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{kind}/"): t for name, t in tensors.items() if name.startswith(f"{kind}/")}


def save(state: TrainState, folder: Folder, plan: str) -> None:
    """Write a checkpoint, its mark last, and remove the ones before it."""
    name = f"step-{state.progress.step:09d}"
    data = tensors_to_bytes(state.tensors())
    mark = {"plan": plan, "sha256": hashlib.sha256(data).hexdigest(), "progress": asdict(state.progress)}
    folder.write(f"{name}.safetensors", data)
    folder.write(f"{name}.json", json.dumps(mark, allow_nan=False).encode())
    for old in folder.sizes():
        if old.startswith("step-") and not old.startswith(name):
            folder.remove(old)


def resume(state: TrainState, folder: Folder, plan: str) -> bool:
    """Continue from the newest checkpoint of this plan; False when there is none.

    A checkpoint that a crash left without its mark does not count.  One that was altered is an error.
    """
    marks = sorted((n for n in folder.sizes() if n.startswith("step-") and n.endswith(".json")), reverse=True)
    for name in marks:
        mark = _read_mark(folder, name)
        if mark["plan"] != plan:
            raise StoreError(
                f"{folder.path(name)} is of plan {mark['plan']}, this run's is {plan}; remove {folder.url}"
            )
        tensors_name = name.replace(".json", ".safetensors")
        if not folder.exists(tensors_name):  # a crash while older checkpoints were being removed
            continue
        data = folder.read(tensors_name)
        if hashlib.sha256(data).hexdigest() != mark["sha256"]:
            raise StoreError(f"{folder.path(tensors_name)} was altered; remove {folder.url} to train from the start")
        state.load(tensors_from_bytes(data, folder.path(tensors_name)), mark["progress"])
        log.info("resumed at step %d from %s", state.progress.step, folder.path(tensors_name))
        return True
    return False


def _read_mark(folder: Folder, name: str) -> dict[str, Any]:
    try:
        mark: dict[str, Any] = json.loads(folder.read(name))
        if not mark.keys() >= {"plan", "sha256", "progress"}:
            raise ValueError(f"it has the keys {sorted(mark)}")
        Progress(**mark["progress"])
    except (ValueError, AttributeError, TypeError, RecursionError) as err:
        raise StoreError(
            f"{folder.path(name)} is not a checkpoint's mark ({err}); remove {folder.url} to train from the start"
        ) from err
    return mark
