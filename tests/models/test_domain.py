"""The domain classifier: its loss against a direct formula, and that it learns."""

import numpy as np
import pytest
import torch

from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.noise import BatchNoise


def _task(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise images with one bright quarter; the label says which."""
    rng = np.random.default_rng(seed)
    x, labels = rng.integers(0, 200, (n, 12, 12, 1)), rng.integers(0, 4, n)
    for image, label in zip(x, labels, strict=True):
        top, left = divmod(int(label), 2)
        image[6 * top : 6 * top + 6, 6 * left : 6 * left + 6] += 50
    return torch.from_numpy(x.astype(np.uint8)), torch.from_numpy(labels)


def test_loss_is_the_mean_negative_log_probability() -> None:
    torch.manual_seed(0)
    net, (x, labels) = DomainNet((12, 12, 1), 4), _task(9, 0)
    loss, metrics = net.loss((x, labels), BatchNoise(0, 0, 0, 9, 9))
    p = net.probabilities(x)
    expected = -p[torch.arange(9), labels].log().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert metrics["accuracy"].item() == pytest.approx((p.argmax(1) == labels).float().mean().item())
    assert not metrics["accuracy"].requires_grad
    torch.testing.assert_close(net.features(x), net.outputs(x)[0])


def test_learns() -> None:
    torch.manual_seed(0)
    net, (x, labels) = DomainNet((12, 12, 1), 4), _task(512, 1)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3)
    for step in range(40):
        rows = slice(step % 8 * 64, step % 8 * 64 + 64)
        optimiser.zero_grad()
        net.loss((x[rows], labels[rows]), BatchNoise(0, step, 0, 64, 64))[0].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    held_out, truth = _task(256, 2)
    with torch.no_grad():
        assert (net.probabilities(held_out).argmax(1) == truth).float().mean() > 0.9


def test_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="got 1"):
        DomainNet((12, 12, 1), 1)
