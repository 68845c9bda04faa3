"""Pipelines of the real diffusers library; skipped where this optional extra is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lfiw_ray.models.external_diffusers import PipelineGenerator
from lfiw_ray.models.torchvision_ops import load_torchvision

IDS = np.arange(1020, 1030)


@pytest.fixture(params=["DDPM", "DDIM"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An untrained one of grey images, saved."""
    load_torchvision()
    library = pytest.importorskip("diffusers", reason="needs the extra: pip install lfiw-ray[diffusers]")
    unet = library.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    schedule = getattr(library, f"{request.param}Scheduler")(20)
    getattr(library, f"{request.param}Pipeline")(unet, schedule).save_pretrained(tmp_path)
    return str(tmp_path)


def test_it_loads_in_a_process_that_has_imported_nothing_else(folder: str) -> None:
    """As in an actor: diffusers alone cannot import torchvision beside a CPU build of torch."""
    work = f"from {PipelineGenerator.__module__} import PipelineGenerator as P; P({folder!r}, 3, None, 'cpu')"
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_sample_depends_on_its_id_alone(folder: str) -> None:
    pipeline = PipelineGenerator(folder, 3, None, "cpu")
    x = pipeline.sample(IDS, 7, "samples")
    assert (x.shape, x.dtype) == ((10, 8, 8, 1), np.uint8)
    assert len(np.unique(x.reshape(10, -1), axis=0)) == 10
    assert x.std() > 10
    for rows in (slice(None, None, -1), slice(6, 9), slice(4, 5)):  # sums in another order may round the other way
        assert np.abs(pipeline.sample(IDS[rows], 7, "samples").astype(int) - x[rows]).max() <= 1
    assert np.abs(pipeline.sample(IDS, 8, "samples").astype(int) - x).max() > 10
