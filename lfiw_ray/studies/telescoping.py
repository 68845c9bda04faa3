"""Telescoping against one classifier on two Gaussians 20, 50 and 100 nats apart (cf. Rhodes et al. 2020, section 4).

At such distances a classifier separates its training rows within some hundred steps; from then on its loss hardly
depends on the scale of its logits, which therefore stop growing far below the true log ratio (or pass it, the longer
it is trained).  Two models, alike in all arms:

- `quadratic`: x and x^2 under a linear layer, which can represent the true ratio exactly, so that what is missed is
  missed by the loss and not by the model;
- `network`: two hidden layers, as the pipeline's head on frozen features.

| arm | what it lowers | updates |
|---|---|---|
| `single` | cross-entropy of real and generated rows | U |
| `single_long` | the same | as many forward passes of rows as the telescoped arms: U (m + 2) / 2 |
| `telescoped` | the cross-entropies of m + 1 steps and of their sum (`models.bridges`) | U |

All arms draw batches of the same size from the same training rows with the same optimiser, and are judged on other
rows.  The quadratic model's steps are right wherever they are evaluated.  The network's are extrapolated to rows that
their neighbours do not cover, so it stays below the true ratio at 50 and 100 nats with telescoping too, if less so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.core import losses, noise
from lfiw_ray.models import bridges
from lfiw_ray.models.averaging import learning_rate
from lfiw_ray.studies.gaussian_pair import GaussianPair, agreement, gaussian_pair, labelled, over_repeats

NAME = "telescoping"
TITLE = "Telescoping over a density chasm"
ARMS = ("single", "single_long", "telescoped")

_HIDDEN = 64
_VARIANCE_SHARE = 0.25


class Sizes(NamedTuple):
    """How much work."""

    kls_nats: tuple[float, ...] = (20.0, 50.0, 100.0)
    num_dims: int = 10
    num_rows: int = 10_000  # of each class, to train on
    num_test_rows: int = 5_000  # of each class
    num_bridges: int = 8
    num_updates: int = 500
    batch_size: int = 128
    num_repeats: int = 3


FULL = Sizes()


class Ratio(nn.Module):
    """Steps of a log ratio: fixed quadratic features or a small network, under one linear layer."""

    def __init__(self, model: str, num_dims: int, num_steps: int):
        super().__init__()
        self.trunk: Callable[[torch.Tensor], torch.Tensor]
        if model == "quadratic":
            self.trunk, width = _with_squares, 2 * num_dims
        else:
            layers = nn.Linear(num_dims, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.SiLU()
            self.trunk, width = nn.Sequential(*layers), _HIDDEN
        self.last = nn.Linear(width, num_steps)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def steps(self, seen: bridges.Seen, uniform: bridges.Uniform | None = None) -> torch.Tensor:  # noqa: ARG002
        """(N, num_steps) float32, nats, of ((N, d),)."""
        out: torch.Tensor = self.last(self.trunk(seen[0]))
        return out


MODELS = {"quadratic": 0.3, "network": 4e-3}
"""model to its learning rate, the same in all arms"""


def study(seed: int, sizes: Sizes = FULL) -> dict[str, Any]:
    """Run it.

    Returns
    -------
    dict of plain values.

    All fields of `Sizes` under their names (`num_rows` and `num_test_rows` are per class).
    `arms`: a list over `kl_nats`, `model` ("quadratic", "network") and `arm` (see the module) of dicts with these and
    `num_updates`, `rows_passed` (rows through the model in training, waymarks included) and, mean and standard error
    `<name>_se` over `num_repeats` repeats with rows, weights and batches of their own:
    `kl_estimate_nats` (mean estimated log ratio of real test rows), `reverse_kl_estimate_nats` (minus that of
    generated ones; the true one is `kl_nats` too), `error_nats` (mean |estimated - true| over all test rows),
    `error_real_nats`, `error_generated_nats` (of each class), `correlation` and `slope` (of the estimated over the
    true log ratio of all test rows), `correlation_generated` (of the generated ones alone: their order by weight).
    """
    found = [
        one_arm(seed, kl_nats, model, arm, sizes) for kl_nats in sizes.kls_nats for model in MODELS for arm in ARMS
    ]
    return {**sizes._asdict(), "kls_nats": list(sizes.kls_nats), "arms": found}


def one_arm(seed: int, kl_nats: float, model: str, arm: str, sizes: Sizes) -> dict[str, Any]:
    """One entry of `arms`."""
    pair = gaussian_pair(kl_nats, sizes.num_dims, _VARIANCE_SHARE)
    per_update = sizes.num_bridges + 2
    num_updates = sizes.num_updates * per_update // 2 if arm == "single_long" else sizes.num_updates
    passed = num_updates * sizes.batch_size if "single" in arm else num_updates * sizes.batch_size * per_update // 2
    repeats = [_repeat(seed, repeat, pair, model, arm, num_updates, sizes) for repeat in range(sizes.num_repeats)]
    about = {"kl_nats": kl_nats, "model": model, "arm": arm, "num_updates": num_updates, "rows_passed": passed}
    return {**about, **over_repeats(repeats)}


def _repeat(
    seed: int, repeat: int, pair: GaussianPair, model: str, arm: str, num_updates: int, sizes: Sizes
) -> dict[str, float]:
    rng = noise.generator(seed, "telescoping rows", repeat)
    x, y = labelled(pair.draw(rng, sizes.num_rows))
    ratio = _train(seed, repeat, torch.from_numpy(x), torch.from_numpy(y), model, arm, num_updates, sizes)
    return _figures(ratio, pair, pair.draw(rng, sizes.num_test_rows))


def _train(
    seed: int, repeat: int, x: torch.Tensor, y: torch.Tensor, model: str, arm: str, num_updates: int, sizes: Sizes
) -> Ratio:
    """One trained model; batches and weights at the start are the same in all arms of a repeat, as far as they go."""
    rng = noise.generator(seed, "telescoping batches", repeat)
    config = TrainConfig(lr=MODELS[model], warmup_steps=50)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(noise.generator(seed, "telescoping init", repeat).integers(2**62)))
        ratio = Ratio(model, x.shape[1], 1 if "single" in arm else sizes.num_bridges + 1)
    optimiser = torch.optim.Adam(ratio.parameters())
    for update in range(num_updates):
        optimiser.param_groups[0]["lr"] = learning_rate(config, update, num_updates)
        rows = torch.from_numpy(rng.integers(0, sizes.num_rows, sizes.batch_size))
        rows[sizes.batch_size // 2 :] += sizes.num_rows  # as many generated ones, so that the rows passed are exact
        keys = torch.from_numpy(rng.random(sizes.batch_size, dtype=np.float32))
        loss = _loss(ratio, arm, x[rows], y[rows], keys, sizes.num_bridges)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return ratio


def _loss(
    ratio: Ratio, arm: str, x: torch.Tensor, y: torch.Tensor, keys: torch.Tensor, num_bridges: int
) -> torch.Tensor:
    if "single" in arm:
        return losses.binary_cross_entropy(ratio.steps((x,)).sum(1), y).mean()
    return bridges.costs(ratio.steps, (x,), y, num_bridges, keys).mean()


@torch.no_grad()
def _figures(ratio: Ratio, pair: GaussianPair, rows: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    estimated = [ratio.steps((torch.from_numpy(x),)).sum(1).double().numpy() for x in rows]
    true = [pair.log_ratio(x) for x in rows]
    error_real, error_generated = (float(np.abs(e - t).mean()) for e, t in zip(estimated, true, strict=True))
    return {
        "kl_estimate_nats": float(estimated[0].mean()),
        "reverse_kl_estimate_nats": -float(estimated[1].mean()),
        "error_nats": (error_real + error_generated) / 2,
        "error_real_nats": error_real,
        "error_generated_nats": error_generated,
        **agreement(np.concatenate(estimated), np.concatenate(true)),
        "correlation_generated": agreement(estimated[1], true[1])["correlation"],
    }


def _with_squares(x: torch.Tensor) -> torch.Tensor:
    """(N, 2 d): x and x^2 - 1."""
    return torch.cat([x, x.square() - 1], dim=1)
