"""The whole job with its run folder in a bucket, started as a user starts it: the same tables as on a disk."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from faulty_proxy import Faults, FaultyProxy
from tiny_run import CLOCKS, Driver, Undisturbed, digests
from weed import Weed

pytestmark = [pytest.mark.ray, pytest.mark.slow]  # minutes: a request for every small file of every stage

SWEEP = (
    *("--sweep.inputs=[own]", "--sweep.calibrators=[platt, isotonic]", "--sweep.alphas=[0.5]", "--sweep.tails=[none]"),
    *("--sweep.schemes=[sir]", "--sweep.ks=[200]", "--sweep.extractor=random"),
    *("--sweep.num_validation_pools=2", "--sweep.num_test_pools=2"),
)


class Bucket:
    """A run folder in a bucket, seen by a program that knows nothing of ours."""

    def __init__(self, server: Weed, name: str):
        server.make_bucket(name)
        self.url, self._root = f"s3://{name}/run", f"{name}/run"
        self._fs = fsspec.filesystem(
            "s3", key=server.key, secret=server.secret, endpoint_url=server.endpoint, use_listings_cache=False
        )

    def digests(self, copy: Path) -> dict[str, str]:
        """As `tiny_run.digests`, by way of a copy."""
        self._fs.get(self._root, str(copy), recursive=True)
        return digests(copy)

    def written(self) -> dict[str, Any]:
        """When each object was last written, but for the page and the clocks."""
        found = self._fs.find(self._root, detail=True)
        return {name: one["LastModified"] for name, one in found.items() if name.rsplit("/", 1)[1] not in CLOCKS}


@pytest.fixture
def faulty(weed: Weed, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Every thirtieth request of the jobs that are started meets a fault of some kind."""
    between = FaultyProxy(weed.port, Faults(0.033, seed=5))
    for name, value in weed.environment(between.endpoint).items():
        monkeypatch.setenv(name, value)
    yield between
    between.close()


def test_every_stage_works_in_a_bucket_with_failing_requests_and_a_second_call_does_nothing_again(
    start: Callable[..., Driver], weed: Weed, faulty: FaultyProxy, undisturbed: Undisturbed, tmp_path: Path
):
    bucket = Bucket(weed, "whole-run")
    first = start(bucket.url)
    assert first.finish() == 0, first.err
    assert sum(faulty.injected.values()) > 10
    assert len(faulty.injected) >= 4
    assert bucket.digests(tmp_path / "copy") == digests(undisturbed.run)
    before = bucket.written()
    time.sleep(1)  # the server's clock counts seconds
    second = start(bucket.url)
    assert second.finish() == 0, second.err
    assert bucket.written() == before
    for driver in (first, second):
        assert weed.secret not in driver.out + driver.err


def test_ray_train_and_ray_tune_keep_their_state_in_the_bucket(
    start: Callable[..., Driver], weed: Weed, undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in weed.environment().items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(weed, "ray-storage")
    driver = start(bucket.url, "--classifier.train.num_workers=1")
    assert driver.finish() == 0, driver.err
    assert bucket.digests(tmp_path / "copy") == digests(undisturbed.run)
    assert any("/classifier/ray_train/" in name for name in bucket.written())
    sweep = start(bucket.url, "--classifier.train.num_workers=1", *SWEEP, job="sweep_evaluation.py")
    assert sweep.finish() == 0, sweep.err
    assert any("/sweep/tune/sweep-" in name for name in bucket.written())


def test_the_server_dies_in_mid_run_for_good_and_the_next_call_resumes(
    start: Callable[..., Driver], start_weed: Callable[[], Weed], undisturbed: Undisturbed, tmp_path: Path, monkeypatch
):
    server = start_weed()
    bucket = Bucket(server, "dying")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    driver = start(bucket.url)
    driver.wait_for_stage("samples and weights")
    driver.wait_until(lambda: [name for name in bucket.written() if name.endswith("samples/00000.json")])
    server.kill()
    assert driver.finish() == 2, driver.out + driver.err
    assert "error: cannot " in driver.err
    assert "finished shards are kept" in driver.err
    assert "Traceback" not in driver.err
    server.start()
    before = bucket.written()
    again = start(bucket.url)
    assert again.finish() == 0, again.err
    assert bucket.digests(tmp_path / "copy") == digests(undisturbed.run)
    after = bucket.written()
    assert {name: after[name] for name in before if name.endswith(".json")} == {
        name: when for name, when in before.items() if name.endswith(".json")
    }
