"""One trial of the semi-supervised study: train a classifier on few labels and an arm's unlabelled images.

The loss of a step is (Xu et al. 2018)

    label_loss(labelled) + semantic_weight * (semantic_loss(labelled) + semantic_loss(unlabelled)),

the last term only in arms that have unlabelled rows.  So that a difference between two arms can come from the
unlabelled rows alone, everything else is a function of (seed, repeat) and not of the arm:

- the labelled rows, the initial weights and the labelled batch of every step;
- the number of optimiser steps, `num_updates`, and of labelled rows a step, `batch_size // 2`;
- the learning rate of every step, and the positions drawn from equally many unlabelled rows.

The arm without unlabelled rows keeps the semantic loss of its labelled rows: without it, the semantic loss
itself and the unlabelled rows would enter together.  Training ends after the last step and the test rows are
read once, after it: nothing is chosen by test accuracy.  No image is augmented or cropped.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lfiw_ray.core import noise
from lfiw_ray.core.semantic_loss import label_loss, semantic_loss
from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models.labeller import Labeller
from lfiw_ray.models.scale import to_unit

_TEST_BATCH = 250


@dataclass(frozen=True)
class Trial:
    """What one trial is: its arm, its place among the repeats, its training.

    Trials with the same (seed, repeat) are paired.  `batch_size` counts labelled and unlabelled rows of a step.
    """

    arm: str
    seed: int
    repeat: int
    num_classes: int
    num_updates: int
    batch_size: int
    lr: float
    semantic_weight: float

    @property
    def name(self) -> str:
        """How messages call this trial."""
        return f"arm {self.arm}, repeat {self.repeat}"


@dataclass(frozen=True)
class TrialResult:
    """What one trial found.

    accuracy : share of the test rows whose largest logit is the label's, after the last step.
    num_updates : steps that the optimiser made.
    num_unlabelled : rows the unlabelled batches were drawn from.
    labelled_crc : CRC-32 of the labelled images and labels in the order they were trained on; it is equal in all
        arms of a repeat, or the arms cannot be compared.
    last_loss_nats : loss of the last step.
    """

    arm: str
    repeat: int
    accuracy: float
    num_updates: int
    num_unlabelled: int
    labelled_crc: int
    last_loss_nats: float


def run_trial(
    trial: Trial,
    labelled_x: np.ndarray,
    labelled_y: np.ndarray,
    unlabelled_x: np.ndarray | None,
    test_x: np.ndarray,
    test_y: np.ndarray,
    device: str = "cpu",
) -> TrialResult:
    """Train for exactly `trial.num_updates` steps and measure once.

    Parameters
    ----------
    labelled_x : (L, H, W, C) uint8.
    labelled_y : (L,) int64 in 0 .. num_classes - 1.
    unlabelled_x : (U, H, W, C) uint8, a row drawn m times by a resampling scheme m times; None for no such rows.
    test_x, test_y : as the labelled rows; real and used for nothing else.
    device : torch device of the network.

    Raises
    ------
    NonFiniteError : the loss or a test logit is not finite; the message names the trial and the step.
    """
    _check(trial, labelled_x, labelled_y, unlabelled_x, test_x, test_y)
    net = initial_network(trial, labelled_x.shape[1:]).to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=trial.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, trial.num_updates)
    unlabelled = None if unlabelled_x is None else _batches(trial, "unlabelled", len(unlabelled_x))
    crc, loss_nats = 0, math.nan
    for step, rows in enumerate(_batches(trial, "labelled", len(labelled_x))):
        x, y = labelled_x[rows], labelled_y[rows]
        crc = zlib.crc32(y.tobytes(), zlib.crc32(x.tobytes(), crc))
        logits = net(_images(x, device))
        loss = label_loss(logits, torch.from_numpy(y).to(device)) + trial.semantic_weight * semantic_loss(logits)
        if unlabelled is not None and unlabelled_x is not None:
            # A pass of its own: the labelled rows' numbers do not depend on what else is in the step.
            loss = loss + trial.semantic_weight * semantic_loss(net(_images(unlabelled_x[unlabelled[step]], device)))
        loss_nats = _finite(loss, trial, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    num_updates = int(optimiser.state[net.head.bias]["step"])
    num_unlabelled = 0 if unlabelled_x is None else len(unlabelled_x)
    accuracy = _accuracy(net, test_x, test_y, trial, device)
    return TrialResult(trial.arm, trial.repeat, accuracy, num_updates, num_unlabelled, crc, loss_nats)


def initial_network(trial: Trial, image_shape: tuple[int, ...]) -> Labeller:
    """The untrained network of (seed, repeat)."""
    height, width, channels = image_shape
    torch_seed = int(noise.generator(trial.seed, "downstream network", trial.repeat).integers(2**63))
    return Labeller((height, width, channels), trial.num_classes, torch.Generator().manual_seed(torch_seed))


def _batches(trial: Trial, kind: str, num_rows: int) -> np.ndarray:
    """(num_updates, batch_size // 2) int64: one random order of the rows after another, cut into batches."""
    rng = noise.generator(trial.seed, f"downstream {kind}", trial.repeat)
    shape = (trial.num_updates, trial.batch_size // 2)
    orders = [rng.permutation(num_rows) for _ in range(-(-math.prod(shape) // num_rows))]
    return np.concatenate(orders)[: math.prod(shape)].reshape(shape)


def _images(x: np.ndarray, device: str) -> Tensor:
    return to_unit(torch.from_numpy(x).to(device))


def _finite(loss: Tensor, trial: Trial, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise NonFiniteError(f"downstream, {trial.name}: the loss of step {step} is {value}; lower downstream.lr")
    return value


def _accuracy(net: Labeller, x: np.ndarray, y: np.ndarray, trial: Trial, device: str) -> float:
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(x), _TEST_BATCH):
            rows = np.arange(start, min(start + _TEST_BATCH, len(x)))
            logits = net(_images(x[rows], device))
            if not bool(torch.isfinite(logits).all()):
                raise NonFiniteError(f"downstream, {trial.name}: test logits are not finite after the last step")
            correct += int((logits.argmax(dim=1).cpu().numpy() == y[rows]).sum())
    return correct / len(x)


def _check(
    trial: Trial,
    labelled_x: np.ndarray,
    labelled_y: np.ndarray,
    unlabelled_x: np.ndarray | None,
    test_x: np.ndarray,
    test_y: np.ndarray,
) -> None:
    if trial.num_updates < 1 or trial.batch_size < 2:
        raise ValueError(f"at least 1 update of at least 2 rows, got {trial.num_updates} of {trial.batch_size}")
    sets = {"labelled": labelled_x, "test": test_x} | ({} if unlabelled_x is None else {"unlabelled": unlabelled_x})
    for name, x in sets.items():
        if x.dtype != np.uint8 or x.ndim != 4 or len(x) == 0 or x.shape[1:] != labelled_x.shape[1:]:
            raise ValueError(
                f"{name} images must be uint8 (N, H, W, C), N > 0, of one shape, got {x.dtype} {x.shape} "
                f"beside labelled {labelled_x.shape}"
            )
    for name, x, y in (("labelled", labelled_x, labelled_y), ("test", test_x, test_y)):
        if y.dtype != np.int64 or y.shape != (len(x),):
            raise ValueError(f"{name} labels must be int64 ({len(x)},), got {y.dtype} {y.shape}")
        if y.min() < 0 or y.max() >= trial.num_classes:
            raise ValueError(f"{name} labels must lie in 0..{trial.num_classes - 1}, got {y.min()}..{y.max()}")
