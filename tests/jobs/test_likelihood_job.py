"""jobs/likelihood.py: bad input is named, and the table and the file say the same."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/likelihood.py", f"--fixed={tmp_path}", f"--mnist={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "binarized_mnist.npz" in done.stderr


def test_the_table_is_that_of_the_file(tmp_path: Path) -> None:
    """The job itself, with a study of one arm."""
    arm = {"binarisation": "fixed", "group": "burda", "architecture": "mlp1", "objective": "iwae", "k": 5}
    figures = {"nll_nats": 101.25, "nll_se": 0.5, "published_nll_nats": 85.54, "published_source": "a paper"}
    script = f"""
import sys, types
sys.path.insert(0, "jobs")
sys.argv = ["likelihood.py", "--fixed=a", "--mnist=b", "--json={tmp_path}/out.json"]
import likelihood as job
job.load_parts = lambda path: {{"train": path, "test": path}}
job.load_named = lambda name, path: types.SimpleNamespace(x=[0] * 70_000)
job.study = lambda seed, data, sizes, device: {{"label": str(len(data.grey_test)), "arms": [{ {**arm, **figures}!r}]}}
sys.exit(job.main())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "mlp1 iwae k = 5   NLL 101.25 +- 0.50 nats   others 85.54: a paper" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["label"] == "10000"  # MNIST's test rows


def test_stages_are_the_papers_first_ones() -> None:
    script = """
import sys
sys.path.insert(0, "jobs")
import likelihood as job
def sizes(*flags):
    sys.argv = ["likelihood.py", "--fixed=a", "--mnist=b", *flags]
    return job._sizes(job._arguments())
assert sizes() == job.SMALL
assert sizes("--stages=8") == job.FULL
found = sizes("--stages=2", "--test-rows=300")
assert found.stages == job.FULL.stages[:2]
assert (found.num_test_rows, found.num_train_rows, found.architectures) == (300, 50_000, ("mlp1",))
sizes("--stages=9")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--stages: invalid choice: 9" in done.stderr
