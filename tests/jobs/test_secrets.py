"""Secrets of the environment and of refused addresses are in no file of a run and in none of its output."""

import importlib
import sys
from pathlib import Path

import pytest
from tiny_run import REPOSITORY, SECRETS, Undisturbed

ADDRESS = "s3://AKIAPLANTED:planted/in+address@bucket/run"


@pytest.mark.ray
def test_no_file_and_no_line_of_a_run_holds_a_secret(undisturbed: Undisturbed) -> None:
    files = {path: path.read_bytes() for path in undisturbed.run.rglob("*") if path.is_file()}
    assert {"run.json", "index.html", "timings.json", "00000.parquet"} <= {path.name for path in files}
    assert sum(map(len, files.values())) > 1_000_000
    said = {"output": undisturbed.out.encode(), "errors": undisturbed.err.encode()}
    for name, secret in SECRETS.items():
        assert [str(where) for where, data in (files | said).items() if secret.encode() in data] == [], name
    assert b"weights" in said["output"]


@pytest.mark.parametrize("flag", ["--run={}", "--data.path={}", "--config={}", "--generator.external.path={}", "{}"])
def test_credentials_in_an_address_are_refused_and_not_repeated(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "jobs"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", ["job", flag.format(ADDRESS)])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("job").main(lambda *_: [], "a job")
    assert ended.value.code == 2
    text = "".join(capfd.readouterr())
    assert text.startswith("error: ")
    assert "planted" not in text.lower()
    assert list(tmp_path.iterdir()) == []
