"""Random bytes and forged contents in the files of a finished run: a message and exit code 2, or no harm.

Three kinds: bytes that are anything, bytes that differ a little from the right ones, and right JSON with one value
replaced and every seal and checksum made anew, as somebody would who forges a file.  What a job reads is read by
`read_everything`, from run.json and the done marks to what the report shows.  A few hundred cases in the ordinary
suite; `-m slow` tries 4,000.
"""

import hashlib
import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import Outcome, mutated, num_nodes, plain_json, same_cases, values
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import REPOSITORY, Undisturbed

from lfiw_ray.engine import study_files
from lfiw_ray.engine.committee import committee_of, tuning_log_w
from lfiw_ray.engine.diagnose import form_of, kept_blocks
from lfiw_ray.engine.evaluation_rows import first_rows
from lfiw_ray.engine.external import TRAINED_HERE, open_generator
from lfiw_ray.engine.models import load_model
from lfiw_ray.engine.read import marked_blocks
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.report import collect as collecting
from lfiw_ray.store import shards, stages
from lfiw_ray.store.seal import SEAL, sealed

pytestmark = [pytest.mark.ray]

FILES = [
    *("run.json", "timings.json", "samples/00000.json", "weights/00003.json", "weights/00000.json"),
    *("generator/done.json", "generator/model.json", "generator/history.json", "classifier/done.json"),
    *("classifier/model.json", "classifier/calibration.json", "classifier/tuning_logits.json", "diagnostics/done.json"),
    *(
        "diagnostics/diagnostics.json",
        "evaluation/done.json",
        "evaluation/results.json",
        "node_seconds.json",
        "selection/done.json",
    ),
    *("downstream/done.json", "studies/toy/done.json", "studies/toy/results.json", "evaluation_rows/00000.json"),
]

damage = st.one_of(
    st.tuples(st.just("any bytes"), st.binary(max_size=300)),
    st.tuples(st.just("a few bytes changed"), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1)),
    st.tuples(st.just("cut off"), st.floats(0, 1)),
    st.tuples(st.just("forged value"), st.tuples(st.floats(0, 0.999), values)),
    st.tuples(st.just("forged value"), st.tuples(st.floats(0, 0.999), values)),
)


def read_everything(run: Run, real: Real) -> list[str]:
    """What the stages of a finished run and the report read, without working."""
    for name in run.tables:
        assert shards.pending(run.table(name)) == []
    for stage, plan in run.plans.items():
        if "/" not in stage:
            stages.finished(run.folder(stage), plan)
    committee_of(run), tuning_log_w(run), form_of(run), kept_blocks(run), first_rows(run)
    marked_blocks(run.table("weights"))
    open_generator(run.folder("generator").url, TRAINED_HERE, "cpu")
    load_model(run.folder("classifier").url)
    study_files.read(run, "toy")
    collecting.collect(run, real)
    return ["read"]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed, tmp_path: Path) -> Iterator[Any]:
    """The jobs' own module beside a copy of a finished run, `run/`, without the images of the report."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "jobs"))
    module = importlib.import_module("job")
    monkeypatch.setattr(module, "connected", lambda _: nullcontext())
    monkeypatch.setattr(collecting, "_images", lambda *_: dict.fromkeys(PICTURES))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(undisturbed.run, tmp_path / "run")
    hook = sys.excepthook
    yield module
    sys.excepthook = hook


PICTURES = ["real_x", "raw_x", "sir_x", "gumbel_x", "top_weight_x", "low_weight_x", "top_log_w", "low_log_w"]


def damaged(path: Path, how: str, what: Any) -> bytes:
    """The file's bytes after the damage."""
    data = path.read_bytes()
    if how == "any bytes":
        return bytes(what)
    if how == "cut off":
        return data[: int(what * len(data))]
    if how == "a few bytes changed":
        changed = bytearray(data)
        for where, byte in what:
            changed[int(where * (len(data) - 1))] = byte
        return bytes(changed)
    share, new = what
    body = json.loads(data)
    is_sealed = isinstance(body, dict) and body.pop(SEAL, None) is not None
    forged = mutated(body, int(share * num_nodes(body)), new)
    if not is_sealed:
        return plain_json(forged)
    try:
        return sealed(forged)
    except (ValueError, TypeError):  # no object, or NaN, which no seal is made of
        return plain_json(forged)


def note_in_mark(path: Path) -> None:
    """Make the stage's done mark fit a file that was forged."""
    mark = path.parent / "done.json"
    if path.name != "done.json" and mark.exists():
        body = json.loads(mark.read_bytes())
        body.pop(SEAL)
        data = path.read_bytes()
        body["files"][path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        mark.write_bytes(sealed(body))


def fuzz(num_cases: int, job: Any, config: Path) -> Outcome:
    """So many cases, the same ones every time; each is undone before the next."""
    outcome = Outcome()
    assert outcome.call("nothing", lambda: job.main(read_everything, "a job"), argv(config))[0] == 0

    @same_cases(num_cases)
    @given(st.sampled_from(FILES), damage)
    def one(name: str, damage: tuple[str, Any]) -> None:
        path, mark = Path("run") / name, (Path("run") / name).parent / "done.json"
        before = {each: each.read_bytes() for each in {path, mark} if each.exists()}
        path.write_bytes(damaged(path, *damage))
        if damage[0] == "forged value":
            note_in_mark(path)
        try:
            outcome.call(damage[0], lambda: job.main(read_everything, "a job"), argv(config))
        finally:
            for each, data in before.items():
                each.write_bytes(data)

    one()
    return outcome


def argv(config: Path) -> list[str]:
    """Flags of the tiny run."""
    return [f"--config={config}", "--run=run"]


def test_a_damaged_or_forged_file_is_refused_with_a_message_or_does_no_harm(job: Any, undisturbed: Undisturbed) -> None:
    outcome = fuzz(200, job, undisturbed.config)
    assert sum(outcome.counts.values()) == 201
    assert outcome.counts["any bytes", "accepted"] == 0
    assert {end for _, end in outcome.counts} == {"accepted", "refused with a message"}


@pytest.mark.slow
def test_thousands_of_damaged_and_forged_files(
    job: Any, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = fuzz(4000, job, undisturbed.config)
    with capsys.disabled():
        print(f"\n{outcome.table()}")
