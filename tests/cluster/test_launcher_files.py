"""Files of Ray's cluster launcher: Ray's own schema takes them; nothing is open, everything is bounded and locked."""

import copy
from typing import Any

import pytest
from cluster_files import LAUNCHER, ROOT, launcher, leaves
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

CLOUDS = ("aws", "gcp")
EVERYBODY = ("0.0.0.0", "::/0")


def prepared(name: str) -> dict[str, Any]:
    """A file with Ray's defaults filled in, as `ray up` reads it."""
    values: dict[str, Any] = prepare_config(launcher(name))
    return values


def workers(name: str) -> dict[str, dict[str, Any]]:
    """Groups other than the head."""
    values = launcher(name)
    return {k: v for k, v in values["available_node_types"].items() if k != values["head_node_type"]}


def start_commands(name: str) -> list[str]:
    values = prepared(name)
    commands = [*values["head_start_ray_commands"], *values["worker_start_ray_commands"]]
    found = [command for command in commands if "ray start" in command]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_accepts_the_file(name: str) -> None:
    validate_config(prepared(name))


@pytest.mark.parametrize(
    ("path", "value"),
    [(("idle_timeout_minute",), 5), (("auth", "ssh_usr"), "me"), (("available_node_types", "cpu", "max_worker"), 1)],
)
def test_a_typing_error_would_be_noticed(path: tuple[str, ...], value: object) -> None:
    values = copy.deepcopy(prepared("aws"))
    inside = values
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    with pytest.raises(ValidationError, match=path[-1]):
        validate_config(values)


@pytest.mark.parametrize("name", LAUNCHER)
def test_nothing_listens_to_strangers(name: str) -> None:
    """Ray's default start commands open the dashboard to the network, and need no token."""
    assert not [found for found in leaves(prepared(name)) if any(word in str(found[1]) for word in EVERYBODY)]
    for command in start_commands(name):
        assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/.ray/auth_token" in command
    head = start_commands(name)[0]
    assert "--dashboard-host=127.0.0.1" in head
    assert "--ray-client-server-port" not in head


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_node_gets_the_token_and_nobody_else_may_read_it(name: str) -> None:
    values = launcher(name)
    assert values["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert values["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"


@pytest.mark.parametrize("name", CLOUDS)
def test_no_node_has_a_public_address_and_ssh_is_a_matter_of_rights(name: str) -> None:
    values = launcher(name)
    assert values["provider"]["use_internal_ips"] is True
    assert values["auth"]["ssh_proxy_use_node_id"] is True
    assert ("ssm start-session" if name == "aws" else "start-iap-tunnel") in values["auth"]["ssh_proxy_command"]
    assert "security_group" not in values["provider"]  # rules would be added to a group that Ray makes


def test_aws_nodes_name_what_ray_would_else_make_too_open() -> None:
    """Without a group Ray makes one that admits ssh from everywhere; without a profile, one with all rights."""
    for group in launcher("aws")["available_node_types"].values():
        node = group["node_config"]
        assert node["SecurityGroupIds"] == ["sg-YOUR_GROUP"]
        assert node["SubnetIds"] == ["subnet-YOUR_SUBNET"]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"])
    profiles = {
        name: group["node_config"]["IamInstanceProfile"]["Name"]
        for name, group in launcher("aws")["available_node_types"].items()
    }
    assert profiles == {"head": "lfiw-ray-head", "cpu": "lfiw-ray-worker", "gpu": "lfiw-ray-worker"}


def test_google_nodes_have_no_address_and_workers_few_rights() -> None:
    for name, group in launcher("gcp")["available_node_types"].items():
        node = group["node_config"]
        assert [list(interface) for interface in node["networkInterfaces"]] == [["subnetwork"]]
        assert "default" not in node["networkInterfaces"][0]["subnetwork"]
        if name != "head":
            assert node["serviceAccounts"][0]["email"].startswith("lfiw-ray-worker@")


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_are_spot_nodes_with_a_bound_and_the_head_is_not(name: str) -> None:
    values = launcher(name)
    assert values["max_workers"] == sum(group["max_workers"] for group in workers(name).values())
    assert 0 < values["idle_timeout_minutes"] <= 10
    assert values["provider"]["cache_stopped_nodes"] is False
    for group in workers(name).values():
        assert group["min_workers"] == 0
        node = group["node_config"]
        if name == "aws":
            assert node["InstanceMarketOptions"]["MarketType"] == "spot"
            assert 0 < float(node["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"]) < 2
        else:
            assert node["scheduling"]["provisioningModel"] == "SPOT"
    head = values["available_node_types"]["head"]
    assert head["max_workers"] == 0
    assert not {"InstanceMarketOptions", "scheduling"} & head["node_config"].keys()


@pytest.mark.parametrize("name", CLOUDS)
def test_groups_have_the_resources_that_the_pools_ask_for(name: str) -> None:
    groups = launcher(name)["available_node_types"]
    assert {group: set(values["resources"]) for group, values in groups.items()} == {
        "head": {"CPU"},
        "cpu": {"CPU"},
        "gpu": {"CPU", "GPU"},
    }
    assert groups["head"]["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in start_commands(name)[0]


@pytest.mark.parametrize("name", LAUNCHER)
def test_all_nodes_install_the_locked_versions(name: str) -> None:
    """Every pip command obeys constraints.txt, and what is copied to the nodes is there."""
    values = launcher(name)
    pip = [c for key in ("setup_commands", "head_setup_commands") for c in values.get(key, []) if "pip" in c]
    installs = [command for command in pip if "pip install" in command]
    assert installs
    assert all("--constraint ~/lfiw-ray/constraints.txt" in command for command in installs)
    assert any(command.split("--editable ")[-1].split()[0] == "~/lfiw-ray" for command in installs)
    mounted = {remote: local for remote, local in values["file_mounts"].items() if remote.startswith("~/lfiw-ray/")}
    assert {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "lfiw_ray"} == set(mounted.values())
    assert all((ROOT / local).exists() for local in mounted.values())
    assert all(remote == f"~/lfiw-ray/{local}" for remote, local in mounted.items())


@pytest.mark.parametrize("name", LAUNCHER)
def test_what_a_user_must_put_in_is_said_at_the_top(name: str) -> None:
    text = (ROOT / "cluster" / f"{name}.yaml").read_text()
    top = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    wanted = {word for _, value in leaves(launcher(name)) for word in str(value).split("/") if "YOUR_" in word}
    holes = {"YOUR_" + word.split("YOUR_")[1].split(".")[0].split()[0] for word in wanted}
    assert holes
    assert not [hole for hole in holes if hole not in top and hole not in ("YOUR_FAMILY", "YOUR_USER")]
