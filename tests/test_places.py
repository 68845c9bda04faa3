"""Names that stay below their folder, addresses that are plain, messages without secrets."""

import pytest

from lfiw_ray.argv import from_argv
from lfiw_ray.config import PipelineConfig
from lfiw_ray.errors import ConfigError, StoreError
from lfiw_ray.places import SCHEMES, below, printable, refusal, shown

ADDRESS_FIELDS = ("run", "data.path", "generator.external.path", "evaluate.inception_weights")


@pytest.mark.parametrize(
    "name",
    ["00042.parquet", "features/fit_samples", "gumbel-k500-alpha0.5", ".probe-1f", "a..b", "...", "名 x", "a%b", "a:b"],
)
def test_a_name_below_is_itself(name: str) -> None:
    assert below(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "a//b", "a/", "./a"),
        *("s3://bucket/x", "a\\..\\b", "a::b", "a\x00", "a\nb", "%2e%2e/x", "a%2Fb", "%252e%252e", "a%5cb", "a%00"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(StoreError, match="is not the name of a file inside a run folder"):
        below(name)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "runs/default",
            "/data/x",
            "../run",
            "~/x",
            ".",
            "a b/名",
            "org/model@v2",
            "package.module:object",
            "a%2eb",
            "x?",
        ),
        *("s3://bucket/run", "s3://bucket", "s3://my.bucket-1/part-?.parquet", "gs://b/x", "memory://x", "memory:///x"),
        *("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/run", "S3://bucket/x", "hdfs://name:9000/x"),
        *("http://host/x", "https://host:8443/a@b/x.parquet", "file:///data/x", "file://data"),
        *("abfs://container@account.dfs.core.windows.net/x", "az://container/x"),
    ],
)
def test_a_plain_address_may_be_used(address: str) -> None:
    assert refusal(address) is None


SECRET = {
    "s3://AKIA:s3cr3t@bucket/x": "never in an address",
    "s3://AKIA:s3/cr3t@bucket/x": "never in an address",
    "gs://me:s3cr3t@bucket": "never in an address",
    "https://me:s3cr3t@host/x": "never in an address",
    "https://s3cr3t@host/x": "never in an address",
    "https://me:s3/cr3t@host/x": "never in an address",
    "hdfs://me:s3cr3t@host/x": "never in an address",
    "abfs://me:s3cr3t@account/x": "never in an address",
    "https://host/x?X-Amz-Signature=s3cr3t": "it may hold a signature",
    "https://host/x#s3cr3t": "it may hold a signature",
}
TRICKS = {
    "zip://x.zip::s3://bucket/y": "chained and inline",
    "simplecache::s3://bucket/y": "chained and inline",
    "data:text/plain,hello": "chained and inline",
    "reference://x": "reference:// is refused",
    "ssh://host/x": "ssh:// is refused",
    "github://org:repo@main/x": "github:// is refused",
    "nosuch://x": "nosuch:// is refused",
    "s3 ://x": "is not the name of a file system",
    "s3://bucket/a/../b": "holds . or .. or an encoded",
    "s3://bucket/%2e%2E/b": "holds . or .. or an encoded",
    "http://host/a%252fb": "holds . or .. or an encoded",
    "s3://bucket/a\\b": "holds . or .. or an encoded",
    "file:///a/../b": "holds . or .. or an encoded",
    "s3://buck et/x": "not a plain bucket",
    "runs/a\x00b": "control character",
    "runs/a\nerror: forged line": "control character",
}


@pytest.mark.parametrize("address", [*SECRET, *TRICKS])
def test_a_trick_is_refused_and_a_secret_not_repeated(address: str) -> None:
    reason = refusal(address)
    assert reason is not None
    assert (SECRET | TRICKS)[address] in reason
    assert "s3cr3t" not in reason
    assert "cr3t" not in printable(f"cannot read {address}: no")


@pytest.mark.parametrize("field", ADDRESS_FIELDS)
@pytest.mark.parametrize("address", ["s3://AKIA:s3/cr3t@bucket/x", "https://host/x?sig=s3cr3t", "a::b", "ssh://host/x"])
def test_every_address_of_a_configuration_is_checked(field: str, address: str) -> None:
    variable = "LFIW__" + field.upper().replace(".", "__")
    for argv, env in (([f"--{field}={address}"], {}), ([], {variable: address})):
        with pytest.raises(ConfigError, match="refused address") as refused:
            from_argv(argv, "a job", env)
        assert "cr3t" not in str(refused.value)


def test_addresses_in_mappings_and_of_the_file_itself_are_checked() -> None:
    for flag in (
        "--evaluate.reference_npz={domain: 's3://a:s3cr3t@b/x'}",
        "--evaluate.extractor_weights={domain: 's3://a:s3cr3t@b/x'}",
        "--config=https://me:s3cr3t@host/x.yaml",
        "s3://a:s3cr3t@b/x",
    ):
        with pytest.raises(ConfigError) as refused:
            from_argv([flag], "a job", {})
        assert "s3cr3t" not in str(refused.value)


def test_every_field_that_names_a_place_is_an_address() -> None:
    """A new field with path, url or weights in its name must be of the kinds above."""
    from lfiw_ray.argv import _leaves

    named = {
        key
        for key in _leaves()
        if key.rsplit(".", 1)[-1] in ("run", "path", "url") or "_weights" in key or "npz" in key
    }
    assert named == {*ADDRESS_FIELDS, "evaluate.extractor_weights", "evaluate.reference_npz"}
    assert PipelineConfig().run == "runs/default"


def test_messages_are_short_and_forge_no_lines() -> None:
    again = [0]
    for _ in range(40):
        again = [again] * 9  # 9^40 numbers, were it written out
    assert len(shown(again)) < 2000
    assert len(shown("a" * 10**6)) < 300
    assert shown(16**5000) == "a whole number of 20001 bits"
    assert printable("a\x1b[31m\u202e\r名\nb") == "a\\x1b[31m\\u202e\\r名\nb"
    assert printable("s3://a:b@c and http://h/p?q=1 'x'") == "s3://***@c and http://h/p?*** 'x'"


def test_known_file_systems_hold_no_programs() -> None:
    assert not {"reference", "github", "git", "ssh", "sftp", "ftp", "smb", "dask", "zip", "tar", "data", "generic"} & {
        *SCHEMES
    }
