"""Batch normalisation: agreement with torch's own, by class, and rows that stay apart in evaluation."""

import numpy as np
import pytest
import torch
from torch import nn

from lfiw_ray.models.batch_norm import BatchNorm


def batch(rows: int = 6) -> torch.Tensor:
    return 3 * torch.randn(rows, 4, 5, 3, generator=torch.Generator().manual_seed(0)) + 2


def scaled(norm: BatchNorm) -> BatchNorm:
    with torch.no_grad():
        norm.gain.copy_(torch.arange(norm.gain.numel()).reshape(norm.gain.shape) + 1.0)
        norm.bias.copy_(-torch.arange(norm.bias.numel()).reshape(norm.bias.shape).float())
    return norm


@pytest.mark.parametrize("training", [True, False])
def test_without_classes_it_is_torchs(training: bool) -> None:
    ours, theirs = scaled(BatchNorm(4)), nn.BatchNorm2d(4)
    theirs.load_state_dict({"weight": ours.gain[0].detach(), "bias": ours.bias[0].detach()}, strict=False)
    for _ in range(3):
        expected = theirs(batch())
        assert torch.equal(ours(batch(), None), expected)
    ours.train(training)
    theirs.train(training)
    assert torch.equal(ours(batch(), None), theirs(batch()))
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)


def test_each_class_has_a_gain_and_a_bias() -> None:
    norm, h, labels = scaled(BatchNorm(4, 3)), batch(), torch.tensor([0, 2, 1, 1, 0, 2])
    plain = BatchNorm(4)(h, None)
    expected = plain * norm.gain[labels][:, :, None, None] + norm.bias[labels][:, :, None, None]
    np.testing.assert_allclose(norm(h, labels).detach(), expected.detach(), rtol=1e-6, atol=1e-6)


def test_in_evaluation_a_row_does_not_depend_on_the_others() -> None:
    norm = BatchNorm(4)
    norm(batch(), None)
    norm.eval()
    assert torch.equal(norm(batch(), None)[:2], norm(batch()[:2], None))
