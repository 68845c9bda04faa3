"""The cached sampler of PixelCNN++ against the plain one: same weights, same noise, same images.

The plain sampler makes 1,024 equal forward passes for 32 x 32 pixels.  Some are timed and the mean is multiplied; the
cached sampler is timed whole.  One more pass over the finished images redraws every pixel given those before it,
which is what the plain sampler would have drawn (`pixelcnn_sampler.redraw`): in float32 a value may round to its
neighbour, in float64 none may differ.
"""

import os
import time
from collections.abc import Callable

import numpy as np
import torch

from lfiw_ray.config_generators import PixelCNNConfig
from lfiw_ray.models.pixelcnn import PixelCNN
from lfiw_ray.models.pixelcnn_sampler import redraw, sample_cached, sample_plain
from lfiw_ray.studies import bench
from lfiw_ray.studies.bench import Row

SHAPE = (32, 32, 3)
GOAL = 50.0
_FEW_ROUNDED = 1e-3  # share of the values that float32 may round to a neighbour


def rows(quick: bool) -> list[Row]:
    """All rows, at the paper's size; `quick` takes the smaller batch alone, and fewer passes."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    model = fitted(PixelCNNConfig(), SHAPE)
    found = against_plain(model, 16, 2 if quick else 4)
    if not quick:
        found += against_plain(model, 128, 2)
    return [*found, exactness(model, 1)]


def fitted(config: PixelCNNConfig, image_shape: tuple[int, int, int]) -> PixelCNN:
    """A model with random weights, gains and biases fitted to random images."""
    torch.manual_seed(0)
    model = PixelCNN(config, image_shape)
    rng = np.random.Generator(np.random.PCG64(0))
    model.prepare((rng.integers(0, 256, (4, *image_shape)).astype(np.uint8),), 0)
    return model.eval()


def against_plain(model: PixelCNN, batch: int, passes: int) -> list[Row]:
    """Seconds for a batch of images, and how many of their values the plain sampler rounds otherwise.

    Parameters
    ----------
    passes : of the plain sampler that are timed, after one that is not.
    """
    height, width, _ = model.image_shape
    noise = model.pixel_noise(np.arange(batch), 0, "bench")
    cached_s, values = _timed(lambda: sample_cached(model.net, noise))
    pixels = [(row, column) for row in range(height) for column in range(width)][: passes + 1]
    sample_plain(model.net, noise, pixels[:1])
    pass_s, _ = _timed(lambda: sample_plain(model.net, noise, pixels[1:]))
    differ = int((redraw(model.net, noise, values) != values).sum())
    work = f"PixelCNN++ sampling, {batch} images, {_size(model)}, {torch.get_num_threads()} threads"
    plain = f"plain sampler ({passes} of {height * width:,} passes timed, and multiplied)"
    limit = _FEW_ROUNDED * values.numel()
    return [
        bench.beside(work, "s", cached_s, plain, pass_s / passes * height * width, GOAL),
        bench.measured(f"{work}: of {values.numel():,} values, rounded otherwise (float32)", "values", differ, limit),
    ]


def exactness(model: PixelCNN, batch: int) -> Row:
    """How many values of a batch differ from the plain sampler's in float64; the model is float64 thereafter."""
    noise = model.double().pixel_noise(np.arange(batch), 0, "bench")
    values = sample_cached(model.net, noise)
    differ = int((redraw(model.net, noise, values) != values).sum())
    work = f"PixelCNN++ sampling, {batch} images, {_size(model)}: of {values.numel():,} values, different (float64)"
    return bench.measured(work, "values", differ, 0)


def _size(model: PixelCNN) -> str:
    height, width, channels = model.image_shape
    return f"{height} x {width} x {channels}, {model.config.blocks} blocks of {model.config.filters} filters"


def _timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    began = time.perf_counter()
    out = work()
    return time.perf_counter() - began, out
