"""The pipeline's classifier and calibration on two Gaussians whose log ratio is known, in 2, 10 and 50 dimensions.

As in a run, a classifier on features (`models.classifier`) is trained by `engine.train` on rows of both, stopped early
and calibrated on others (`core.calibration.choose`), and its weights are judged on rows that neither has seen.  As
many rows of each class, so that calibrated logits are log weights.  The KL divergence is the same in all dimensions,
so that only the number of dimensions makes it harder.

Bayes' log loss is that of the true log ratio on the same rows; what the classifier loses over it is paired by row.
"""

import tempfile
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from lfiw_ray.config import ClassifierConfig, TrainConfig
from lfiw_ray.core import noise
from lfiw_ray.core.calibration import choose
from lfiw_ray.core.logistic import log_loss
from lfiw_ray.engine.models import WEIGHTS
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.models.checkpoint import Description, tensors_from_bytes
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.registry import build
from lfiw_ray.studies.gaussian_pair import agreement, gaussian_pair, labelled, over_repeats

NAME = "gaussians"
TITLE = "Weights against the true ratio of two Gaussians"

VARIANCE_SHARE = 0.04  # little enough for E[w^4] to exist in 2 dimensions, without which a sample's ESS is erratic


class Sizes(NamedTuple):
    """How much work; rows are of each class."""

    num_dims: tuple[int, ...] = (2, 10, 50)
    kl_nats: float = 0.5
    num_rows: int = 8_000  # to train on
    num_held_out_rows: int = 4_000  # half stop the training, half calibrate
    num_test_rows: int = 10_000
    epochs: int = 8
    num_repeats: int = 3


FULL = Sizes()


def study(seed: int, sizes: Sizes = FULL) -> dict[str, Any]:
    """Run it.

    Returns
    -------
    dict of plain values.

    All fields of `Sizes` but `num_dims` under their names (rows per class); `cases`: a list over dimensions of dicts:
    `num_dims`, and, mean and standard error `<name>_se` over `num_repeats` repeats with rows and weights of their
    own, all on generated and real test rows:
    `correlation`, `slope`: of the estimated over the true log weights;
    `error_nats`: mean |estimated - true|;
    `log_loss_nats`, `bayes_log_loss_nats`, `excess_log_loss_nats`: of the classifier, of the true ratio, difference;
    `raw_excess_log_loss_nats`: the same before calibration;
    `mean_w`, `true_mean_w`: mean of the weights of generated rows, 1 is wanted;
    `ess_fraction`, `true_ess_fraction`: ESS / N of the generated rows by estimated and by true weights.
    `example`: of each case's first repeat {"num_dims", "true", "estimated"}: log weights of 200 generated rows, nats.
    """
    cases, examples = [], []
    for num_dims in sizes.num_dims:
        repeats = [_repeat(seed, num_dims, repeat, sizes) for repeat in range(sizes.num_repeats)]
        cases.append({"num_dims": num_dims, **over_repeats([figures(*log_w) for log_w in repeats])})
        true, estimated = (side[1][:200].tolist() for side in repeats[0][:2])
        examples.append({"num_dims": num_dims, "true": true, "estimated": estimated})
    about = {name: value for name, value in sizes._asdict().items() if name != "num_dims"}
    return {**about, "cases": cases, "example": examples}


LogW = tuple[np.ndarray, np.ndarray]
"""Log weights of real and of generated test rows, (N,) float64 each, nats."""


def _repeat(seed: int, num_dims: int, repeat: int, sizes: Sizes) -> tuple[LogW, LogW, LogW]:
    """True, calibrated and raw log weights of the test rows."""
    pair = gaussian_pair(sizes.kl_nats, num_dims, VARIANCE_SHARE)
    rng = noise.generator(seed, f"gaussians in {num_dims} dimensions", repeat)
    training, stopping, fitting, test = (
        pair.draw(rng, n)
        for n in (sizes.num_rows, sizes.num_held_out_rows // 2, sizes.num_held_out_rows // 2, sizes.num_test_rows)
    )
    own_seed = int(rng.integers(2**31))
    classifier = _train(labelled(training), labelled(stopping), own_seed, sizes.epochs)
    x, y = labelled(fitting)
    calibration = choose(_logits(classifier, x), y, seed=own_seed).calibration
    real, generated = test
    raw = _logits(classifier, real), _logits(classifier, generated)
    calibrated = calibration.apply(raw[0]), calibration.apply(raw[1])
    return (pair.log_ratio(real), pair.log_ratio(generated)), calibrated, raw


def _train(
    data: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], seed: int, epochs: int
) -> Classifier:
    """The classifier on features as a run trains it, in this process; nothing of it stays on disk."""
    config = ClassifierConfig(
        input="features",
        train=TrainConfig(epochs=epochs, lr=2e-3, ema_decay=0.99, patience_epochs=3, num_workers=0),
    )
    description = Description("classifier", config.model_dump(), (1, 1, 1), {"num_features": data[0].shape[1]})
    with tempfile.TemporaryDirectory() as folder:
        job = TrainJob(NAME, partial(build, description), data, held_out, config.train, seed, "study", folder)
        trained = fit(job, num_gpus=0)
    model = build(description)
    assert isinstance(model, Classifier)
    model.load_state_dict(tensors_from_bytes(trained.files[WEIGHTS], NAME))
    return model.eval()


def _logits(model: Classifier, x: np.ndarray) -> np.ndarray:
    """(N,) float64 raw logits."""
    logits: np.ndarray = model.logits((torch.from_numpy(x),), np.arange(len(x)), 0, NAME).double().numpy()
    return logits


def figures(true: LogW, estimated: LogW, raw: LogW) -> dict[str, float]:
    """One repeat's figures, see `study`."""
    both = np.concatenate(true), np.concatenate(estimated)
    y = labelled(true)[1]
    bayes, loss, raw_loss = (log_loss(np.concatenate(log_w), y) for log_w in (true, estimated, raw))
    return {
        **agreement(both[1], both[0]),
        "error_nats": float(np.abs(both[1] - both[0]).mean()),
        "log_loss_nats": loss,
        "bayes_log_loss_nats": bayes,
        "excess_log_loss_nats": loss - bayes,
        "raw_excess_log_loss_nats": raw_loss - bayes,
        "mean_w": float(np.exp(estimated[1]).mean()),
        "true_mean_w": float(np.exp(true[1]).mean()),
        "ess_fraction": _ess_fraction(estimated[1]),
        "true_ess_fraction": _ess_fraction(true[1]),
    }


def _ess_fraction(log_w: np.ndarray) -> float:
    w = np.exp(log_w - log_w.max())
    return float(w.sum() ** 2 / (w**2).sum() / len(w))
