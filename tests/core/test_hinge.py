"""Hinge losses: values by hand, and where their gradients vanish."""

import pytest
import torch

from lfiw_ray.core import hinge


def test_values_by_hand() -> None:
    real, generated = torch.tensor([2.0, 0.5, -1.0, 1.0]), torch.tensor([-3.0, 0.25])
    # max(0, 1 - D): 0, 0.5, 2, 0; max(0, 1 + D): 0, 1.25
    assert hinge.critic_loss(real, generated).item() == pytest.approx(2.5 / 4 + 1.25 / 2)
    assert hinge.generator_loss(generated).item() == pytest.approx(2.75 / 2)


def test_rows_beyond_the_margin_no_longer_pull() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    generated = torch.tensor([-1.5, -0.5, 3.0], requires_grad=True)
    hinge.critic_loss(real, generated).backward()
    assert real.grad is not None
    assert generated.grad is not None
    assert real.grad.tolist() == pytest.approx([0, -1 / 2])
    assert generated.grad.tolist() == pytest.approx([0, 1 / 3, 1 / 3])
