"""The plan of a pool: known answers by hand, rates of a made-up run, what is unknown stays unknown."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from lfiw_ray.errors import ConfigError, StoreError
from lfiw_ray.store import runs, shards, timings
from lfiw_ray.store.folder import Folder
from lfiw_ray.studies.capacity import Asked, Known, Rates, plan, rates_of_run, size_text, time_text, with_control_plane

RATES = Rates({"samples": Known(1000.0, "s"), "weights": Known(20.0, "w")}, Known(0.001, "pool"))
CONTROL = {
    "shards": [
        {"num_shards": 1000, "wall_s": 30.0, "peak_bytes": 110_000_000, "grown_bytes": 10_000_000},
        {"num_shards": 3000, "wall_s": 90.0, "peak_bytes": 130_000_000, "grown_bytes": 30_000_000},
    ]
}


def values(asked: Asked, rates: Rates) -> dict[str, str]:
    return {line.name: line.value for line in plan(asked, rates)}


def test_known_answers() -> None:
    """10^10 rows at 1 ms a row on 100 nodes: 10^5 s; 1,020 bytes a row: 10.2 TB."""
    rates = RATES._replace(
        selected_s_a_row=Known(0.01, ""), fixed_s=Known(3600.0, ""), actor_bytes=Known(2e9, "measured")
    )
    asked = Asked(10**10, 100_000, 1_000_000, 100, 8, price_a_node_hour=2.0, price_a_gb_month=0.02)
    found = values(asked, rates)
    assert found["shards"] == "100,000 of 100,000 rows"
    assert found["files"] == "400,000 in the pool's tables"
    assert found["storage samples"] == "10.00 TB"
    assert found["storage"] == "10.20 TB"
    assert found["memory of a node"] == "16.00 GB"
    assert found["time of the pool"] == "27.8 h"
    assert found["time of gathering"] == "100 s"
    assert found["time"] == "28.8 h"
    assert found["node hours"] == "2,880.6"  # 103,700 s of 100 nodes
    assert found["cost of nodes"] == "5,761.11"
    assert found["cost of storage a month"] == "204.00"


def test_what_was_not_measured_is_unknown() -> None:
    found = values(Asked(1000, 100, 10, 1, 2), RATES)
    for name in (
        "memory of a node",
        "memory of the driver",
        "time of handing out",
        "time of gathering",
        "time of all else",
    ):
        assert found[name] == "unknown"
    assert (found["cost of nodes"], found["cost of storage a month"]) == ("not priced", "not priced")
    assert found["time"] == "1 s"


def test_small_shards_make_the_driver_set_the_pace() -> None:
    """30 ms and 10,000 bytes a shard, on top of 100 MB."""
    rates = with_control_plane(RATES, CONTROL, "cp.json")
    lines = {line.name: line for line in plan(Asked(10**8, 8192, 10, 1000, 1), rates)}
    assert lines["time of handing out"].value == "366 s"  # 12,208 shards of 30 ms; the pool takes 100 s
    assert "use larger shards" in lines["time of handing out"].source
    assert lines["time"].value == "366 s"
    assert lines["memory of the driver"].value == "222.08 MB"
    larger = {line.name: line for line in plan(Asked(10**8, 81_920, 10, 1000, 1), rates)}
    assert larger["time"].value == "100 s"
    assert "use larger shards" not in larger["time of handing out"].source


@pytest.mark.parametrize(
    "body", [{}, [], {"shards": []}, {"shards": [{"num_shards": 3}]}, {"shards": CONTROL["shards"][:1]}]
)
def test_a_file_of_another_form_is_named(body: object) -> None:
    with pytest.raises(StoreError, match=r"cp\.json is not what this program writes"):
        with_control_plane(RATES, body, "cp.json")  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run of 200 rows in shards of 100: 10 s of pool, 5 s of gathering 50 rows, 7 s of all else."""
    folder = Folder(str(tmp_path / "run"))
    config = {"generate": {"num_samples": 200, "rows_per_shard": 100}, "resample": {"k": 50}}
    body = {"planned": {}, "plans": {"samples": "p", "weights": "q", "selection": "r"}, "config": config}
    folder.write(runs.NAME, json.dumps(body).encode())
    for stage, seconds in {"samples and weights": 8.0, "diagnostics": 2.0, "resampled": 5.0, "generator": 7.0}.items():
        timings.add(folder, stage, seconds)
    for shard in range(2):
        shards.commit(folder.child("samples"), shard, "p", 100, b"x" * 1000)
        shards.commit(folder.child("weights"), shard, "q", 100, b"x" * (200 + 200 * shard))
    return folder.url


def test_rates_are_those_of_the_run(run: str) -> None:
    rates = rates_of_run(run, 4)
    assert {name: known.value for name, known in rates.bytes_a_row.items()} == {"samples": 10.0, "weights": 3.0}
    assert rates.pool_s_a_row.value == pytest.approx(4 * 10 / 200)
    assert rates.selected_s_a_row is not None
    assert rates.selected_s_a_row.value == pytest.approx(4 * 5 / 50)
    assert rates.fixed_s is not None
    assert (rates.fixed_s.value, run in rates.fixed_s.source) == (7.0, True)


def test_a_run_without_a_pool_gives_no_rates(run: str) -> None:
    Path(run, timings.NAME).unlink()
    with pytest.raises(ConfigError, match="no finished stage of the pool"):
        rates_of_run(run, 1)
    for shard in range(2):
        shards.discard(Folder(run).child("weights"), shard)
    with pytest.raises(ConfigError, match="weights has no finished shard"):
        rates_of_run(run, 1)


def test_texts() -> None:
    assert [size_text(v) for v in (10, 2.5e6, 1.5e9, 3e12, 2e15)] == [
        "0.0 kB",
        "2.50 MB",
        "1.50 GB",
        "3.00 TB",
        "2.00 PB",
    ]
    assert [time_text(v) for v in (90, 7200, 172_800)] == ["90 s", "2.0 h", "2.0 days"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`call(*flags)` of jobs/plan_capacity.py: exit code, output, errors."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "jobs"))
    job = importlib.import_module("plan_capacity")

    def call_it(*flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["plan_capacity", *flags])
        try:
            code = job.main()
        except SystemExit as ended:
            code = ended.code
        return (code, *capsys.readouterr())

    return call_it


def test_the_job(call, run: str, tmp_path: Path) -> None:
    (tmp_path / "cp.json").write_text(json.dumps(CONTROL))
    code, out, err = call(
        "--num-samples=1e10", f"--run={run}", f"--control-plane={tmp_path / 'cp.json'}", "--actor-gb=1.5"
    )
    assert (code, err) == (0, "")
    assert "10,000,000,000" in out
    assert "done marks of" in out
    assert "1.5" not in out.split("memory of a node")[0]
    code, out, _ = call("--num-samples=1e6", "--pool-rows-per-s=1000", "--bytes-per-sample=100", "--price-node-hour=3")
    assert code == 0
    assert "flag --pool-rows-per-s" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num-samples=1e6"], "no rates: give --run"),
        (["--num-samples=many"], "a number above 0 is needed, got 'many'"),
        (["--num-samples=1.5"], "a whole number below 2^63 is needed"),
        (["--num-samples=1e30"], "a whole number below 2^63 is needed"),
        (["--num-samples=9", "--run=s3://a:s3cr3t@b"], "refused address"),
        (["--num-samples=9", "--run=/nowhere"], "/nowhere/run.json"),
        (
            ["--num-samples=9", "--pool-rows-per-s=1", "--bytes-per-sample=1", "--control-plane=/nowhere"],
            "cannot be read",
        ),
    ],
)
def test_bad_flags(call, flags: list[str], message: str) -> None:
    code, _, err = call(*flags)
    assert code == 2
    assert message in err
    assert "s3cr3t" not in err
