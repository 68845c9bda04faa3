"""Likelihoods of variational autoencoders on binary MNIST: the table of Burda et al. (2016), and a small one.

Every arm is an IWAE of Bernoulli pixels, trained with k samples on one of two objectives: the mean of k logs (`vae`)
or the log of the mean of k weights (`iwae`); at k = 1 they are one.  Its negative log likelihood is estimated on test
rows by importance sampling, which bounds it from above.  Each arm is trained twice: on the fixed binarisation of
MNIST (Larochelle and Murray 2011), and on one drawn anew whenever a row is seen, P(ink) = grey value / 255, with
test rows drawn once.  All arms see the same rows in the same order, so that their differences are paired by test row.

Training follows the paper and its code: pixels start at the mean image's log odds; Adam (beta 0.9 and 0.999, epsilon
1e-4), batches of 20, stages i = 1 .. 8 of 3^(i - 1) epochs with a learning rate of 1e-3 10^(-(i - 1) / 7).  `SMALL`
is a few minutes of that on one core, and is labelled as what it is.  What others report stands beside our figures,
marked with its source.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from lfiw_ray.config_generators import IWAEConfig
from lfiw_ray.core import noise
from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models.iwae import IWAE, OFFSET_UNIT
from lfiw_ray.models.iwae_evidence import active_units, log_likelihood, posterior_means
from lfiw_ray.models.noise import BatchNoise

NAME = "likelihood"
TITLE = "Likelihood of VAE and IWAE on binary MNIST"
BINARISATIONS = ("fixed", "stochastic")


class Data(NamedTuple):
    """Images (N, H, W, C) uint8: of 0 and 255 for the fixed binarisation, grey for the stochastic one."""

    fixed_train: np.ndarray
    fixed_test: np.ndarray
    grey_train: np.ndarray
    grey_test: np.ndarray


class Arm(NamedTuple):
    """One model and its objective, and what others report of it; None where they report nothing."""

    group: str  # the table it belongs to, "burda" or "small"
    architecture: str
    latents: int
    hidden: int
    objective: str
    k: int
    published_nll_nats: float | None
    published_active: tuple[int, ...] | None
    published_source: str


class Sizes(NamedTuple):
    """How much work: rows drawn from each set, stages (learning rate, epochs), draws of the estimate."""

    num_train_rows: int
    num_test_rows: int
    stages: tuple[tuple[float, int], ...]
    num_samples: int
    batch_size: int = 20
    architectures: tuple[str, ...] = ("mlp1",)


SMALL = Sizes(12_000, 100, ((1e-3, 1), (3e-4, 1)), 500)
FULL = Sizes(50_000, 10_000, tuple((1e-3 * 10 ** (-i / 7), 3**i) for i in range(8)), 5_000, 20, ("mlp1", "mlp2"))

_PAPER = "Burda et al. 2016, table 1 (from memory, not checked against the paper)"
_SLIDES = "slides of a seminar; how its MNIST was binarised is not stated"

# As published: (objective, k): NLL in nats, active units of each layer.
_MLP1 = {
    ("vae", 1): (86.76, (19,)),
    ("vae", 5): (86.47, (20,)),
    ("vae", 50): (86.35, (20,)),
    ("iwae", 5): (85.54, (22,)),
    ("iwae", 50): (84.78, (25,)),
}
_MLP2 = {
    ("vae", 1): (85.33, (16, 5)),
    ("vae", 5): (85.01, (17, 5)),
    ("vae", 50): (84.78, (17, 5)),
    ("iwae", 5): (83.89, (21, 5)),
    ("iwae", 50): (82.90, (26, 7)),
}
ARMS = (
    *(Arm("burda", "mlp1", 50, 200, *how, *published, _PAPER) for how, published in _MLP1.items()),
    *(Arm("burda", "mlp2", 50, 200, *how, *published, _PAPER) for how, published in _MLP2.items()),
    Arm("small", "mlp1", 10, 100, "vae", 1, 145.0, None, _SLIDES),
    Arm("small", "mlp1", 10, 100, "iwae", 10, 129.0, None, _SLIDES),
)


def study(seed: int, data: Data, sizes: Sizes = SMALL, device: str = "cpu") -> dict[str, Any]:
    """Train and estimate every arm of `sizes.architectures` on both binarisations.

    Returns
    -------
    dict of plain values.

    `label`: what was run, "N epochs of M rows"; `num_train_rows`, `num_test_rows` (used), `num_samples`,
    `batch_size`, `stages` [[learning rate, epochs]]: the sizes.
    `arms`: a list of {"group", "binarisation", "architecture", "latents", "hidden", "objective", "k",
    "nll_nats", "nll_se" (over test rows), "gain_nats", "gain_se" (paired by test row: NLL of the k = 1 arm of the same
    group, architecture and binarisation less this one's; None for that one), "train_loss_nats" (mean of the last
    epoch), "active" (units of each layer), "published_nll_nats", "published_active", "published_source"}: what others
    report (not ours; the paper's stand at the stochastic binarisation), None where they report nothing.

    Raises
    ------
    NonFiniteError
        naming the arm and the epoch after which its loss was not finite.
    """
    arms = [arm for arm in ARMS if arm.architecture in sizes.architectures]
    entries: list[dict[str, Any]] = []
    for binarisation in BINARISATIONS:
        train, test = _rows(seed, data, sizes, binarisation)
        baselines: dict[tuple[str, str], np.ndarray] = {}
        for arm in arms:
            model, train_loss = train_arm(seed, arm, train, binarisation == "stochastic", sizes, device)
            nll, found = _evaluated(seed, model, test, sizes)
            base = baselines.setdefault((arm.group, arm.architecture), nll)
            entries.append(_entry(arm, binarisation) | {"train_loss_nats": train_loss} | found | _gain(base, nll))
    num_train, epochs = min(sizes.num_train_rows, len(data.fixed_train)), sum(e for _, e in sizes.stages)
    return {
        "label": f"{epochs} epochs of {num_train:,} rows",
        "num_train_rows": num_train,
        "num_test_rows": min(sizes.num_test_rows, len(data.fixed_test)),
        "num_samples": sizes.num_samples,
        "batch_size": sizes.batch_size,
        "stages": [list(stage) for stage in sizes.stages],
        "arms": entries,
    }


def train_arm(
    seed: int, arm: Arm, x: np.ndarray, binarise: bool, sizes: Sizes, device: str = "cpu"
) -> tuple[IWAE, float]:
    """A trained model, in evaluation mode, and its mean loss over the last epoch, nats.

    Parameters
    ----------
    x : (N, H, W, C) uint8; with `binarise` grey values, whose bits are drawn anew in every step.
    """
    model = _fresh(seed, arm, x).to(device)
    optimiser = torch.optim.Adam(model.parameters(), eps=1e-4)
    epoch, per_epoch, mean_loss = 0, len(x) // sizes.batch_size, math.nan
    for lr, epochs in sizes.stages:
        for group in optimiser.param_groups:
            group["lr"] = lr
        for _ in range(epochs):
            order = noise.generator(seed, "likelihood order", epoch).permutation(len(x))
            total = torch.zeros((), device=device)
            for position in range(per_epoch):
                rows = order[position * sizes.batch_size : (position + 1) * sizes.batch_size]
                drawn = BatchNoise(seed, epoch * per_epoch + position, 0, len(rows), len(rows), device)
                total += _step(model, optimiser, torch.from_numpy(x[rows]).to(device), binarise, drawn)
            epoch, mean_loss = epoch + 1, total.item() / per_epoch
            if not math.isfinite(mean_loss):
                raise NonFiniteError(f"likelihood, {arm}: the loss is {mean_loss} in epoch {epoch}; lower the rate")
    return model.eval(), mean_loss


def _step(
    model: IWAE, optimiser: torch.optim.Optimizer, batch: torch.Tensor, binarise: bool, drawn: BatchNoise
) -> torch.Tensor:
    if binarise:
        batch = binarised(batch, drawn.uniform(*batch.shape[1:]))
    loss, _ = model.loss((batch,), drawn)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach()


def binarised(grey: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """255 with probability grey / 255, else 0; uint8, of the shape of both."""
    return (uniform * 255 < grey).to(torch.uint8) * 255


def _fresh(seed: int, arm: Arm, x: np.ndarray) -> IWAE:
    """A model whose pixels start at the log odds of the mean image, in parts of a thousand at least."""
    config = IWAEConfig.model_validate(
        {
            "architecture": arm.architecture,
            "num_importance": arm.k,
            "objective": arm.objective,
            "latents": arm.latents,
            "hidden": arm.hidden,
            "likelihood": "bernoulli",
        }
    )
    height, width, channels = x.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(noise.generator(seed, "likelihood init").integers(2**62)))
        model = IWAE(config, (height, width, channels))
    mean = torch.from_numpy(x.mean(0) / 255).permute(2, 0, 1).clamp(1e-3, 1 - 1e-3)
    model.offset.data.copy_(mean.logit() / OFFSET_UNIT)
    return model


def _rows(seed: int, data: Data, sizes: Sizes, binarisation: str) -> tuple[np.ndarray, np.ndarray]:
    """Training rows, grey where they are to be binarised in every step, and test rows of 0 and 255."""
    n, m = sizes.num_train_rows, sizes.num_test_rows
    if binarisation == "fixed":
        return _drawn(seed, data.fixed_train, n), _drawn(seed, data.fixed_test, m)
    test = _drawn(seed, data.grey_test, m)
    uniform = noise.by_block(
        seed, "likelihood test", np.arange(len(test)), lambda rng, n: rng.random((n, *test.shape[1:]), np.float32)
    )
    return _drawn(seed, data.grey_train, n), binarised(torch.tensor(test), torch.from_numpy(uniform)).numpy()


def _drawn(seed: int, x: np.ndarray, num_rows: int) -> np.ndarray:
    """At most `num_rows` rows at random, because published files may be sorted by class (that of the fixed test is)."""
    return x[noise.generator(seed, "likelihood rows").permutation(len(x))[:num_rows]]


def _evaluated(seed: int, model: IWAE, test: np.ndarray, sizes: Sizes) -> tuple[np.ndarray, dict[str, Any]]:
    """NLL of each test row, nats, and the arm's figures."""
    ids = np.arange(len(test))
    nll = -log_likelihood(model, test, ids, seed, "likelihood", sizes.num_samples)
    active = active_units(posterior_means(model, test, ids, seed, "likelihood active"))
    return nll, {"nll_nats": float(nll.mean()), "nll_se": _se(nll), "active": active}


def _gain(base: np.ndarray, nll: np.ndarray) -> dict[str, float | None]:
    if base is nll:
        return {"gain_nats": None, "gain_se": None}
    return {"gain_nats": float((base - nll).mean()), "gain_se": _se(base - nll)}


def _se(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def _entry(arm: Arm, binarisation: str) -> dict[str, Any]:
    """The arm itself; the paper's figures are of the stochastic binarisation."""
    entry: dict[str, Any] = {"binarisation": binarisation, **arm._asdict()}
    if binarisation == "fixed" and arm.published_source == _PAPER:
        return entry | {"published_nll_nats": None, "published_active": None, "published_source": None}
    return entry | {"published_active": list(arm.published_active) if arm.published_active else None}
