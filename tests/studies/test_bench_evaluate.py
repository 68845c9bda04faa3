"""The harness of the evaluation benchmark: that both sides do the same work, and that the rows say what was done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from lfiw_ray.models import extractors, inception
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.extractors import Extractor
from lfiw_ray.models.fidelity_bridge import register_with_torch_fidelity
from lfiw_ray.models.torchvision_ops import load_torch_fidelity
from lfiw_ray.studies import bench_evaluate, bench_names, evaluate_both, random_inception
from lfiw_ray.studies.bench_evaluate import SHAPE, Inception, Sizes, images_of
from lfiw_ray.studies.evaluate_both import Subsets

TINY = Sizes(40, Subsets(1, 40), 2, 60, 700, 2)


def _domain() -> Extractor:
    """A small stand-in for Inception, with classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return extractors.domain(DomainNet(SHAPE, 5))


def _space() -> Inception:
    return Inception(_domain, {"feature_extractor": register_with_torch_fidelity(_domain())}, "cpu")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers without Ray."""
    monkeypatch.setattr(bench_evaluate, "_ask", lambda _, work, *args: work(*args))
    monkeypatch.setattr(bench_evaluate, "_by_two", lambda *_: None)
    monkeypatch.setattr(bench_evaluate, "_write_both", _write_here)
    monkeypatch.setattr(bench_evaluate.ray, "put", lambda value: value)


def _write_here(_: Any, build: Callable[[], Extractor], folder: Path, images: list[np.ndarray]) -> None:
    evaluate_both.write_features(build, folder, generated=images[0], real=images[1])


def test_both_sides_give_the_same_numbers(tmp_path: Path) -> None:
    """From images and from tables; all rows in one subset, and one split, leave nothing to chance."""
    generated, real = images_of("generated", 60), images_of("real", 60)
    subsets, space = Subsets(1, 60), _space()
    ours = evaluate_both.numbers(evaluate_both.from_images(_domain, generated, real), subsets)
    theirs = evaluate_both.by_torch_fidelity(
        generated, real, subsets, "cpu", isc=True, isc_splits=1, cache=False, **space.options
    )
    assert sorted(ours) == sorted(theirs) == ["fid", "inception_score", "kid"]
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=1e-4), name
    evaluate_both.write_features(_domain, tmp_path, generated=generated, real=real)
    tables = evaluate_both.from_tables(tmp_path / "generated.parquet", tmp_path / "real.parquet")
    assert evaluate_both.numbers(tables, subsets) == pytest.approx(ours, rel=1e-12)


@pytest.mark.usefixtures("in_this_process")
def test_rows_of_images_to_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns go to the rows that they belong to; the peer's second run finds its cache, ours the tables."""
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        work = getattr(evaluate_both, name)
        return lambda *args, **more: calls.append(name) or work(*args, **more)

    for name in ("from_images", "from_tables", "by_torch_fidelity"):
        monkeypatch.setattr(evaluate_both, name, counted(name))
    seconds = iter([2.0, 1.0, 0.5, 8.0, 4.0, 4.0, 1.0, 0.5, 4.0, 4.0])
    monkeypatch.setattr(bench_evaluate, "_seconds", lambda _, work: (work(), next(seconds))[1])
    fidelity = load_torch_fidelity()
    extracted: list[int] = []
    loop = fidelity.utils.get_featuresdict_from_dataset
    monkeypatch.setattr(
        fidelity.utils, "get_featuresdict_from_dataset", lambda x, *a: extracted.append(len(x)) or loop(x, *a)
    )
    rows = bench_evaluate.images_to_numbers([None], _space(), TINY, tmp_path, 2)
    assert calls == ["from_images", "from_tables", "by_torch_fidelity", "by_torch_fidelity"] * 2
    assert extracted == [40, 40, 40, 40]  # both sets, once in each repetition: not from the cache
    assert [row["ratio_median"] for row in rows] == [2.5, 6.0, 12.0, 8.0]
    assert [row["goal"] for row in rows] == [1.0, 1.7, 20.0, None]
    assert [row["met"] for row in rows] == [True, True, False, None]
    assert "1 worker" in rows[0]["work"]
    assert "2 workers" in rows[1]["work"]
    assert "one thread" in rows[1]["peer"]
    assert "of 40 images" in rows[0]["work"]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_two_workers_give_the_numbers_of_one() -> None:
    def build() -> Extractor:
        return extractors.random(SHAPE)

    images = [images_of(name, 51) for name in ("generated", "real")]
    halves = [ray.put(x[half::2]) for half in range(2) for x in images]
    workers = [bench_evaluate._started(0.0) for _ in range(2)]
    try:
        found = bench_evaluate._by_two(workers, build, Subsets(1, 51), halves)
        threads = ray.get(workers[0].call.remote(torch.get_num_threads))
    finally:
        for worker in workers:
            ray.kill(worker)
    assert found == pytest.approx(bench_evaluate._from_images(build, Subsets(1, 51), *images), rel=1e-6)
    assert threads == 1


def test_the_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers agree where a row says so; a stream of shards is counted in full."""
    times, apart = bench_evaluate.without_a_network(120, 1)
    assert times["ratio_median"] > 0
    assert apart["met"]
    assert 0 <= apart["ours_median"] < 1e-4
    seen: list[Any] = []
    compare = bench_evaluate.bench.compare

    def kept(work: str, ours: Callable[[], Any], name: str, peer: Callable[[], Any], *more: Any) -> Any:
        seen.extend([ours(), peer()])
        return compare(work, ours, name, peer, *more)

    monkeypatch.setattr(bench_evaluate.bench, "compare", kept)
    assert bench_evaluate.neighbours(150, 6, 1)["goal"] == 1.0
    ours, peer = seen
    assert 0 < ours.precision < 1
    assert (ours.precision, ours.recall) == pytest.approx((peer["precision"], peer["recall"]))
    assert bench_evaluate.streamed_bytes(700, 256, 16, 5, 50) > 50e6


def test_random_inception_is_one_network_for_both(tmp_path: Path) -> None:
    """The same file gives the same features and classes here and in torch-fidelity, alive and different by image."""
    path = tmp_path / "inception.pth"
    random_inception.write(path)
    extractor, x = random_inception.extractor(path, "cpu"), images_of("real", 2)
    found = extractor.extract(x)
    assert found.probabilities is not None
    theirs = load_torch_fidelity().FeatureExtractorInceptionV3(
        inception.NAME, ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    features, logits = theirs(torch.from_numpy(x).permute(0, 3, 1, 2))
    np.testing.assert_allclose(found.features, features, rtol=1e-3, atol=1e-3 * found.features.std())
    np.testing.assert_allclose(found.probabilities, logits.softmax(1), rtol=1e-2, atol=1e-6)
    assert np.ptp(found.features, axis=0).max() > 0
    assert (found.features > 0).mean() > 0.2
    assert 0.01 < found.features.std() < 100  # activations neither die nor grow
    assert extractor.name != inception.NAME
    space = Inception(
        lambda: extractor,
        {"feature_extractor": inception.NAME, "feature_extractor_weights_path": str(path)},
        "cpu",
    )
    row = bench_evaluate.extraction(space, 2, 1)
    assert (row["goal"], row["unit"]) == (1.0, "ns/item")


@pytest.mark.usefixtures("in_this_process")
def test_all_rows_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every goal of the benchmark has its row; workers are ended, the one of the memory row is a fresh one."""
    started: list[str] = []
    ended: list[str] = []
    monkeypatch.setattr(bench_evaluate, "QUICK", TINY)
    monkeypatch.setattr(bench_evaluate, "_SHARD_ROWS", 256)
    monkeypatch.setattr(bench_evaluate, "FEATURES", 16)
    monkeypatch.setattr(bench_evaluate, "CLASSES", 5)
    monkeypatch.setattr(bench_evaluate, "_RANDOM_ROWS", 50)
    monkeypatch.setattr(bench_evaluate, "present", lambda _: 0.0)
    monkeypatch.setattr(bench_evaluate, "_started", lambda _: started.append(f"worker {len(started)}") or started[-1])
    monkeypatch.setattr(bench_evaluate.ray, "kill", ended.append)
    monkeypatch.setattr(bench_evaluate, "extraction", lambda *_: bench_evaluate.bench.measured("extraction", "", 1))
    monkeypatch.setattr(random_inception, "write", lambda _: None)
    monkeypatch.setattr(bench_evaluate, "Inception", lambda *_: _space())
    rows = bench_names.run("evaluate", True, None)
    assert [row["goal"] for row in rows] == [1.0, 1.7, 20.0, None, None, None, 1e-4, 1.0, 2.0]
    assert rows[-1]["work"] == "memory of a worker: moments, KID and IS of 700 rows of 16 features"
    assert rows[-1]["unit"] == "GB"
    assert started == ended == ["worker 0", "worker 1", "worker 2"]
