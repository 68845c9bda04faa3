"""Every model of the registry trains on two workers what it trains on one, up to rounding.

The workers are processes with gloo between them and no Ray, whose launches would cost more than the training.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from engine_toys import ALONE, SHAPE, images, job

from lfiw_ray.config import GeneratorConfig
from lfiw_ray.engine.train_loop import train
from lfiw_ray.engine.train_watch import Rank
from lfiw_ray.models.checkpoint import tensors_from_bytes, tensors_to_bytes
from lfiw_ray.models.registry import build, generator_description

NAMES = ("vae", "iwae", "flow", "pixelcnn", "sngan", "dagan")
CONFIG = GeneratorConfig.model_validate(
    {
        "vae": {"latents": 2, "width": 2},
        "iwae": {"num_importance": 3, "latents": 2, "hidden": 4},
        "flow": {"steps": 1, "width": 4},
        "pixelcnn": {"blocks": 1, "filters": 4, "mixtures": 2, "conditional": True},
        "sngan": {"latents": 2, "width": 4, "critic_width": 4, "critic_steps": 2, "conditional": True},
        "dagan": {"latents": 2, "width": 4, "examples": 8},
    }
)
LABELS = np.arange(60) % 2
_SIZES = {"sngan": (16, 16, 1), "dagan": (16, 16, 1)}


def model(name: str) -> torch.nn.Module:
    config = CONFIG.model_copy(update={"model": name})
    return build(generator_description(config, _SIZES.get(name, SHAPE), [30, 30]))


def rows(name: str) -> tuple[np.ndarray, ...]:
    """Labels go to those that learn them; images of 16 x 16 are those of 8 x 8, four times."""
    x = np.tile(images(60), (1, *(np.array(_SIZES.get(name, SHAPE)) // SHAPE)))
    return (x, LABELS) if name in ("pixelcnn", "sngan", "dagan") else (x,)


def trained(name: str, folder: Path, rank: Rank) -> dict[str, Any]:
    """Averaged weights after two epochs of batches of 13 rows, which do not halve."""
    work = job(folder / name, partial(model, name), batch_size=13, epochs=2, ema_decay=0.9, lr=1e-4)
    return train(work, rows(name), None, rank, lambda _: None).averaged()


def one_of_two(number: int, folder: Path) -> None:
    """What each process does: all models in turn; the first keeps the weights."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", world_size=2, rank=number)
    for name in NAMES:
        found = trained(name, folder / "two", Rank(number, 2, torch.device("cpu")))
        if number == 0:
            (folder / f"{name}.safetensors").write_bytes(tensors_to_bytes(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    processes.spawn(one_of_two, (folder,), nprocs=2)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_train_what_one_does(name: str, by_two: Path, tmp_path: Path) -> None:
    one = trained(name, tmp_path, ALONE)
    two = tensors_from_bytes((by_two / f"{name}.safetensors").read_bytes(), name)
    assert one.keys() == two.keys()
    # a critic's bias moves by the sign of a gradient that is 0 up to rounding (hinge loss); the generator learns by it
    kept = [key for key in one if not key.startswith("critic.")]
    off = {key: float((one[key] - two[key]).abs().max()) for key in kept}
    allowed = {key: 5e-5 + 1e-4 * float(one[key].abs().max()) for key in one}  # 8 steps move a weight by 8e-4
    assert {key: worst for key, worst in off.items() if worst > allowed[key]} == {}
    start = model(name).state_dict()
    assert any(not torch.equal(one[key], start[key]) for key in start)
