"""What goes wrong with object storage is one line that names the URL and says what to do; never a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from faulty_proxy import Faults, FaultyProxy
from s3fs.errors import translate_boto_error
from weed import Weed, forget_clients

from lfiw_ray import pipeline
from lfiw_ray.argv import from_argv
from lfiw_ray.config import PipelineConfig
from lfiw_ray.errors import ConfigError, MissingFileError, StoreError
from lfiw_ray.store import failures, patience
from lfiw_ray.store.folder import Folder

ACTS: dict[str, Callable[[Folder], object]] = {
    "write": Folder.check_writable,
    "list": Folder.sizes,
    "look for": lambda f: f.exists("a"),
    "read": lambda f: f.find("a"),
    "remove": lambda f: f.remove("a"),
}
WRONG = {
    "unknown key": (
        {"AWS_ACCESS_KEY_ID": "nobody"},
        r"does not exist.*check AWS_ACCESS_KEY_ID|Forbidden.*check AWS_ACC",
    ),
    "wrong secret": ({"AWS_SECRET_ACCESS_KEY": "hush"}, r"signature.*check AWS_ACCESS_KEY_ID|Forbidden.*check AWS_ACC"),
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
        "Unable to locate credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the",
    ),
    "half of them": ({"AWS_SECRET_ACCESS_KEY": None}, "missing: AWS_SECRET_ACCESS_KEY; set AWS_ACCESS_KEY_ID"),
    "no such profile": ({"AWS_PROFILE": "nosuch"}, r"profile \(nosuch\) could not be found; set AWS_ACCESS_KEY_ID"),
    "nobody listens": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect.*check AWS_ENDPOINT_URL"),
    "no such host": ({"AWS_ENDPOINT_URL": "http://nosuchhost.invalid"}, "Could not connect.*check AWS_ENDPOINT_URL"),
    "no endpoint": ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense; check AWS_ENDPOINT_URL"),
}


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # the machine's role is looked for over the network
    forget_clients()


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_are_explained(bucket: str, weed: Weed, monkeypatch: pytest.MonkeyPatch, kind: str):
    variables, message = WRONG[kind]
    given(monkeypatch, variables)
    for verb in ("write", "list", "look for"):
        with pytest.raises(StoreError, match=rf"cannot {verb} {bucket}.*: .*({message})") as caught:
            ACTS[verb](Folder(bucket))
        assert not isinstance(caught.value, MissingFileError)
        assert weed.secret not in str(caught.value)
        assert "hush" not in str(caught.value)


def test_https_where_the_server_speaks_http(bucket: str, weed: Weed, monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, {"AWS_ENDPOINT_URL": weed.endpoint.replace("http:", "https:")})
    with pytest.raises(StoreError, match=r"SSL validation failed.*check AWS_ENDPOINT_URL"):
        Folder(bucket).sizes()


def test_a_key_that_may_only_read(bucket: str, weed: Weed, monkeypatch: pytest.MonkeyPatch):
    Folder(bucket).write("a", b"rows")
    given(monkeypatch, {"AWS_ACCESS_KEY_ID": f"{weed.key}-reader"})
    assert Folder(bucket).read("a") == b"rows"
    for verb in ("write", "remove"):
        with pytest.raises(StoreError, match=rf"cannot {verb} {bucket}/.*Access Denied.*they need s3:ListBucket.*Put"):
            ACTS[verb](Folder(bucket))


@pytest.mark.usefixtures("bucket")
def test_no_such_bucket(weed: Weed, monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, {"AWS_ACCESS_KEY_ID": f"{weed.key}-user"})  # who may not create one
    for verb in ("list", "look for", "read"):
        with pytest.raises(StoreError, match=rf"cannot {verb} s3://no-such/run.*there is no such bucket; create it"):
            ACTS[verb](Folder("s3://no-such/run"))
    with pytest.raises(StoreError, match="that is no name of a bucket; use another one"):
        Folder("s3://-b/run").write("a", b"")


@pytest.mark.usefixtures("no_waits")
def test_a_storage_that_never_recovers_fails_clearly_after_a_bounded_number_of_attempts(
    bucket: str, proxy: Callable[[Faults], FaultyProxy], caplog: pytest.LogCaptureFixture
):
    between = proxy(Faults(1.0, ("slow_down",)))
    for verb, act in ACTS.items():
        between.injected.clear()
        caplog.clear()
        with pytest.raises(StoreError, match=rf"cannot {verb} {bucket}.*: .*; check the storage and run again, finish"):
            act(Folder(bucket))
        assert between.injected == {"slow_down": 8}  # and no layer below retries
        assert len(caplog.records) == 7


def test_the_waits_grow_are_bounded_and_depend_on_the_request_alone(monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", waited.append)

    def turned_away() -> None:
        raise ConnectionResetError("reset")

    for what in ("read s3://a/b", "read s3://a/b", "read s3://a/c"):
        with pytest.raises(ConnectionResetError):
            patience.patiently(what, turned_away)
    first, second, other = waited[:7], waited[7:14], waited[14:]
    assert first == second != other
    assert all(0.15 * 2**i <= wait < 0.25 * 2**i for i, wait in enumerate(first))
    assert 19 < sum(first) < 32


def answered(code: str, status: int) -> BaseException:
    response = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(boto.ClientError(response, "PutObject"))


@pytest.mark.parametrize(
    ("err", "passes", "advice"),
    [
        (answered("SlowDown", 503), True, "check the storage"),
        (answered("InternalError", 500), True, "check the storage"),
        (answered("RequestTimeout", 400), True, "check the storage"),
        (answered("TooManyRequests", 429), True, "check the storage"),
        (answered("NoSuchUpload", 404), True, None),
        (answered("NoSuchBucket", 404), False, "create it"),
        (answered("AccessDenied", 403), False, "they need s3:ListBucket"),
        (answered("ExpiredToken", 400), False, "get new ones"),
        (answered("RequestTimeTooSkewed", 403), False, "clock"),
        (answered("PermanentRedirect", 301), False, "AWS_DEFAULT_REGION"),
        (boto.NoCredentialsError(), False, "AWS_PROFILE"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), True, "check the storage"),
        (boto.ConnectTimeoutError(endpoint_url="http://x"), True, "check AWS_ENDPOINT_URL"),
        (boto.SSLError(endpoint_url="http://x", error="e"), False, "check AWS_ENDPOINT_URL"),
        (ResponseParserError("half an answer"), True, "check the storage"),
        (TimeoutError(), True, "TimeoutError; check the storage"),
        (OSError(28, "No space left on device"), False, "free some space"),
        (PermissionError(13, "Permission denied"), False, "change its owner"),
        (FileNotFoundError(2, "none"), False, "no such file"),
    ],
)
def test_what_may_pass_and_what_to_do(err: BaseException, passes: bool, advice: str | None):
    assert failures.may_pass(err) == passes
    assert advice is None or advice in failures.explained(err)


def test_a_run_without_credentials_says_so_before_any_work(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    variables = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    given(monkeypatch, {**variables, "HOME": str(tmp_path)})
    with pytest.raises(StoreError, match=rf"cannot .*{bucket}/run.json: .*; set AWS_ACCESS_KEY_ID and AWS_SECRET"):
        pipeline.open_run(PipelineConfig(run=bucket))


def test_a_configuration_in_a_bucket_is_read_and_its_failures_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch):
    Folder(bucket).write("mine.yaml", b"seed: 7")
    assert from_argv([f"--config={bucket}/mine.yaml"], "").config.seed == 7
    with pytest.raises(ConfigError, match=rf"configuration file {bucket}/other.yaml: cannot read .*: no such file"):
        from_argv([f"--config={bucket}/other.yaml"], "")
    given(monkeypatch, dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")))
    with pytest.raises(ConfigError, match=rf"configuration file {bucket}/mine.yaml: .*; set AWS_ACCESS_KEY_ID and"):
        from_argv([f"--config={bucket}/mine.yaml"], "")
