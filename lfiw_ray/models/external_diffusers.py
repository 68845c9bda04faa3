"""A pipeline of the `diffusers` library, which is an optional extra: `pip install lfiw-ray[diffusers]`.

Every sample has a torch generator of its own, seeded by (seed, stream, sample id), on the CPU, where the same seed
gives the same numbers whatever the device; the library draws row i of the first noise and of every step from the
i-th of a list of generators.  Images come as floats in [0, 1] and are rounded to the nearest of 256 values.
"""

from typing import Any

import numpy as np
import torch

from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError, GeneratorError
from lfiw_ray.models.foreign import ForeignCode
from lfiw_ray.models.torchvision_ops import load_torchvision


class PipelineGenerator:
    """A pipeline by name, `name@revision`, or folder.

    Parameters
    ----------
    steps : denoising steps; None: the pipeline's default.
    prompt : given for every row; None: an unconditional pipeline.

    Raises
    ------
    ConfigError
        When the library is not installed.
    GeneratorError
        When the pipeline cannot be loaded.
    """

    def __init__(self, path: str, steps: int | None, prompt: str | None, device: str):
        load_torchvision()  # which diffusers imports
        try:
            from diffusers import DiffusionPipeline
        except ImportError as err:
            raise ConfigError(
                f"generator.model: a diffusers pipeline needs the library of that name ({err}); "
                "pip install lfiw-ray[diffusers]"
            ) from err
        name, _, revision = path.partition("@")
        options = {"revision": revision} if revision else {}
        with ForeignCode(f"generator.external.path: the pipeline {path} cannot be loaded"):
            self._pipeline = DiffusionPipeline.from_pretrained(name, **options).to(device)
            self._pipeline.set_progress_bar_config(disable=True)
        self._options: dict[str, Any] = {} if steps is None else {"num_inference_steps": steps}
        self._prompt = prompt

    def sample(self, sample_ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
        """Images (N, H, W, C) uint8 of (N,) int64 ids; GeneratorError when they are not floats in [0, 1]."""
        seeds = noise.by_block(seed, stream, sample_ids, _draw_seeds)
        generators = [torch.Generator("cpu").manual_seed(int(one)) for one in seeds]
        rows = {"batch_size": len(seeds)} if self._prompt is None else {"prompt": [self._prompt] * len(seeds)}
        x = np.asarray(self._pipeline(generator=generators, output_type="np", **rows, **self._options).images)
        if x.dtype.kind != "f" or not ((x >= 0) & (x <= 1)).all():
            raise GeneratorError(f"the pipeline gave {x.dtype} of shape {x.shape}; floats in [0, 1] are needed")
        return (x * 255).round().astype(np.uint8)


def _draw_seeds(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(2**63, size=n)
