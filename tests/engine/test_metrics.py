"""Metrics of a pool on a local Ray, as Prometheus would scrape them; and nothing where there is no Ray."""

import math
import re
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from pool_toys import Toy, WeighingToy

from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine import metrics
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.watch import Watch
from lfiw_ray.errors import ShardError

_WAIT_S = 60.0  # Ray's processes report every ten seconds
POOL = PoolConfig(cpus_per_actor=0.25)
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped() -> tuple[Series, dict[str, str]]:
    """Our metrics summed over processes, and the type of each, as the endpoint of this node has them now."""
    port = next(node["MetricsExportPort"] for node in ray.nodes() if node["Alive"])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: Series = {}
    for name, labels, value in re.findall(r"^(ray_lfiw_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if pairs["ray_job"] == ray.get_runtime_context().get_job_id():
            ours = {k: v for k, v in pairs.items() if k in ("work", "step", "weights", "stage", "model", "loss", "le")}
            key = name, tuple(sorted(ours.items()))
            found[key] = found.get(key, 0.0) + float(value)
    return found, dict(re.findall(r"^# TYPE (ray_lfiw_\w+) (\w+)$", text, re.MULTILINE))


def of(series: Series, name: str, **labels: str) -> float | None:
    return series.get((f"ray_{name}", tuple(sorted(labels.items()))))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_pool_is_counted_where_the_work_is_done(tmp_path: Path) -> None:
    """Two pools; the second refuses a shard, and gives weights of which the largest are heavy."""
    steps = [
        Step("generate", Toy(tmp_path), POOL, 0.0),
        Step("score", WeighingToy(), POOL, 0.0),
    ]
    with Watch("toy stage"):
        totals = run_shards("toys", range(8), steps)
        with pytest.raises(ShardError):
            run_shards("refused", range(2), [Step("score", Toy(tmp_path, "no", refuses=1), POOL, 0.0)])
        rows = int(totals["generate_rows"])
        expected = {
            ("lfiw_samples_generated_total", ("work", "toys")): rows,
            ("lfiw_samples_scored_total", ("work", "toys")): 8 * 8192,
            ("lfiw_rows_total", ("work", "toys"), ("step", "generate")): rows,
            ("lfiw_written_bytes_total", ("work", "toys"), ("step", "score")): 800,
            ("lfiw_shard_seconds_count", ("work", "toys"), ("step", "score")): 8,
            ("lfiw_shard_seconds_bucket", ("work", "toys"), ("step", "score"), ("le", "+Inf")): 8,
            ("lfiw_failed_shards_total", ("work", "refused"), ("step", "score")): 1,
            ("lfiw_shards_wanted", ("work", "toys")): 8,
            ("lfiw_shards_done", ("work", "toys")): 8,
            ("lfiw_weighed_rows", ("weights", metrics.SO_FAR)): 8 * 8192,
            ("lfiw_ess_rows", ("weights", metrics.SO_FAR)): 4 * 8192,
            ("lfiw_stage_running", ("stage", "toy stage")): 1,
        }
        end, wrong = time.monotonic() + _WAIT_S, dict(expected)
        while wrong and time.monotonic() < end:
            time.sleep(0.5)
            series, types = scraped()
            wrong = {key: of(series, key[0], **dict(key[1:])) for key in expected}
            wrong = {k: v for k, v in wrong.items() if v is None or not math.isclose(v, expected[k], rel_tol=1e-6)}
    assert not wrong
    assert types["ray_lfiw_rows_total"] == "counter"
    assert types["ray_lfiw_shard_seconds"] == "histogram"
    assert types["ray_lfiw_ess_rows"] == "gauge"
    assert of(series, "lfiw_rows_per_second", work="toys") > 0


def test_what_is_forgotten_is_not_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that asked Ray for its job after the end would start another Ray."""
    sets: list[float] = []
    monkeypatch.setattr(metrics, "AGAIN_S", 0.01)
    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(metrics, "_job", lambda: {metrics.JOB: "01"})
    gauge = SimpleNamespace(set=lambda value, labels: sets.append(value))  # noqa: ARG005
    monkeypatch.setattr(metrics, "_ray_metric", lambda name: gauge)  # noqa: ARG005
    shown = metrics._Shown()
    shown.show("lfiw_k_hat", 0.5, {metrics.JOB: "01"})
    while len(sets) < 3:
        time.sleep(0.005)
    shown.forget()
    known = len(sets)
    time.sleep(0.1)
    assert sets == [0.5] * known
