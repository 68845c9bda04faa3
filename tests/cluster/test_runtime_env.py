"""The runtime environment of submitted jobs: Ray takes it, it leaves out what is large, and collides with nothing."""

import os
from pathlib import Path

import yaml
from cluster_files import ROOT
from ray.runtime_env import RuntimeEnv

from lfiw_ray.argv import ENV_PREFIX, from_argv
from lfiw_ray.engine.cluster import worker_environment

VALUES = yaml.safe_load((ROOT / "jobs" / "runtime_env.yaml").read_text())


def test_ray_takes_it_and_it_brings_the_checkout() -> None:
    assert RuntimeEnv(**{**VALUES, "working_dir": "https://example.com/any.zip"})  # a folder must be uploaded first
    assert VALUES["working_dir"] == "."
    for excluded in VALUES["excludes"]:
        assert excluded.startswith("/")
        assert excluded.endswith("/")
    assert not {f"/{needed}/" for needed in ("jobs", "lfiw_ray", "cluster")} & set(VALUES["excludes"])


def test_its_variables_are_not_those_that_the_job_sets_for_its_workers() -> None:
    """Ray refuses to start a job that sets a variable which its submission set already."""
    assert not VALUES["env_vars"].keys() & worker_environment()["env_vars"].keys()
    assert all(isinstance(value, str) for value in VALUES["env_vars"].values())


def test_fields_may_be_set_in_it(tmp_path: Path) -> None:
    named = tmp_path / "config.yaml"
    named.write_text("seed: 1\nresample: {k: 1}\nscore: {batch_size: 128}\n")
    environment = VALUES["env_vars"] | {f"{ENV_PREFIX}SEED": "2", f"{ENV_PREFIX}RESAMPLE__K": "2"}
    config = from_argv([f"--config={named}", "--seed=3"], "a job", environment).config
    assert (config.seed, config.resample.k, config.score.batch_size) == (3, 2, 128)
    assert not {name for name in os.environ if name.startswith(ENV_PREFIX)}
