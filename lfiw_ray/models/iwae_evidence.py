"""Evidence of a trained IWAE: its log likelihood by importance sampling, and how many latents it uses.

log p(x) is estimated from below by the k-sample bound with k = 5,000 draws (Burda et al. 2016, section 5), whose
gap is the smaller the nearer q(z | x) is to the posterior.  The draws of a row come from (seed, stream, row id)
alone, in one sequence: neither the other rows nor the size of a chunk of draws changes them.

A latent u is active when the variance over the data of its posterior mean, Cov_x(E_q[u | x]), is above 0.01
(section 5.2).  Means of the second layer are averages over draws of the first.
"""

from collections.abc import Iterator

import numpy as np
import torch

from lfiw_ray.core import noise
from lfiw_ray.core.importance_bound import log_mean_exp
from lfiw_ray.models.iwae import IWAE
from lfiw_ray.models.scale import to_unit

NUM_SAMPLES = 5_000
ACTIVE_VARIANCE = 1e-2
_CHUNK = 500  # draws a forward pass


@torch.no_grad()
def log_likelihood(
    model: IWAE, x: np.ndarray, row_ids: np.ndarray, seed: int, stream: str, num_samples: int = NUM_SAMPLES
) -> np.ndarray:
    """Estimates of log p(x), (N,) float64, nats.

    Parameters
    ----------
    x : (N, H, W, C) uint8.
    row_ids : (N,) int64, at least 0; a row's draws are a function of (seed, stream, id).
    num_samples : k.
    """
    device = next(model.parameters()).device
    estimates = np.empty(len(x))
    for at, row_id in enumerate(row_ids):
        row = torch.tensor(x[at : at + 1]).to(device)
        chunks = _normals(seed, stream, int(row_id), num_samples, model.num_normals)
        log_w = torch.cat([model.log_weights(row, normal.to(device)).double() for normal in chunks], 1)
        estimates[at] = log_mean_exp(log_w).item()
    return estimates


def _normals(seed: int, stream: str, row_id: int, num_samples: int, width: int) -> Iterator[torch.Tensor]:
    """Chunks (1, n, width) float32 of a row's draws."""
    rng = noise.generator(seed, stream, row_id)
    for start in range(0, num_samples, _CHUNK):
        drawn = rng.standard_normal((min(_CHUNK, num_samples - start), width), dtype=np.float32)
        yield torch.from_numpy(drawn)[None]


@torch.no_grad()
def posterior_means(
    model: IWAE, x: np.ndarray, row_ids: np.ndarray, seed: int, stream: str, num_samples: int = 100
) -> list[np.ndarray]:
    """E_q[z_l | x] of each stochastic layer, (N, D_l) float64; averages over `num_samples` draws of the layers below.

    Parameters
    ----------
    x, row_ids : as for `log_likelihood`.
    """
    device = next(model.parameters()).device
    rows: list[list[np.ndarray]] = [[] for _ in model.sizes]
    for at, row_id in enumerate(row_ids):
        seen = to_unit(torch.tensor(x[at : at + 1]).to(device))
        totals = [torch.zeros(size, dtype=torch.float64, device=device) for size in model.sizes]
        for normal in _normals(seed, stream, int(row_id), num_samples, model.num_normals):
            _, q = model.draw(seen, normal.to(device))
            for total, (mean, _) in zip(totals, q, strict=True):
                total += mean[0].double().expand(normal.shape[1], -1).sum(0)
        for layer, total in zip(rows, totals, strict=True):
            layer.append((total / num_samples).cpu().numpy())
    return [np.stack(layer) for layer in rows]


def active_units(means: list[np.ndarray]) -> list[int]:
    """Number of active latents of each layer, from `posterior_means` of at least two rows."""
    return [int((layer.var(axis=0, ddof=1) > ACTIVE_VARIANCE).sum()) for layer in means]
