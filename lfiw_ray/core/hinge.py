"""Hinge losses of an adversarial pair (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17).

The critic D is asked for at least 1 on real rows and at most -1 on generated ones; the generator G raises D of its own:

    critic:     mean max(0, 1 - D(real)) + mean max(0, 1 + D(generated))
    generator:  -mean D(generated)

| symbol | meaning | shape, dtype |
|---|---|---|
| real, generated | what the critic says, unbounded, no unit | (N,) float32 |
"""

import torch
import torch.nn.functional as F


def critic_loss(real: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """What the critic lowers, a scalar; 0 once every row is beyond its margin."""
    return F.relu(1.0 - real).mean() + F.relu(1.0 + generated).mean()


def generator_loss(generated: torch.Tensor) -> torch.Tensor:
    """What the generator lowers, a scalar."""
    return -generated.mean()
