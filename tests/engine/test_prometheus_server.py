"""A real Prometheus with the shipped files scrapes a real Ray: every expression is answered, every rule is healthy."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from pool_toys import Toy, WeighingToy
from prometheus_files import FOLDER, expressions, program

from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.watch import Watch

_WAIT_S = 60.0


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A real server on loopback with the shipped files, which scrapes this test's Ray every second; its address."""
    ports = [f"127.0.0.1:{node['MetricsExportPort']}" for node in ray.nodes() if node["Alive"]]
    (tmp_path / "targets.json").write_text(json.dumps([{"labels": {"job": "ray"}, "targets": ports}]))
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["file_sd_configs"] = [{"files": [str(tmp_path / "targets.json")]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program("prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--storage.tsdb.path={tmp_path}/data"], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        server.kill()
        server.wait()


def asked(server: str, expression: str) -> Any:
    """The result of an instant query; None while the server starts."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{server}/api/v1/query?{query}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as err:
        if err.code == 503:
            return None
        raise
    except urllib.error.URLError:
        return None


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_real_prometheus_answers_from_a_real_ray(prometheus: str, tmp_path: Path) -> None:
    pool = PoolConfig(cpus_per_actor=0.25)
    steps = [Step("generate", Toy(tmp_path), pool, 0.0), Step("score", WeighingToy(), pool, 0.0)]
    with Watch("toy stage"):
        rows = run_shards("scraped", range(4), steps)["generate_rows"]
        end, found = time.monotonic() + _WAIT_S, None
        mine = f'{{ray_job="{ray.get_runtime_context().get_job_id()}", work="scraped"}}'
        while not found and time.monotonic() < end:
            time.sleep(0.5)
            found = asked(prometheus, f"sum(ray_lfiw_samples_generated_total{mine}) == {rows}")
        assert found, (tmp_path / "log").read_text()
        answers = {where: asked(prometheus, text) for where, text in expressions().items()}
    assert None not in answers.values()
    for where in ("panel Stage A", "panel Samples scored A", "panel ESS A", "panel Free disk A", "panel CPU A"):
        assert answers[where], f"{where} has no data"
    assert answers["panel Stage A"][0]["metric"] == {"stage": "toy stage"}
    rules = urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=10)
    with rules:
        health = {r["name"]: r["health"] for g in json.load(rules)["data"]["groups"] for r in g["rules"]}
    assert set(health.values()) == {"ok"}
