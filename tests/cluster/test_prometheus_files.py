"""Dashboard, alerts and configuration of Prometheus: they name what the code exports, and promtool takes them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_files import ALERTS, DASHBOARD, FOLDER, ROOT, expressions, program

from lfiw_ray.engine.metrics import JOB, METRICS, PREFIX

RULE_TESTS = Path(__file__).with_name("prometheus_alerts_test.yml")
RAYS_OWN = {"ray_node_disk_free", "ray_node_disk_usage", "ray_node_cpu_utilization"}
NODE = "NodeAddress"  # the label that Ray gives them


def exported(name: str) -> str | None:
    """The metric of ours that a series belongs to."""
    plain = name.removeprefix(PREFIX)
    base = re.sub(r"_(bucket|sum|count)$", "", plain)
    if plain in METRICS and METRICS[plain].kind != "histogram":
        return plain
    return base if base != plain and base in METRICS and METRICS[base].kind == "histogram" else None


def unknown(text: str) -> set[str]:
    """Metrics that nobody exports, and labels that none of the metrics of an expression has."""
    names = set(re.findall(rf"\b{PREFIX}\w+", text)) - {JOB}
    known = {name: exported(name) for name in names}
    labels = {JOB, NODE, *(["le"] if any(name.endswith("_bucket") for name in names) else [])}
    labels |= {label for metric in known.values() if metric for label in METRICS[metric].labels}
    asked = {label.strip() for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", text) for label in group.split(",")}
    asked |= set(re.findall(r"(\w+)=~?\"", text))
    return {name for name, metric in known.items() if not metric and name not in RAYS_OWN} | (asked - labels)


@pytest.mark.parametrize("where", expressions())
def test_every_expression_names_what_is_exported(where: str) -> None:
    text = expressions()[where]
    assert PREFIX in text
    assert unknown(text) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sum(ray_lfiw_rows)", {"ray_lfiw_rows"}),
        ("sum(ray_lfiw_shard_seconds)", {"ray_lfiw_shard_seconds"}),
        ("sum(ray_lfiw_rows_total_bucket)", {"ray_lfiw_rows_total_bucket"}),
        ("ray_node_disk_size", {"ray_node_disk_size"}),
        ("sum by (job) (ray_lfiw_rows_total)", {"job"}),
        ('ray_lfiw_k_hat{step="score"}', {"step"}),
        ("sum by (le) (rate(ray_lfiw_shard_seconds_bucket[5m]))", set()),
    ],
)
def test_a_wrong_name_is_noticed(text: str, found: set[str]) -> None:
    assert unknown(text) == found


def test_every_metric_is_set_somewhere_and_shown_on_the_dashboard() -> None:
    sources = [path.read_text() for path in (ROOT / "lfiw_ray").rglob("*.py") if path.name != "metrics.py"]
    sources.append((ROOT / "lfiw_ray" / "engine" / "metrics.py").read_text().partition("def count")[2])
    assert set(re.findall(r'"(lfiw_(?!ray")[a-z_]+)"', "\n".join(sources))) == set(METRICS)
    shown = "\n".join(t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"])
    assert set(re.findall(rf"{PREFIX}(lfiw_\w+)", shown)) >= {
        name if metric.kind != "histogram" else f"{name}_bucket" for name, metric in METRICS.items()
    }


def test_names_and_units_follow_prometheus_conventions() -> None:
    for name, metric in METRICS.items():
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert re.fullmatch(r".+, .+", metric.about), f"{name} names no unit"


def test_the_dashboard_fits_together() -> None:
    ids, places = [p["id"] for p in DASHBOARD["panels"]], [p["gridPos"] for p in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", JOB}
    assert DASHBOARD["uid"] == "lfiw-ray"


def promtool(*arguments: str, folder: Path = FOLDER) -> str:
    done = subprocess.run([program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_files() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
    assert f"{sum(len(group['rules']) for group in ALERTS['groups'])} rules found" in promtool(
        "check", "rules", "alerts.yml"
    )


def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    for file in (RULE_TESTS, FOLDER / "alerts.yml"):
        shutil.copy(file, tmp_path)
    promtool("test", "rules", RULE_TESTS.name, folder=tmp_path)
    tested = RULE_TESTS.read_text()
    assert all(rule["alert"] in tested for group in ALERTS["groups"] for rule in group["rules"])
