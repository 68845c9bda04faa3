"""Runs of the tiny job on a cluster of several nodes and an S3 server, with faults at moments drawn from a seed.

A run is started, disturbed, started again when it was ended, until it finishes; then its tables are compared with those
of an undisturbed run on a disk.  Which fault comes when is a function of (seed, number of the fault).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import psutil
from many_nodes import ManyNodes
from tally import Tally, rows_of, that_differ
from tiny_run import CONFIG, TABLES, Driver, digests
from weed import Weed

from lfiw_ray.core.noise import generator

KINDS = ("actor", "trainer", "node", "driver", "storage", "full_store", "slow_node")
_MAX_RESUMES = 40  # of one run
_POLL_S = 0.05
_RUN_S = 900.0


class Settings(NamedTuple):
    """What a campaign does.  `gap_s` are the shortest and the longest time between two faults."""

    num_faults: int
    seed: int
    gap_s: tuple[float, float]
    kinds: tuple[str, ...] = KINDS
    limit_s: float = 1800.0


class Campaign:
    """Injects faults and counts."""

    def __init__(self, settings: Settings, nodes: ManyNodes, server: Weed, config: Path, reference: Path):
        self._settings, self._nodes, self._server, self._config = settings, nodes, server, config
        self._reference = digests(reference)
        self._fs = fsspec.filesystem(
            "s3", key=server.key, secret=server.secret, endpoint_url=server.endpoint, use_listings_cache=False
        )
        self._driver: Driver | None = None
        self.tally = Tally()

    def run(self, folder: Path) -> Tally:
        """Runs until there were enough faults or the time is over; the last one is finished undisturbed."""
        end = time.monotonic() + self._settings.limit_s
        self._server.make_bucket("faults")
        while self._wants_more() and time.monotonic() < end:
            self._one_run(f"faults/run-{self.tally.runs:03d}", folder / f"run-{self.tally.runs:03d}", end)
            self.tally.runs += 1
        return self.tally

    def long_run(self, root: str, num_samples: int) -> None:
        """A run of a large pool that nothing disturbs: its processes live long enough for their memory to tell."""
        self._driver = Driver(
            self._config, f"s3://{root}", f"--generate.num_samples={num_samples}", address=self._nodes.address
        )
        try:
            code = self._disturbed(root, [], {}, end=0.0)
            print(f"{root}: {num_samples} samples, exit code {code}", flush=True)
            self.tally.unclear_failures += code != 0
        finally:
            self._driver.close()

    def watched(self) -> Iterator[tuple[str, psutil.Process]]:
        """Processes whose memory is to stay flat: the driver and the actors."""
        driver = self._driver
        if driver is not None and driver.is_alive():
            yield "driver", psutil.Process(driver.pid)
        for process in self._nodes.workers("MapWorker"):
            yield "actor", process

    def _wants_more(self) -> bool:
        return self.tally.injected.total() < self._settings.num_faults

    def _one_run(self, root: str, copy: Path, end: float) -> None:
        done: dict[str, object] = {}
        faults: list[str] = []
        flags = ["--classifier.train.num_workers=1"] if "trainer" in self._settings.kinds else []
        for _ in range(_MAX_RESUMES):
            self._driver = Driver(self._config, f"s3://{root}", *flags, address=self._nodes.address)
            try:
                code = self._disturbed(root, faults, done, end)
                self.tally.unclear_failures += code not in (0, 1, 2, None) or "Traceback" in self._driver.err
                if code == 0:
                    break
                print(f"resumed after {code}: {self._driver.err[-300:]}", flush=True)
                self.tally.resumes += 1
            finally:
                self._driver.close()
        else:
            raise AssertionError(f"{root} did not finish after {_MAX_RESUMES} resumes")
        self._judge(root, copy, faults, done)

    def _disturbed(self, root: str, faults: list[str], done: dict[str, object], end: float) -> int | None:
        """Faults while a driver runs; its exit code, or None when a fault ended it."""
        driver, limit = self._driver, time.monotonic() + _RUN_S
        assert driver is not None
        while True:
            rng = generator(self._settings.seed, "faults", self.tally.injected.total())
            low, high = self._settings.gap_s
            moment = time.monotonic() + low + (high - low) * float(rng.random())
            while time.monotonic() < moment or not self._wants_more() or moment > end:
                if not driver.is_alive():
                    return driver.finish()
                assert time.monotonic() < limit, f"{root} hangs:\n{driver.out[-2000:]}\n{driver.err[-2000:]}"
                time.sleep(_POLL_S)
            kind = self._next_kind()
            done.update({name: when for name, when in self._marks(root).items() if name not in done})
            if self._inject(kind, int(rng.integers(2**31))):
                print(f"{time.strftime('%H:%M:%S')} {root}: {kind}", flush=True)
                self.tally.injected[kind] += 1
                faults.append(kind)
            if kind == "driver":
                return None

    def _next_kind(self) -> str:
        """Every kind once, in an order of the seed's, before any comes again."""
        turn, place = divmod(self.tally.injected.total(), len(self._settings.kinds))
        order = generator(self._settings.seed, "kinds of faults", turn).permutation(len(self._settings.kinds))
        return self._settings.kinds[order[place]]

    def _inject(self, kind: str, draw: int) -> bool:
        """Do it; False when there is nothing to do it to at the moment."""
        simple: dict[str, Callable[[], object]] = {
            "node": lambda: self._nodes.kill_node(draw),
            "slow_node": lambda: self._nodes.stop_node(draw, seconds=4.0),
            "full_store": lambda: self._nodes.fill_store(seconds=2.0),
            "storage": self._restart_server,
            "driver": self._kill_driver,
        }
        if kind in simple:
            simple[kind]()
            return True
        victims = self._nodes.workers({"actor": "MapWorker", "trainer": "RayTrainWorker"}[kind])
        if not victims:
            return False
        victims[draw % len(victims)].kill()
        return True

    def _kill_driver(self) -> None:
        assert self._driver is not None
        self._driver.kill()

    def _restart_server(self) -> None:
        self._server.kill()
        time.sleep(1.0)
        self._server.start()

    def _marks(self, root: str) -> dict[str, object]:
        """When each done mark of the tables was written."""
        found = {}
        for table in TABLES:
            for one in self._fs.find(f"{root}/{table}", detail=True).values():
                if one["name"].endswith(".json"):
                    found[one["name"]] = one["LastModified"]
        return found

    def _judge(self, root: str, copy: Path, faults: list[str], done: dict[str, object]) -> None:
        self._fs.get(root, str(copy), recursive=True)
        lost, double = rows_of(copy / "samples", CONFIG["generate"]["num_samples"])
        differ = that_differ(digests(copy), self._reference)
        after = self._marks(root)
        redone = sum(after.get(name) != when for name, when in done.items())
        self.tally.rows_lost += lost
        self.tally.rows_double += double
        self.tally.files_that_differ += differ
        self.tally.redone += redone
        if not (lost or double or differ):
            self.tally.survived.update(faults)
        print(
            f"{root}: {len(faults)} faults; lost {lost}, double {double}, differ {differ}, redone {redone}", flush=True
        )
