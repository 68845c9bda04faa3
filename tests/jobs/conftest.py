"""One undisturbed run, and drivers that are tidied up."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_run import Driver, Undisturbed, write_config


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration file of the tiny run; its data lie beside it."""
    return write_config(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def undisturbed(tiny_config: Path) -> Undisturbed:
    """The whole job, once."""
    run = tiny_config.parent / "undisturbed"
    driver = Driver(tiny_config, run)
    try:
        assert driver.finish() == 0, driver.err
        return Undisturbed(tiny_config, run, driver.out)
    finally:
        driver.close()


@pytest.fixture
def start(tiny_config: Path) -> Iterator[Callable[..., Driver]]:
    """Starts drivers: `start(run_folder, *flags, job=...)`."""
    drivers: list[Driver] = []

    def start_one(run: Path, *flags: str, job: str = "full_pipeline.py") -> Driver:
        drivers.append(Driver(tiny_config, run, *flags, job=job))
        return drivers[-1]

    yield start_one
    for driver in drivers:
        driver.close()
