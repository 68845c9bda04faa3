"""A model's sampler in bfloat16, compiled, or both.

Samples then differ from those in float32 by rounding (`tensor_cores`; a compiled network fuses its layers, which sums
in another order), so both belong to the plan.  Compiled is the network that a sample passes through, as one graph and
for one batch size: a smaller last batch is filled up with the ids that would follow it, which are not kept, so that
nothing is compiled twice.

torch.compile is used in its default mode: CUDA graphs ("reduce-overhead") belong to the thread that recorded them, and
an actor computes its shards in two.  They save the starts of kernels, of which a large batch needs few.
"""

from typing import NamedTuple

import numpy as np
import torch

from lfiw_ray.errors import ConfigError
from lfiw_ray.models.dagan import DAGAN
from lfiw_ray.models.iwae import IWAE
from lfiw_ray.models.sngan import SNGAN
from lfiw_ray.models.tensor_cores import bfloat16, channels_last
from lfiw_ray.models.vae import VAE

Model = VAE | IWAE | SNGAN | DAGAN
_SAMPLED_BY: dict[type, str] = {VAE: "decode", IWAE: "decode", SNGAN: "generator", DAGAN: "generator"}
_SHOWN = 200  # characters of what torch says, which goes on for a page


class Speed(NamedTuple):
    """How samples are made; by default in float32, a layer at a time."""

    bf16: bool = False
    compiled: bool = False


EAGER = Speed()


class FastSampler:
    """Samples of a finished model.

    Parameters
    ----------
    model : changed in place; it must not be trained any more.
    batch_size : samples a call; only the last call may ask for fewer.
    """

    def __init__(self, model: Model, speed: Speed, batch_size: int):
        self._model, self._speed, self._batch_size = model, speed, batch_size
        self._device = next(model.parameters()).device
        if isinstance(model, SNGAN | DAGAN):
            self.sample_labels = model.sample_labels
        if speed.bf16:
            channels_last(model)
        if speed.compiled:
            name = _SAMPLED_BY[type(model)]
            setattr(model, name, torch.compile(getattr(model, name), fullgraph=True, dynamic=False))

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of consecutive ids; each a function of (seed, stream, id).

        Raises
        ------
        ConfigError
            When the network cannot be compiled on this machine.
        """
        if not self._speed.compiled:
            return self._sample(sample_ids, seed, stream)
        from torch._dynamo.exc import TorchDynamoException  # a second to import, and only needed here

        more = np.arange(1, 1 + self._batch_size - len(sample_ids)) + sample_ids[-1]
        try:
            return self._sample(np.concatenate([sample_ids, more]), seed, stream)[: len(sample_ids)]
        except TorchDynamoException as err:
            raise ConfigError(
                f"generate.compile: torch cannot compile the model for this {self._device.type.upper()} "
                f"({' '.join(str(err).split())[:_SHOWN]}); it needs a C++ compiler, such as g++ or the one that the "
                "variable CXX names, and on a GPU Triton; install it or set generate.compile to false"
            ) from err

    def _sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        with bfloat16(self._device, self._speed.bf16):
            return self._model.sample(sample_ids, seed, stream)
