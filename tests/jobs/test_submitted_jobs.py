"""`ray job submit` on a head of its own with a token: resumed after `ray job stop`, and failing as documented."""

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_head import OwnHead
from tiny_run import mtimes, write_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]

_TIMEOUT_S = 600.0


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHead]:
    token = tmp_path_factory.mktemp("token") / "auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    head = OwnHead(3, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token), RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2")
    yield head
    head.close()


@pytest.fixture
def job(head: OwnHead) -> Callable[..., Any]:
    """Calls `ray job VERB` on the head."""

    def call(verb: str, *arguments: str, **options: Any) -> Any:
        address = f"http://127.0.0.1:{head.dashboard_port}"
        return head.run("ray", "job", verb, "--address", address, *arguments, **options)

    return call


def submit(job: Callable[..., Any], name: str, *flags: str, more: tuple[str, ...] = ()) -> Any:
    """Submit the whole pipeline as the documents say, under a name; `more` are flags of `ray job submit`."""
    options = ["--submission-id", name, "--runtime-env", "jobs/runtime_env.yaml", *more]
    return job("submit", *options, "--", "python", "jobs/full_pipeline.py", *flags, check=False)


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _TIMEOUT_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_a_stopped_job_resumes_where_it_was(job: Callable[..., Any], tmp_path: Path) -> None:
    """Two to three minutes."""
    flags = (f"--config={write_config(tmp_path)}", f"--run={tmp_path / 'run'}")
    assert submit(job, "first", *flags, more=("--no-wait",)).returncode == 0
    until(lambda: len(list((tmp_path / "run").glob("samples/*.json"))) >= 1)
    job("stop", "first")
    assert "was stopped" in job("status", "first").stdout
    assert "stopped by SIGTERM; run it again to go on" in job("logs", "first").stdout
    before = mtimes(tmp_path / "run")
    again = submit(job, "again", *flags, more=("--entrypoint-num-cpus", "1"))
    assert again.returncode == 0, again.stdout
    assert (tmp_path / "run" / "report" / "index.html").exists()
    kept = {name: when for name, when in before.items() if name.startswith(("generator/", "classifier/", "samples/"))}
    assert any(name.startswith("samples/") for name in kept)
    assert {name: when for name, when in mtimes(tmp_path / "run").items() if name in kept} == kept
    log = job("logs", "again").stdout
    assert "3 CPUs (1 in use)" in log
    assert "== report" in log
    assert not {"\r", "\x1b"} & set(log.split("== ", 1)[1])  # no bars, no colours


@pytest.mark.parametrize(
    ("flag", "code", "said"),
    [("--resample.k=0", 2, "error: resample.k"), ("--num-gpus=9", 2, "error: num_gpus: each worker is to hold 9")],
)
def test_a_failing_job_says_its_code(job: Callable[..., Any], tmp_path: Path, flag: str, code: int, said: str) -> None:
    """`ray job submit` itself knows only 1."""
    name = f"bad{flag.replace('=', '-').strip('-').replace('.', '-')}"
    done = submit(job, name, f"--config={write_config(tmp_path)}", f"--run={tmp_path / 'run'}", flag)
    assert done.returncode == 1
    assert said in done.stdout
    assert f"failed with exit code {code}" in done.stdout + done.stderr
    assert f"driver_exit_code={code}" in job("list").stdout


def test_the_environment_of_the_job_sets_fields(job: Callable[..., Any], tmp_path: Path) -> None:
    """Precedence is flag, environment, file."""
    config = write_config(tmp_path)
    runtime = '{"working_dir": ".", "env_vars": {"LFIW__GENERATE__NUM_SAMPLES": "8192", "LFIW__RESAMPLE__K": "77"}}'
    flags = ("python", "jobs/full_pipeline.py", f"--config={config}", "--resample.k=66", "--dry-run")
    shown = job("submit", "--runtime-env-json", runtime, "--", *flags).stdout
    assert "\n  num_samples: 8192\n" in shown
    assert "\n  k: 66\n" in shown


def test_nobody_gets_in_without_the_token(job: Callable[..., Any]) -> None:
    assert job("list", check=False, RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN_PATH="").returncode != 0
