"""The semantic loss against a sum over all worlds, at extreme logits, and its gradient."""

import itertools

import numpy as np
import pytest
import torch

from lfiw_ray.core.semantic_loss import label_loss, semantic_loss


def brute_force_nats(logits: np.ndarray) -> float:
    """-log of the probability of the worlds (out of all 2^C) in which exactly one coin shows heads, mean over rows."""
    losses = []
    for p in 1 / (1 + np.exp(-logits)):
        worlds = (world for world in itertools.product((0, 1), repeat=len(p)) if sum(world) == 1)
        losses.append(-np.log(sum(np.prod(np.where(world, p, 1 - p)) for world in worlds)))
    return float(np.mean(losses))


@pytest.mark.parametrize("num_classes", [1, 2, 3, 7])
def test_it_is_the_sum_over_all_worlds(num_classes: int) -> None:
    logits = np.random.default_rng(num_classes).normal(0, 3, (50, num_classes))
    assert semantic_loss(torch.from_numpy(logits)).item() == pytest.approx(brute_force_nats(logits), rel=1e-12)


def test_known_values() -> None:
    # Two fair coins: exactly one shows heads with probability 1/2.  One coin: -log p.
    assert semantic_loss(torch.zeros(1, 2)).item() == pytest.approx(np.log(2), rel=1e-6)
    assert semantic_loss(torch.full((1, 1), np.log(3.0))).item() == pytest.approx(-np.log(0.75), rel=1e-6)


@pytest.mark.parametrize(
    ("logits", "loss_nats"),
    [
        ([1e4, -1e4, -1e4], 0.0),  # certain of one class
        ([-1e4, -1e4, -1e4], 1e4 - np.log(3)),  # certain of none: the cheapest world pays 1e4
        ([1e4, 1e4, 1e4], 2e4 - np.log(3)),  # certain of all: two coins must be wrong
        ([1e4, 1e4, -1e4], 1e4 - np.log(2)),
    ],
)
def test_extreme_logits_are_exact_and_their_gradient_is_finite(logits: list[float], loss_nats: float) -> None:
    z = torch.tensor([logits], requires_grad=True)
    loss = semantic_loss(z)
    loss.backward()
    assert loss.item() == pytest.approx(loss_nats, rel=1e-6, abs=1e-6)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_the_gradient_is_sigmoid_minus_softmax() -> None:
    z = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    semantic_loss(z).backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, (torch.sigmoid(z) - torch.softmax(z, dim=1)).detach() / 6)


def test_label_loss_is_the_sum_of_the_coins_log_losses() -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    p = 1 / (1 + np.exp(-logits))
    expected = -np.log(np.where(np.arange(4) == y[:, None], p, 1 - p)).sum(axis=1).mean()
    assert label_loss(torch.from_numpy(logits), torch.from_numpy(y)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="logits must be"):
        semantic_loss(torch.zeros(shape))
