"""The whole job as a user calls it: what it leaves, what a second call does, how damage is mended."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import Driver, Undisturbed, digests, mtimes

pytestmark = pytest.mark.ray


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def test_the_run_folder_is_laid_out_as_designed(undisturbed: Undisturbed) -> None:
    run = undisturbed.run
    for name in ("generator", "classifier", "naive_classifier"):
        assert {"model.safetensors", "model.json", "done.json"} <= {path.name for path in (run / name).iterdir()}
        assert list((run / name / "tensorboard").glob("events.out.tfevents.*"))
    assert (run / "classifier" / "calibration.json").is_file()
    for table in ("samples", "weights", "naive_weights"):
        shards = sorted(path.name for path in (run / table).iterdir())
        assert shards == sorted(f"{shard:05d}.{kind}" for shard in range(6) for kind in ("parquet", "json"))
    for scheme in ("sir", "gumbel"):
        assert (run / "selection" / f"{scheme}.parquet").is_file()
        assert (run / "resampled" / scheme / "00000.parquet").is_file()
    for name in (
        "code_length/results.json",
        "diagnostics/diagnostics.json",
        "evaluation/results.json",
        "downstream/results.json",
    ):
        assert json.loads((run / name).read_text())
    record = json.loads((run / "run.json").read_text())
    assert {"config", "planned", "plans", "versions", "git_commit", "seed"} <= record.keys()
    assert "<html" in (run / "report" / "index.html").read_text()[:500]


def test_it_says_what_it_does_and_what_came_out(undisturbed: Undisturbed) -> None:
    stages = [line.split("== ")[1] for line in undisturbed.out.splitlines() if "== " in line]
    assert stages == list(json.loads((undisturbed.run / "timings.json").read_text()))
    for word in (
        "bits a pixel value on",
        "ESS",
        "k_hat",
        "calibration",
        "FID domain",
        "FID random",
        "gate",
        "downstream",
        "MB in the run folder",
        "USD for the nodes that were there",
    ):
        assert word in undisturbed.out
    assert undisturbed.out.rstrip().endswith(str(undisturbed.run / "report" / "index.html"))


def test_a_second_call_does_nothing_again(start: Callable[..., Driver], undisturbed: Undisturbed) -> None:
    """With another number of actors and tasks, which are not part of the plan."""
    before = mtimes(undisturbed.run)
    pools = ("--generate.pool.max_actors=2", "--score.pool.max_actors=2", "--resample.num_tasks=3")
    again = start(undisturbed.run, *pools)
    assert again.finish() == 0, again.err
    assert mtimes(undisturbed.run) == before


def test_another_evaluation_of_a_finished_run_lies_beside_the_first(
    start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """In half precision, with all that is computed on demand, and against the statistics that the first left."""
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run, run)
    before = mtimes(run)
    asked = ("whole_pool=true", "infinity=true", "kid_rbf=median", "feature_dtype=float16", "rivals=false")
    flags = [f"--evaluate.{flag}" for flag in asked]
    flags.append(f"--evaluate.reference_npz={{random: {run}/evaluation/reference-random.npz}}")
    again = start(run, *flags, job="evaluate.py")
    assert again.finish() == 0, again.err
    assert before.items() <= mtimes(run).items()
    (file,) = run.glob("evaluations/*/evaluation/results.json")
    assert f"this one lies in {file.parent}" in again.out
    found, first = (json.loads(path.read_text()) for path in (file, run / "evaluation" / "results.json"))
    for name, space in found["extractors"].items():
        new, old = (body["extractors"][name]["arms"]["sir"] for body in (found, first))
        assert new["fid"]["mean"] == pytest.approx(old["fid"]["mean"], rel=0.01)
        assert {"fid_infinity", "kid_rbf"} <= new.keys() - old.keys()
        assert found["whole_pool"][name]["raw"]["num_rows"] == 49_152
        assert space["real"]["kid_rbf_sigma"] > 0
    random = found["extractors"]["random"]["arms"]["raw"]
    assert random["fid_npz"]["mean"] == pytest.approx(random["fid"]["mean"], rel=0.01)


@pytest.mark.slow
def test_more_actors_and_wider_shards_select_the_same_samples(
    start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """`rows_per_shard` decides bytes, hence another folder; the selected ids and their weights stay.

    The generator's plan does not depend on it, so that the finished one is taken over; `fit_samples/` are cut by it
    as well, and the classifier is trained on them again.
    """
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run / "generator", run / "generator")
    flags = ("--generate.rows_per_shard=16384", "--generate.pool.max_actors=2", "--generate.pool.cpus_per_actor=0.25")
    for job in ("train_classifier.py", "score.py", "resample.py"):
        driver = start(run, *flags, job=job)
        assert driver.finish() == 0, driver.err
    assert len(list((run / "samples").glob("*.parquet"))) == 3
    for scheme in ("sir", "gumbel"):
        name = f"selection/{scheme}.parquet"
        assert (run / name).read_bytes() == (undisturbed.run / name).read_bytes()
        rows = f"resampled/{scheme}/00000.parquet"
        assert (run / rows).read_bytes() == (undisturbed.run / rows).read_bytes()


def test_an_altered_shard_is_named_and_exactly_it_is_made_again(
    start: Callable[..., Driver], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """Its weights are missing, so that the next call would score it."""
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run, run)
    flip_bit(run / "samples" / "00000.parquet", 40_000)
    for kind in ("json", "parquet"):
        (run / "weights" / f"00000.{kind}").unlink()
    refused = start(run, job="score.py")
    assert refused.finish() == 2
    assert "error: " in refused.err
    assert f"{run}/samples/00000.parquet was altered" in refused.err
    assert "--repair" in refused.err
    assert "Traceback" not in refused.err
    assert not (run / "weights" / "00000.json").exists()
    before = mtimes(run)
    mended = start(run, "--repair", job="score.py")
    assert mended.finish() == 0, mended.err
    assert "samples/00000: " in mended.out
    assert digests(run) == digests(undisturbed.run)
    written = {name for name, when in mtimes(run).items() if before.get(name) != when}
    assert written == {f"{table}/00000.{kind}" for table in ("samples", "weights") for kind in ("parquet", "json")}
