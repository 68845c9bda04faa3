"""Every file of jobs/configs/: valid, in the two sizes of each model, and small enough where it says so."""

from pathlib import Path

import pytest

from lfiw_ray.argv import from_argv
from lfiw_ray.config import PipelineConfig

FOLDER = Path(__file__).parents[2] / "jobs" / "configs"
MODELS = {
    "mnist": ("vae", "iwae", "flow"),
    "fashion_mnist": ("vae", "sngan"),
    "cifar10": ("vae", "pixelcnn", "sngan"),
}
NAMES = [f"{data}_{model}" for data, models in MODELS.items() for model in models]


def read(name: str) -> PipelineConfig:
    return from_argv(["--config", str(FOLDER / f"{name}.yaml")], "", {}).config


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_is_valid_and_says_what_it_is_for(path: Path) -> None:
    config = read(path.stem)
    assert path.read_text().startswith("# ")
    assert config.run.startswith("~/lfiw-ray-runs/")  # a submitted job's own folder is removed
    assert config.run.endswith(path.stem.replace("_", "-"))


def test_no_two_files_share_a_run_folder() -> None:
    runs = [read(path.stem).run for path in FOLDER.glob("*.yaml")]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", ["", "_small"])
def test_a_file_is_of_the_data_and_the_model_in_its_name(name: str, size: str) -> None:
    data, _, model = name.rpartition("_")
    config = read(name + size)
    assert (config.data.name, config.generator.model) == (data.replace("_", "-"), model)


@pytest.mark.parametrize("name", NAMES)
def test_the_small_one_is_less_work(name: str) -> None:
    full, small = read(name), read(f"{name}_small")
    assert small.generate.num_samples * 10 <= full.generate.num_samples
    assert small.generator.train.epochs * 3 <= full.generator.train.epochs
    assert small.generate.num_samples >= small.evaluate.num_repeats * (small.evaluate.num_rows or 10**9)
    assert small.num_gpus == 0
