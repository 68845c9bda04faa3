"""Exit codes mean one thing for all jobs, are written down in one place, and a stopped job says so."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tiny_run import REPOSITORY

from lfiw_ray import errors

_STOPPED = """
import os, signal, sys, time
sys.path.insert(0, "jobs")
import job

def work(*_):
    os.kill(os.getpid(), signal.{name})
    time.sleep(30)

job._run = work
job.main(work, "a job")
"""

_EACH = """
import json, pathlib, runpy, sys

sys.path.insert(0, str(pathlib.Path(sys.argv[1]).parent))
codes = {}
for path in sys.argv[1:]:
    sys.argv = [path, "--no-such-flag"]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as left:
        codes[pathlib.Path(path).name] = left.code
print(json.dumps(codes))
"""


def test_the_codes_are_written_down_where_jobs_share_them() -> None:
    text = (REPOSITORY / "jobs" / "job.py").read_text().split('"""')[1]
    told = {int(code) for code in re.findall(r"^(\d+) ", text, re.MULTILINE)}
    raised = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    assert told == {0} | raised | {128 + signal.SIGINT, 128 + signal.SIGTERM}


def test_a_stopped_job_ends_with_a_line_and_its_own_code() -> None:
    """Ctrl-C and `ray job stop`, side by side, as most of the time is spent on imports."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", _STOPPED.format(name=name)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
        )
        for name in ("SIGINT", "SIGTERM")
    }
    for name, process in running.items():
        _, said = process.communicate()
        assert process.returncode == 128 + signal.Signals[name]
        assert said == f"stopped by {name}; run it again to go on\n"


def test_every_job_ends_with_code_2_on_an_unknown_flag(tmp_path: Path) -> None:
    """One process for all, as most of its time is spent on imports; none writes anything."""
    jobs = sorted(path for path in (REPOSITORY / "jobs").glob("*.py") if path.name != "job.py")
    assert len(jobs) >= 14
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LFIW_", "RAY_"))}
    plain["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", _EACH, *map(str, jobs)]
    done = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.splitlines()[-1]) == {path.name: 2 for path in jobs}, done.stderr
    assert done.stderr.count("error: ") == len(jobs)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
