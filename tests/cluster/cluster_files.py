"""The files under cluster/ as Python values, and the texts of commands in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ("aws", "gcp", "local")  # of Ray's own cluster launcher
KUBERAY = ("raycluster", "rayjob")


def launcher(name: str) -> dict[str, Any]:
    """A file of Ray's cluster launcher."""
    return _read(f"cluster/{name}.yaml")


def manifest(name: str) -> dict[str, Any]:
    """A file of KubeRay."""
    return _read(f"cluster/kuberay/{name}.yaml")


def _read(path: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / path).read_text())
    return values


def cluster_spec(name: str) -> dict[str, Any]:
    """The RayCluster's specification in a manifest."""
    spec: dict[str, Any] = manifest(name)["spec"]
    return spec.get("rayClusterSpec", spec)  # type: ignore[no-any-return]


def pods(name: str) -> dict[str, dict[str, Any]]:
    """Specification of each kind of pod that a manifest makes, by name."""
    spec = cluster_spec(name)
    found = {"head": spec["headGroupSpec"]["template"]["spec"]}
    found |= {group["groupName"]: group["template"]["spec"] for group in spec["workerGroupSpecs"]}
    submitter = manifest(name)["spec"].get("submitterPodTemplate")
    return found | ({"submitter": submitter["spec"]} if submitter else {})


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every scalar."""
    if isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from leaves(value, f"{path}.{key}")
    else:
        yield path, values


def locked() -> dict[str, str]:
    """Version of each package in constraints.txt, by normalised name."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in (line.split("==") for line in lines)}
