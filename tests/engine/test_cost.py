"""What a run was expected to take, what it took, and what that cost; no cluster."""

from pathlib import Path

import pytest

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_cost import CostConfig
from lfiw_ray.engine import cost, watch
from lfiw_ray.engine.cost import cost_lines, expected, money, note_estimate, stage_costs
from lfiw_ray.engine.estimate_time import Time
from lfiw_ray.engine.run import Run, prepare
from lfiw_ray.engine.watch import NodeSeconds, Watch
from lfiw_ray.store import timings
from lfiw_ray.store.folder import Folder

TIMES = [
    Time("generator", 1234.0, "for at most 10 steps on 1 worker(s)"),
    Time("4 classifiers", 60.0, "for at most 10 steps on 1 worker(s)"),
    Time("score", 75.0, "at 1,300 rows/s an actor, 1 actor(s)"),
    Time("generate", 20.0, "at 5,000 rows/s an actor, 1 actor(s)"),
    Time("embed random", 4.0, "at 1,000 rows/s an actor, 1 actor(s)"),
    Time("embed domain", 2.0, "at 2,000 rows/s an actor, 1 actor(s)"),
    Time("embed inception", None, ", since a dry run downloads no weights"),
]


def run_of(folder: Path, **prices: object) -> Run:
    return prepare(PipelineConfig(run=str(folder), cost=CostConfig(**prices)))[0]  # type: ignore[arg-type]


def watched(stage: str, seconds: float, nodes: NodeSeconds) -> Watch:
    found = Watch(stage)
    found.seconds, found.nodes = seconds, nodes
    return found


def test_an_estimate_is_read_by_stage() -> None:
    pool = {"samples and weights": 75.0}
    assert expected(TIMES) == {"generator": 1234.0, "classifier": 60.0, "evaluation": 6.0} | pool


def test_money_is_node_hours_times_price() -> None:
    both = CostConfig(cpu_node_per_hour=0.5, gpu_node_per_hour=4.0)
    assert money(NodeSeconds(7200.0, 1800.0), both) == pytest.approx(1.0 + 2.0)
    assert money(NodeSeconds(7200.0, 0.0), CostConfig(cpu_node_per_hour=0.5)) == pytest.approx(1.0)
    assert money(NodeSeconds(7200.0, 1800.0), CostConfig(cpu_node_per_hour=0.5)) is None
    assert money(NodeSeconds(), both) is None


def test_the_truth_stands_beside_the_estimate(tmp_path: Path) -> None:
    run = run_of(tmp_path, cpu_node_per_hour=1.0, currency="EUR")
    folder = Folder(run.url)
    timings.add(folder, "generator", 50.0, cost.ESTIMATE)
    cost.add(folder, "generator", watched("generator", 100.0, NodeSeconds(200.0, 0.0)))
    cost.add(folder, "generator", watched("generator", 20.0, NodeSeconds(160.0, 0.0)))  # resumed
    cost.add(folder, "evaluation", watched("evaluation", 7.0, NodeSeconds(7.0, 7.0)))
    run.folder("samples").write("00000.parquet", bytes(1_500_000))
    assert [tuple(one) for one in stage_costs(run)] == [
        ("generator", 120.0, 50.0, 0.1),
        ("evaluation", 7.0, None, None),
    ]
    assert cost_lines(run) == [
        "time         2 min in all; of which (estimated): generator 2 min (50 s)",
        "storage      1.5 MB in the run folder",
        "cost         0.10 EUR for the nodes that were there; 1 stages without: a kind of node has no price",
    ]
    assert len(cost_lines(run_of(tmp_path))) == 2  # no price, no word of money


def test_a_watch_adds_up_nodes_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, alive = iter([0.0, 10.0, 30.0, 30.0]), iter([(1, 0), (2, 3)])
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(watch, "nodes_alive", lambda: next(alive))
    monkeypatch.setattr(Watch, "_count", Watch.count_once)
    with Watch("generator") as found:
        pass
    assert found.nodes == NodeSeconds(10.0 + 2 * 20.0, 3 * 20.0)
    assert found.seconds == 30.0


def test_an_estimate_is_made_once_before_the_first_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(cost, "times", lambda run: asked.append(run.url) or TIMES)
    assert note_estimate(run_of(tmp_path / "off")) == []
    begun = run_of(tmp_path / "begun", estimate=True)
    timings.add(Folder(begun.url), "generator", 1.0)
    assert note_estimate(begun) == []
    assert asked == []
    fresh = run_of(tmp_path / "fresh", estimate=True)
    lines = note_estimate(fresh)
    assert lines[0] == "time         generator    about 1,234 s for at most 10 steps on 1 worker(s)"
    assert lines[-1] == "time         embed inception: not estimated, since a dry run downloads no weights"
    assert note_estimate(fresh) == []
    assert timings.read(Folder(fresh.url), cost.ESTIMATE)["generator"] == 1234.0
