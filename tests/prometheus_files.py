"""The shipped files for Prometheus and Grafana, and their expressions, for the tests that read or run them."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "cluster" / "prometheus"
DASHBOARD = json.loads((ROOT / "cluster" / "grafana" / "lfiw_ray.json").read_text())
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text())


def expressions() -> dict[str, str]:
    """Every PromQL expression, by where it stands; the dashboard's variables stand for what they may hold."""
    panels = {f"panel {p['title']} {t['refId']}": t["expr"] for p in DASHBOARD["panels"] for t in p["targets"]}
    rules = {f"alert {r['alert']}": r["expr"] for group in ALERTS["groups"] for r in group["rules"]}
    return {where: text.replace("$ray_job", ".*") for where, text in (panels | rules).items()}


def program(name: str) -> str:
    """Where a program of Prometheus lies; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install prometheus")
    return found
