"""Manifests of KubeRay and the image: a token everywhere, no root, secrets by reference, versions as locked."""

import re
import shlex
import tomllib
from typing import Any

import pytest
from cluster_files import KUBERAY, ROOT, cluster_spec, leaves, locked, manifest, pods

UNPRIVILEGED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("name", KUBERAY)
def test_the_token_is_on_and_nothing_is_published(name: str) -> None:
    spec = cluster_spec(name)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["enableIngress"] is False
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


@pytest.mark.parametrize("name", KUBERAY)
def test_it_grows_from_no_workers_within_bounds(name: str) -> None:
    spec = cluster_spec(name)
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert 0 < spec["autoscalerOptions"]["idleTimeoutSeconds"] <= 600
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    assert set(groups) == {"cpu", "gpu"}
    for group in groups.values():
        assert (group["replicas"], group["minReplicas"]) == (0, 0)
        assert 0 < group["maxReplicas"] <= 16
    assert spec["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}


@pytest.mark.parametrize("name", KUBERAY)
def test_no_container_is_root_or_may_become_it(name: str) -> None:
    for pod in pods(name).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == UNPRIVILEGED
    assert cluster_spec(name)["autoscalerOptions"]["securityContext"] == UNPRIVILEGED
    with_account = {pod for pod, spec in pods(name).items() if spec.get("automountServiceAccountToken") is not False}
    assert with_account == {"head"}  # for the autoscaler


@pytest.mark.parametrize("name", KUBERAY)
def test_every_container_asks_for_what_it_may_use(name: str) -> None:
    """Equal requests and limits of memory: Ray sizes its object store by the limit."""
    for pod in pods(name).values():
        for container in pod["containers"]:
            asked, limit = container["resources"]["requests"], container["resources"]["limits"]
            assert asked.keys() == limit.keys() >= {"cpu", "memory"}
            if container["name"].startswith("ray-"):
                assert asked == limit
    limits = {kind: pod["containers"][0]["resources"]["limits"] for kind, pod in pods(name).items()}
    assert {kind for kind, limit in limits.items() if "nvidia.com/gpu" in limit} == {"gpu"}


@pytest.mark.parametrize("name", KUBERAY)
def test_the_secret_of_the_storage_is_only_named(name: str) -> None:
    for kind, pod in pods(name).items():
        wanted = None if kind == "submitter" else [{"secretRef": {"name": "lfiw-s3"}}]
        assert pod["containers"][0].get("envFrom") == wanted
    secret = re.compile(r"secret_access_key|auth_token|password|AKIA", re.IGNORECASE)
    assert not [found for found in leaves(manifest(name)) if secret.search(f"{found[0]} {found[1]}")]


@pytest.mark.parametrize("name", KUBERAY)
def test_workers_may_run_on_spot_nodes_and_only_those_with_a_gpu_on_its_nodes(name: str) -> None:
    keys = {kind: {t["key"] for t in pod.get("tolerations", [])} for kind, pod in pods(name).items()}
    assert {"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"} <= keys["cpu"]
    assert keys["gpu"] == keys["cpu"] | {"nvidia.com/gpu"}
    assert not keys["head"]


def test_a_job_runs_on_the_cluster_that_one_may_also_start_alone() -> None:
    assert cluster_spec("rayjob") == cluster_spec("raycluster")


def test_the_job_s_program_and_its_flags_are_there() -> None:
    spec = manifest("rayjob")["spec"]
    python, program, *flags = shlex.split(spec["entrypoint"])
    config = flags[0].removeprefix("--config=")
    for path in (program, config):
        assert (ROOT / path.removeprefix("/home/ray/lfiw-ray/")).is_file()
    assert python == "python"
    assert flags[1].startswith("--run=s3://")
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["activeDeadlineSeconds"] > 0


def test_only_the_cluster_s_pods_and_the_operator_reach_it() -> None:
    policy = manifest("network-policy")["spec"]
    label = {"app.kubernetes.io/part-of": "lfiw-ray"}
    assert policy["podSelector"]["matchLabels"] == label
    assert policy["policyTypes"] == ["Ingress"]
    inside, operator = policy["ingress"]
    assert inside == {"from": [{"podSelector": {"matchLabels": label}}]}
    assert operator["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert [port["port"] for port in operator["ports"]] == [8265]
    for name in KUBERAY:
        spec = cluster_spec(name)
        templates = [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]
        assert all(template["metadata"]["labels"] == label for template in templates)
    assert manifest("rayjob")["spec"]["submitterPodTemplate"]["metadata"]["labels"] == label


def test_versions_are_those_of_the_lock_and_of_the_package() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in KUBERAY:
        assert cluster_spec(name)["rayVersion"] == locked()["ray"]
        images = {container["image"] for pod in pods(name).values() for container in pod["containers"]}
        assert images == {f"YOUR_REGISTRY/lfiw-ray:{project['version']}"}
    assert f"lfiw-ray:{project['version']} ." in (ROOT / "cluster" / "Dockerfile").read_text()


def test_the_image_installs_the_lock_from_files_that_are_there_and_drops_root() -> None:
    text = (ROOT / "cluster" / "Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    python = re.search(r"^FROM python:(\d+)\.(\d+)-slim", text, re.MULTILINE)
    assert python
    assert tuple(map(int, python.groups())) >= (3, 11)
    copied = [path for line in lines if line.startswith("COPY ") for path in line.split()[1:-1]]
    assert {"constraints.txt", "pyproject.toml", "lfiw_ray", "jobs"} <= set(copied)
    assert all((ROOT / path).exists() for path in copied)
    installs = [line for line in lines if "pip install" in line]
    assert installs == ["RUN pip install --no-cache-dir --constraint constraints.txt --editable ."]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 1000"]
    assert lines[-1] == "USER 1000"
    assert "RAY_AUTH_MODE=token" in text
