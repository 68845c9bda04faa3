"""jobs/table1.py: bad input is named, each generator gets a run of its own, and the three files say the same."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
import contextlib, json, sys, types
folder = sys.argv[1]
sys.path[:0] = ["jobs", "tests"]
import table1 as job
from table1_example import example
asked = []
def open_run(config):
    asked.append({"config": config.model_dump()})
    return types.SimpleNamespace(config=config, url="a run"), None
def study(run, real, sizes, extractors):
    asked[-1].update(sizes=sizes, extractors=extractors)
    found = dict(example()["generators"][0])
    del found["name"]
    return found
job.pipeline.open_run, job.pipeline.run_to_weights, job.study = open_run, lambda run, real: None, study
repaired = []
job.repair = repaired.append
job.connected = lambda config: contextlib.nullcontext()
flags = [f"--run={folder}/runs", f"--json={folder}/found/t.json", "--num-rows=1500", "--inception-weights=a.pth"]
code = job.main([*flags, "--classifier.width=7", "--repair"])
assert [run.url for run in repaired] == ["a run"] * 2
with open(f"{folder}/asked.json", "w") as file:
    json.dump(asked, file)
sys.exit(code)
"""


def test_bad_input_is_named(tmp_path: Path) -> None:
    """One process for all, as most of its time is spent on imports."""
    cases = {
        "--config=nowhere.yaml": "nowhere.yaml",
        "--num-repeats=1": "at least 2 are needed, got '1'",
        "--extractor=domian": "evaluate.extractors",
        "--genrate.num_samples=5": "did you mean generate.num_samples",
        "--dry-run": "ask jobs/full_pipeline.py",
    }
    script = f"""
import sys
sys.path.insert(0, "jobs")
import table1 as job
for flag in {list(cases)!r}:
    try:
        code = job.main([flag, "--json={tmp_path}/out.json"])
    except SystemExit as end:
        code = end.code
    print(code)
    print("next", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"] * len(cases)
    for said, text in zip(cases.values(), done.stderr.split("next\n"), strict=False):
        assert said in text
    assert not list(tmp_path.iterdir())


def test_what_it_runs_and_writes(tmp_path: Path) -> None:
    """The job itself, with a pipeline and a study that only say what they were asked."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    configs = [entry["config"] for entry in json.loads((tmp_path / "asked.json").read_text())]
    names = ["fashion_mnist_vae_small", "cifar10_sngan_small"]
    assert [config["run"] for config in configs] == [f"{tmp_path}/runs/{name}" for name in names]
    for config in configs:
        assert config["data"]["test_rows"] == "apart"
        assert config["generate"]["num_samples"] >= 2 * 10 * 1500
        assert config["evaluate"]["extractors"] == ["domain", "random", "inception"]
        assert (config["evaluate"]["inception_weights"], config["evaluate"]["naive"]) == ("a.pth", False)
        assert config["classifier"]["width"] == 7
    last = json.loads((tmp_path / "asked.json").read_text())[-1]
    assert last["sizes"] == [[["paper", 1000, "test"], ["today", 1500, "train"]], 10, 1.0]
    assert last["extractors"] == ["domain", "random", "inception"]
    found = json.loads((tmp_path / "found" / "t.json").read_text())
    assert [generator["name"] for generator in found["generators"]] == names
    text = (tmp_path / "found" / "t.md").read_text()
    assert text in done.stdout
    assert found["generators"][0]["tables"][0]["verdicts"]["fid"] in text
    assert (tmp_path / "found" / "t.svg").read_text().startswith("<svg ")
