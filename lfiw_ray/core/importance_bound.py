"""Bounds on log p(x) from k importance weights w_i = p(x, z_i) / q(z_i | x), z_i drawn from q (Burda et al. 2016).

    log p(x) >= L_k = E[log (1/k) sum_i w_i] >= E[(1/k) sum_i log w_i] = L_1,

where L_k grows with k and tends to log p(x) (their theorem 1).  Its gradient is that of sum_i v_i log w_i with the
normalised weights v held fixed (their equation 14).

Doubly reparameterised (Tucker et al. 2019, equation 8): the part of that gradient that reaches the parameters of q
is, in expectation, sum_i v_i^2 (d log w_i / d z_i) (d z_i / d phi), without the score of q, whose noise drowns the
signal as k grows.  The log weights then have to be functions of z alone as far as q is concerned: its parameters
enter only through z.

| symbol | meaning | shape, dtype, unit |
|---|---|---|
| log_w | log importance weights | (..., k) float, nats |
"""

import math

import torch

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)


def gaussian_log_prob(z: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """log N(z; mean, exp(log_std)^2) summed over the last axis, nats."""
    return -(0.5 * ((z - mean) * torch.exp(-log_std)).square() + log_std + _LOG_ROOT_TWO_PI).sum(-1)


def log_mean_exp(log_w: torch.Tensor) -> torch.Tensor:
    """log (1/k) sum_i exp(log_w_i) over the last axis, (...), nats; -inf only where all weights are 0."""
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])


def mean_log(log_w: torch.Tensor) -> torch.Tensor:
    """(1/k) sum_i log_w_i over the last axis, (...), nats: the ELBO, with k draws to estimate it."""
    return log_w.mean(-1)


def doubly_reparameterised(log_w: torch.Tensor, latents: list[torch.Tensor]) -> torch.Tensor:
    """L_k as `log_mean_exp` gives it, (...), nats, with the gradient above.

    Parameters
    ----------
    log_w : (..., k), computed from `latents` with the parameters of q held fixed.
    latents : tensors (..., k, D) of z that nothing but `log_w` was computed from; their gradients are scaled.
    """
    weights = log_w.detach().softmax(-1)
    for z in latents:
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * weights[..., None])  # type: ignore[no-untyped-call]
    surrogate = (weights * log_w).sum(-1)
    return surrogate + (log_mean_exp(log_w) - surrogate).detach()


def effective_samples(log_w: torch.Tensor) -> torch.Tensor:
    """(sum w)^2 / sum w^2 over the last axis, (...), from 1 to k."""
    return torch.exp(2 * torch.logsumexp(log_w, -1) - torch.logsumexp(2 * log_w, -1))
