"""Bridges between generated and real rows: waymarks, pairs, and costs against their definition."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lfiw_ray.models import bridges
from lfiw_ray.models.noise import BatchNoise


def rows(num_real: int, num_generated: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(x (N, 3), y) in mixed order."""
    torch_rng = torch.Generator().manual_seed(seed)
    y = torch.cat([torch.ones(num_real), torch.zeros(num_generated)])
    order = torch.randperm(len(y), generator=torch_rng)
    return torch.randn(len(y), 3, generator=torch_rng), y[order]


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """Steps linear in x, with random weights."""

    def __init__(self, num_dims: int, num_steps: int):
        super().__init__()
        self.last = nn.Linear(num_dims, num_steps)
        nn.init.normal_(self.last.weight, generator=torch.Generator().manual_seed(3))

    def steps(self, seen: bridges.Seen, uniform: bridges.Uniform | None) -> torch.Tensor:
        out: torch.Tensor = self.last(seen[0])
        return out if uniform is None else out * (uniform(out.shape[1]) >= 0.5)


def test_levels_lie_on_the_quarter_circle() -> None:
    assert bridges.levels(1) == pytest.approx([0, math.sqrt(0.5), 1])
    for num_bridges in (1, 2, 7):
        a = np.array(bridges.levels(num_bridges))
        assert (a[0], a[-1], len(a)) == (0, 1, num_bridges + 2)
        assert (np.diff(a) > 0).all()
        assert a**2 + a[::-1] ** 2 == pytest.approx(np.ones(len(a)))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        bridges.levels(0)


@pytest.mark.parametrize(("num_real", "num_generated"), [(5, 5), (7, 3), (1, 10), (4, 9)])
def test_pairs_use_the_rows_of_a_class_equally(num_real: int, num_generated: int) -> None:
    _, y = rows(num_real, num_generated)
    pairs = bridges.pair(y, keys(len(y)))
    assert len(pairs.real) == len(pairs.generated) == max(num_real, num_generated)
    assert (y[pairs.real] == 1).all()
    assert (y[pairs.generated] == 0).all()
    for side, count in ((pairs.real, num_real), (pairs.generated, num_generated)):
        used = side.bincount(minlength=len(y))[side.unique()]
        assert len(used) == count
        assert used.max() - used.min() <= 1


def test_every_partner_is_equally_likely() -> None:
    """3 real, 3 generated rows, 3,000 batches: 1,000 expected each, 6 standard errors of 26 (false alarm 2e-8)."""
    _, y = rows(3, 3)
    counts = np.zeros((6, 6))
    for step in range(3000):
        pairs = bridges.pair(y, keys(6, step))
        counts[pairs.real, pairs.generated] += 1
    assert np.abs(counts[counts > 0] - 1000).max() < 6 * 26
    assert (counts > 0).sum() == 9


def test_one_class_has_no_pairs() -> None:
    with pytest.raises(ValueError, match="got 0 real and 4 generated"):
        bridges.pair(torch.zeros(4), keys(4))
    with pytest.raises(ValueError, match="got 4 real and 0 generated"):
        bridges.pair(torch.ones(4), keys(4))


def test_waymarks_go_from_generated_to_real() -> None:
    x, y = rows(6, 6)
    pairs = bridges.pair(y, keys(12))
    other = torch.arange(12.0)[:, None, None]
    marks, others = (t.unflatten(0, (3, 6)) for t in bridges.waymarks((x, other), pairs, 1))
    assert torch.equal(marks[0], x[pairs.generated])
    assert torch.equal(marks[2], x[pairs.real])
    torch.testing.assert_close(marks[1], (x[pairs.generated] + x[pairs.real]) / math.sqrt(2))
    torch.testing.assert_close(others[1, :, 0, 0], (pairs.generated + pairs.real) / math.sqrt(2))  # the same pairs


@pytest.mark.parametrize(("num_real", "num_generated"), [(8, 8), (12, 4)])
def test_costs_are_the_mean_cross_entropies(num_real: int, num_generated: int) -> None:
    """Pair by pair and step by step; the classes' shares weigh the first step and the sum."""
    x, y = rows(num_real, num_generated)
    model, m, share = Linear(3, 4), 3, num_real / (num_real + num_generated)
    found = bridges.costs(model.steps, (x,), y, m, keys(16))
    pairs, a = bridges.pair(y, keys(16)), bridges.levels(m)
    steps, ends = np.zeros(m + 1), 0.0
    with torch.no_grad():
        for g, r in zip(*pairs, strict=True):
            out = [model.last(a[-1 - k] * x[g] + a[k] * x[r]).double().numpy() for k in range(m + 2)]
            for k in range(m + 1):
                real = share if k == 0 else 0.5
                steps[k] += (1 - real) * np.logaddexp(0, out[k][k]) + real * np.logaddexp(0, -out[k + 1][k])
            ends += (1 - share) * np.logaddexp(0, out[0].sum()) + share * np.logaddexp(0, -out[-1].sum())
    num_pairs = max(num_real, num_generated)
    assert found.steps.tolist() == pytest.approx(steps / num_pairs, rel=1e-5)
    assert found.ends.item() == pytest.approx(ends / num_pairs, rel=1e-5)
    assert found.mean().item() == pytest.approx((steps.sum() + ends) / num_pairs / (m + 2), rel=1e-5)


def test_the_sum_holds_the_log_odds_of_the_classes() -> None:
    """Nothing to tell apart but 3 real rows to each generated one: the sum is log 3, and the first step holds it."""
    bias = nn.Parameter(torch.zeros(3))
    optimiser = torch.optim.LBFGS([bias], max_iter=100, line_search_fn="strong_wolfe")
    x, y = rows(12, 4)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = bridges.costs(lambda seen, _: bias.expand(len(seen[0]), 3), (x,), y, 2, keys(16)).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert bias.tolist() == pytest.approx([math.log(3), 0, 0], abs=1e-3)


def test_dropout_is_drawn_for_every_waymark() -> None:
    """Each of the 4 waymarks asks once for numbers of all rows and uses those of its pairs."""
    x, y = rows(5, 3)
    asked = []

    def uniform(*shape: int) -> torch.Tensor:
        asked.append(shape)
        return torch.full((8, *shape), 0.4 if len(asked) <= 4 else 0.6)  # the first call drops everything

    model = Linear(3, 3)
    dropped = bridges.costs(model.steps, (x,), y, 2, keys(8), uniform)
    kept = bridges.costs(model.steps, (x,), y, 2, keys(8), uniform)
    assert asked == [(3,)] * 8
    assert dropped.steps.tolist() == pytest.approx([math.log(2)] * 3)
    assert torch.equal(kept.steps, bridges.costs(model.steps, (x,), y, 2, keys(8)).steps)


def test_workers_that_pair_their_own_rows_have_the_same_mean_cost() -> None:
    """Over 400 steps, two workers' mean cost against one's: within 5 standard errors of the paired difference."""
    model, differences = Linear(3, 4), []
    for step in range(400):
        x, y = rows(8, 8, seed=step)[0], (torch.arange(16) % 2).float()
        x[:, 0] += 2 * y
        costs = []
        for stripes in ([(0, 16)], [(0, 7), (7, 16)]):
            total = 0.0
            for start, stop in stripes:
                part = slice(start, stop)
                noise = BatchNoise(0, step, start, stop, 16)
                cost = bridges.costs(model.steps, (x[part],), y[part], 3, noise.uniform())
                total += cost.mean().item() * (stop - start) / 16
            costs.append(total)
        differences.append(costs[1] - costs[0])
    assert abs(np.mean(differences)) < 5 * np.std(differences, ddof=1) / math.sqrt(400)
