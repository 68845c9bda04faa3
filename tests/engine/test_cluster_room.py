"""What a cluster has room for: known where nothing adds nodes, endless where an autoscaler does and tells no limit."""

import json
import math
from typing import Any

import pytest

from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine import cluster, experiment, pool
from lfiw_ray.errors import ConfigError


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what Ray says: `told(has, types, limits, second)`."""

    def tell(
        has: dict[str, float],
        types: dict[str, str] | None = None,
        limits: dict[str, int] | None = None,
        second: bool = False,
    ) -> None:
        status = json.dumps({"autoscaler_report": {"node_type_mapping": types}}).encode() if types is not None else None
        monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: has)
        monkeypatch.setattr(cluster.state, "get_max_resources_from_cluster_config", lambda: limits)
        monkeypatch.setattr(cluster, "_internal_kv_get", lambda _: status)
        monkeypatch.setattr(cluster, "is_autoscaler_v2", lambda **_: second)

    return tell


@pytest.mark.parametrize("types", [None, {}, {"ab12": "node_ab12", "cd34": "node_cd34"}])
def test_a_cluster_that_nothing_enlarges_has_what_it_has(told: Any, types: dict[str, str] | None) -> None:
    told({"CPU": 3.0}, types)
    assert cluster.capacity("CPU") == cluster.present("CPU") == 3
    assert cluster.capacity("GPU") == 0
    with pytest.raises(ConfigError, match="num_gpus: each worker is to hold 1 GPU"):
        cluster.check_gpus(1, cluster.capacity("GPU"))


@pytest.mark.parametrize(
    "what",
    [{"types": {"ab12": "head"}}, {"types": {"ab12": "node_cd34"}}, {"second": True}, {"types": {}, "second": True}],
)
def test_an_autoscaler_may_add_anything(told: Any, what: dict[str, Any]) -> None:
    told({}, **what)
    assert cluster.capacity("CPU") == cluster.capacity("GPU") == math.inf
    cluster.check_gpus(1, cluster.capacity("GPU"))
    step = pool.Step("made", lambda: None, PoolConfig(min_actors=8, max_actors=8), 1.0)  # type: ignore[arg-type]
    pool._check_room([step])
    assert experiment.concurrency(7, 1.0) == 7
    assert experiment.concurrency(None) == 1


def test_limits_count_where_they_are_told(told: Any) -> None:
    told({"CPU": 2.0}, {"ab12": "head"}, {"CPU": 32})
    assert (cluster.capacity("CPU"), cluster.capacity("GPU")) == (32, 0)
    told({"CPU": 64.0}, {"ab12": "head"}, {"CPU": 32})
    assert cluster.capacity("CPU") == 64
