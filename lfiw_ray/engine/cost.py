"""What a run was expected to take, what it took, and what that cost.

| file of the run folder | contents |
|---|---|
| `estimate.json` | seconds by stage, as `--dry-run` estimates them, measured on the driver before the first stage |
| `timings.json` | seconds by stage, added up over resumes |
| `node_seconds.json` | nodes times seconds, by stage and kind of node (`generator/cpu`), added up over resumes |

A stage is billed for every node that was there while it ran, whether it worked or not.  Money is known where the
configuration gives the price of each kind of node that was there (`cost.cpu_node_per_hour`, `cost.gpu_node_per_hour`).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from lfiw_ray.config_cost import CostConfig
from lfiw_ray.engine.estimate import times
from lfiw_ray.engine.estimate_time import Time
from lfiw_ray.engine.progress import duration
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.watch import NodeSeconds, Watch
from lfiw_ray.store import timings
from lfiw_ray.store.folder import Folder

ESTIMATE, NODES = "estimate.json", "node_seconds.json"
_POOL = "samples and weights"
_STAGES = {"generate": _POOL, "extract": _POOL, "score": _POOL, "classifiers": "classifier", "embed": "evaluation"}


class StageCost(NamedTuple):
    """One stage: seconds, those estimated (None: not estimated), and money (None: a price is not known)."""

    stage: str
    seconds: float
    expected_s: float | None
    money: float | None


def note_estimate(run: Run) -> list[str]:
    """Estimate a run that has not begun, where that is asked for, and keep it; returns the lines for the log.

    Models of the run's size train and sample for a moment: seconds for small ones, minutes for the slowest.
    """
    folder = Folder(run.url)
    if not run.config.cost.estimate or folder.exists(ESTIMATE) or folder.exists(timings.NAME):
        return []
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):  # models are built to be measured
        found = times(run)
    torch.set_num_threads(threads)
    for stage, seconds in expected(found).items():
        timings.add(folder, stage, seconds, ESTIMATE)
    return [time.line for time in found]


def expected(times: Iterable[Time]) -> dict[str, float]:
    """Seconds by stage; steps of the pool overlap, so that the slowest counts, and feature spaces follow each other."""
    found: dict[str, float] = {}
    for step, seconds, _ in times:
        (name, *_) = [word for word in step.split() if not word.isdigit()]
        stage = _STAGES.get(name, name)
        if seconds is not None:
            found[stage] = max(found.get(stage, 0.0), seconds) if stage == _POOL else found.get(stage, 0.0) + seconds
    return found


def add(run_folder: Folder, stage: str, watch: Watch) -> None:
    """Note what a stage took."""
    timings.add(run_folder, stage, watch.seconds)
    for kind, seconds in watch.nodes._asdict().items():
        if seconds:
            timings.add(run_folder, f"{stage}/{kind}", seconds, NODES)


def stage_costs(run: Run) -> list[StageCost]:
    """The stages so far, in their order."""
    folder = Folder(run.url)
    guessed, nodes = timings.read(folder, ESTIMATE), timings.read(folder, NODES)
    found = []
    for stage, seconds in timings.read(folder).items():
        there = NodeSeconds(*(nodes.get(f"{stage}/{kind}", 0.0) for kind in NodeSeconds._fields))
        found.append(StageCost(stage, seconds, guessed.get(stage), money(there, run.config.cost)))
    return found


def money(nodes: NodeSeconds, prices: CostConfig) -> float | None:
    """Price of node seconds; None where no node was counted, or a price is not known."""
    pairs = list(zip(nodes, (prices.cpu_node_per_hour, prices.gpu_node_per_hour), strict=True))
    known = [seconds / 3600 * price for seconds, price in pairs if price is not None]
    if not sum(nodes) or any(seconds and price is None for seconds, price in pairs):
        return None
    return sum(known)


def stored_bytes(run: Run) -> dict[str, int]:
    """Bytes in the folder of each stage that has one."""
    sizes = {stage: sum(run.folder(stage).sizes().values()) for stage in run.plans}
    return {stage: size for stage, size in sizes.items() if size}


def cost_lines(run: Run) -> list[str]:
    """What the stages took against the estimate, what lies in the run folder, and what it cost."""
    found, stored = stage_costs(run), sum(stored_bytes(run).values())
    total = sum(one.seconds for one in found)
    guessed = [
        f"{one.stage} {duration(one.seconds)} ({duration(one.expected_s)})"
        for one in found
        if one.expected_s is not None
    ]
    against = f"; of which (estimated): {', '.join(guessed)}" if guessed else ""
    lines = [f"time         {duration(total)} in all{against}"]
    lines.append(f"storage      {stored / 1e6:,.1f} MB in the run folder")
    paid, prices = [one.money for one in found], run.config.cost
    if prices.cpu_node_per_hour is not None or prices.gpu_node_per_hour is not None:
        known = sum(value for value in paid if value is not None)
        without = paid.count(None)
        lines.append(
            f"cost         {known:,.2f} {prices.currency} for the nodes that were there"
            + (f"; {without} stages without: a kind of node has no price" if without else "")
        )
    return lines
