"""Telescoping: a log density ratio as a sum of ratios between neighbours (TRE; Rhodes, Xu and Gutmann 2020).

Where real and generated hardly overlap, one classifier reaches zero loss with almost any logit, so its logit is no
log ratio (the density chasm).  With waymarks x_0 = generated, x_1, ..., x_m, x_{m+1} = real between them,

    log p_real / p_generated = sum_k log p_{k+1} / p_k,        k = 0 .. m,

is exact, and each term is between two distributions near enough to be told apart only in part.  The waymarks are
linear combinations of independent pairs (section 3.1 of the paper), here at equal angles, alike from both ends:

    x_k = cos(t_k) x_generated + sin(t_k) x_real,    t_k = k pi / (2 (m + 1)),    sin(t_k) = a_k.

They are formed in the space that the classifier sees.  As cos^2 + sin^2 = 1, pixels with independent noise
N(0, s^2) on every row give waymarks with noise N(0, s^2), so all of them are equally smooth.

The loss is the mean of m + 2 binary cross-entropies: that of each step between its neighbours, as in the paper, and
that of the summed steps between the two ends.  All have the same optimum.  The last is not in the paper: it is for
networks.  Most of a distant row's log ratio comes from steps whose neighbours lie elsewhere, to which a network is
extrapolated, and with the steps alone the sum ranks two Gaussians that differ in little but their means by 100 nats
backwards (a test shows it).  Extrapolation stays the limit of the method.

Pairs are made within the rows at hand: both classes are shuffled by the batch noise and dealt to each other, the
smaller class again and again until each row of the larger one has a partner.  A row is thus used as often as any
other of its class, up to one.  Where a batch is split over workers, each pairs its own rows: the number of workers
changes who is paired with whom, not the distribution of the pairs.

Every waymark gets equally many rows, so they say nothing of n_real / n_generated.  The first step and the sum weigh
their two sides by the batch's shares of the classes, which adds log(n_real / n_generated) to their optimum: the sum
is the log odds of *real*, as a single classifier's logit is.

| symbol | meaning | shape, dtype |
|---|---|---|
| m | number of bridges | int |
| seen | what the classifier's layers see, one tensor per input | tuple of (N, ...) float32 |
| y | 1 real, 0 generated | (N,) float32 |
| P | pairs, the number of rows of the larger class | int |
| steps | log p_{k+1} / p_k of each row | (N, m + 1) float32, nats |
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

Seen = tuple[torch.Tensor, ...]
Uniform = Callable[..., torch.Tensor]


class Pairs(NamedTuple):
    """Row numbers of P independent pairs, each (P,) int64."""

    generated: torch.Tensor
    real: torch.Tensor


def levels(num_bridges: int) -> list[float]:
    """a_0 = 0 .. a_{m+1} = 1, the real part of each waymark; a_{m+1-k} is the generated part of waymark k."""
    if num_bridges < 1:
        raise ValueError(f"num_bridges must be at least 1, got {num_bridges}")
    return [math.sin(0.5 * math.pi * k / (num_bridges + 1)) for k in range(num_bridges + 2)]


def pair(y: torch.Tensor, keys: torch.Tensor) -> Pairs:
    """Deal generated and real rows to each other in the order of their keys.

    Parameters
    ----------
    keys : (N,) uniform random numbers.

    Raises
    ------
    ValueError
        All rows are of one class.
    """
    order = keys.argsort(stable=True)
    is_real = y[order] > 0.5
    real, generated = order[is_real], order[~is_real]
    if not len(real) or not len(generated):
        raise ValueError(f"pairs need rows of both classes, got {len(real)} real and {len(generated)} generated")
    dealt = torch.arange(max(len(real), len(generated)), device=y.device)
    return Pairs(generated[dealt % len(generated)], real[dealt % len(real)])


def waymarks(seen: Seen, pairs: Pairs, num_bridges: int) -> Seen:
    """All m + 2 waymarks of all pairs, ((m + 2) * P, ...) per input, from generated to real."""
    a = levels(num_bridges)
    return tuple(
        torch.cat([a[-1 - k] * t[pairs.generated] + a[k] * t[pairs.real] for k in range(num_bridges + 2)]) for t in seen
    )


class Costs(NamedTuple):
    """Mean binary cross-entropies, nats, and the share of rows that the sum of the steps tells apart."""

    steps: torch.Tensor
    """(m + 1,), of the neighbours of each step"""
    ends: torch.Tensor
    """of generated and real rows, by the sum of the steps"""
    accuracy: torch.Tensor

    def mean(self) -> torch.Tensor:
        """What training lowers: the mean over the steps and the sum."""
        return torch.cat([self.steps, self.ends[None]]).mean()


def costs(
    steps: Callable[[Seen, Uniform | None], torch.Tensor],
    seen: Seen,
    y: torch.Tensor,
    num_bridges: int,
    keys: torch.Tensor,
    uniform: Uniform | None = None,
) -> Costs:
    """Costs of one batch.

    Parameters
    ----------
    steps : (seen, uniform) -> (rows, m + 1); it calls `uniform(*shape)` for random numbers of each row (dropout).
    keys : (N,) uniform random numbers that make the pairs.
    uniform : draws (N, *shape) random numbers, or None for no dropout.

    Raises
    ------
    ValueError
        All rows are of one class.
    """
    pairs = pair(y, keys)
    num_pairs, num_waymarks = len(pairs.real), num_bridges + 2

    def of_waymarks(*shape: int) -> torch.Tensor:
        assert uniform is not None
        return torch.cat([uniform(*shape)[:num_pairs] for _ in range(num_waymarks)])

    out = steps(waymarks(seen, pairs, num_bridges), of_waymarks if uniform is not None else None)
    return _costs(out.reshape(num_waymarks, num_pairs, num_bridges + 1), (y > 0.5).float().mean())


def _costs(out: torch.Tensor, share: torch.Tensor) -> Costs:
    """Costs of the steps at all waymarks, (m + 2, P, m + 1), with the share of real rows."""
    below = out[:-1].diagonal(dim1=0, dim2=2)  # (P, m + 1): step k at its lower waymark k
    above = out[1:].diagonal(dim1=0, dim2=2)  # and at its upper one, k + 1
    shares = torch.full_like(out[0, 0], 0.5)
    shares[0] = share
    generated, real = out[0].sum(1), out[-1].sum(1)  # (P,): log odds of the ends
    return Costs(
        ((1 - shares) * F.softplus(below) + shares * F.softplus(-above)).mean(0),
        ((1 - share) * F.softplus(generated) + share * F.softplus(-real)).mean(),
        ((1 - share) * (generated < 0) + share * (real > 0)).mean(),
    )
