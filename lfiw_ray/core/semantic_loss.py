"""Losses of semi-supervised classification under the constraint "exactly one class" (Xu et al. 2018).

A network gives one logit a class, p_j = sigmoid(z_j), and each class is an independent coin.  The semantic
loss is -log of the probability that exactly one coin shows heads (Xu et al. 2018, section 4.1):

    L(z) = -log sum_i p_i prod_{j != i} (1 - p_j).

Since p_i / (1 - p_i) = e^{z_i} and log(1 - p_j) = -softplus(z_j),

    L(z) = sum_j softplus(z_j) - logsumexp(z),

which forms no product of probabilities and so neither underflows nor meets log 0.  Its gradient is
sigmoid(z) - softmax(z), finite for every finite z.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| z | logits | (N, C) float |
| y | class numbers | (N,) int64 |
| loss | mean over the N rows | scalar, nats |
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def semantic_loss(logits: Tensor) -> Tensor:
    """-log P(exactly one class is on), mean over rows.

    Parameters
    ----------
    logits : (N, C) float, N and C at least 1.

    Returns
    -------
    Scalar, nats; at least 0 up to rounding.
    """
    _check(logits)
    return (F.softplus(logits).sum(dim=1) - torch.logsumexp(logits, dim=1)).mean()


def label_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Binary cross-entropy of every class's coin, summed over classes, mean over rows.

    It is the label loss that goes with the semantic loss: both read p = sigmoid(z).

    Parameters
    ----------
    logits : (N, C) float.
    y : (N,) int64 in 0 .. C - 1.

    Returns
    -------
    Scalar, nats.
    """
    _check(logits)
    on = F.one_hot(y, num_classes=logits.shape[1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, on, reduction="none").sum(dim=1).mean()


def _check(logits: Tensor) -> None:
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(f"logits must be (N, C) with N and C at least 1, got shape {tuple(logits.shape)}")
