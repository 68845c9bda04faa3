"""One S3 server for the session, a bucket for each test, and a proxy that injects faults before it."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from faulty_proxy import Faults, FaultyProxy
from weed import Weed, forget_clients

from lfiw_ray.store import patience


@pytest.fixture(scope="session")
def weed(start_weed: Callable[[], Weed]) -> Weed:
    """The server of the session."""
    return start_weed()


@pytest.fixture(scope="session")
def s3_bucket(weed: Weed) -> str:
    """Name of the bucket of the session: a bucket of its own for each test takes a second each."""
    weed.make_bucket("lfiw-tests")
    return "lfiw-tests"


@pytest.fixture
def bucket(weed: Weed, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty place; this process finds the server by its environment alone."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in weed.environment().items():
        monkeypatch.setenv(name, value)
    forget_clients()
    yield f"s3://{s3_bucket}/{uuid.uuid4().hex[:12]}"
    forget_clients()


@pytest.fixture
def proxy(weed: Weed, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Faults], FaultyProxy]]:  # noqa: ARG001
    """Puts a faulty proxy between this process and the server: `proxy(Faults(...))`."""
    proxies: list[FaultyProxy] = []

    def start_one(faults: Faults) -> FaultyProxy:
        proxies.append(FaultyProxy(weed.port, faults))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxies[-1].endpoint)
        forget_clients()
        return proxies[-1]

    yield start_one
    for one in proxies:
        one.close()


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many attempts as ever, at once."""
    monkeypatch.setattr(patience, "WAITS_S", (0.005,) * len(patience.WAITS_S))
