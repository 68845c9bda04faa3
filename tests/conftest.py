"""Fixtures shared by all rooms."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None)  # a busy machine is not a failure
settings.load_profile("suite")

TESTS = str(Path(__file__).resolve().parent)
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real data sets in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One local Ray of two CPUs for the whole session, never another cluster that may run on this machine."""
    import ray  # here, so that tests of the lower rooms need no Ray

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p.startswith(TESTS)), prepend=os.pathsep)
        warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves pipes of the processes it starts open
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray Data sets deprecated fields of its own when it copies its context; all other warnings stay errors."""
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(
                pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning:ray\.data\.context")
            )
