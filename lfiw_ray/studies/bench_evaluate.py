"""Evaluation against torch-fidelity's on the same device, every worker and the peer with one thread.

| row | ours | peer |
|---|---|---|
| FID + KID + IS | images to numbers, by one worker or two | `calculate_metrics`, one thread |
| the same from features | our tables read back | `calculate_metrics` of the images; and from its own cache |
| extraction | Inception alone | its extractor's loop |
| in the space `random` | images to numbers where the network costs nothing | over our extractor, registered with it |
| precision, recall | with density and coverage | precision and recall alone |
| memory | moments, subsets of KID and IS of a stream of shards | |

Images are uniform noise and Inception's weights are random: the cost is that of the real ones, and nothing has to be
downloaded.  Each run of the peer fills a fresh cache of its own, from which the next row reads; that costs it less than
a thousandth.  On a CPU the sets of 10,000 images take two hours, so they are run once; the row of the extraction shows
the spread.  In a quick run FID's matrix roots, which do not shrink with the images, weigh more than they should.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
import torch

from lfiw_ray.core import frechet, inception_score, kernel_distance, manifold, moments, noise
from lfiw_ray.engine.cluster import present
from lfiw_ray.models import extractors, inception
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.models.fidelity_bridge import register_with_torch_fidelity
from lfiw_ray.models.torchvision_ops import load_torch_fidelity
from lfiw_ray.studies import bench, evaluate_both, random_inception
from lfiw_ray.studies.bench import Row
from lfiw_ray.studies.evaluate_both import Build, Images, Part, Subsets

log = logging.getLogger(__name__)

SHAPE = (32, 32, 3)
FEATURES, CLASSES = inception.NUM_FEATURES, inception.NUM_CLASSES
_SETS = ("generated", "real")
_NEIGHBOURS = 3
_RANDOM_ROWS = 2000
_SHARD_ROWS = 16_384
_LIMIT_GB = 2.0
_AGREEMENT = 1e-4


class Sizes(NamedTuple):
    """Rows of each kind of work, and repetitions of the short ones."""

    images: int
    subsets: Subsets
    extracted: int
    neighbours: int
    streamed: int
    repeats: int


FULL = Sizes(10_000, Subsets(100, 1000), 256, 10_000, 10**6, 5)
QUICK = Sizes(100, Subsets(10, 50), 48, 2000, 10**5, 3)


class Inception(NamedTuple):
    """A feature space and how torch-fidelity is told to use the same; `options` are of `calculate_metrics`."""

    build: Build
    options: dict[str, Any]
    device: str


def rows(quick: bool) -> list[Row]:
    """All rows."""
    sizes, gpus = QUICK if quick else FULL, present("GPU")
    device = "cuda" if gpus else "cpu"
    with tempfile.TemporaryDirectory(prefix="lfiw-bench-") as here:
        weights = Path(here) / "inception.pth"
        random_inception.write(weights)
        options = {"feature_extractor": inception.NAME, "feature_extractor_weights_path": str(weights)}
        space = Inception(partial(random_inception.extractor, weights, device), options, device)
        workers = [_started(min(1.0, gpus / 2)) for _ in range(2)]
        try:
            found = [
                *images_to_numbers(workers, space, sizes, Path(here), sizes.repeats if gpus else 1),
                _ask(workers[0], extraction, space, sizes.extracted, sizes.repeats),
                *_ask(workers[0], without_a_network, _RANDOM_ROWS, sizes.repeats),
                _ask(workers[0], neighbours, sizes.neighbours, FEATURES, sizes.repeats),
            ]
        finally:
            for worker in workers:
                ray.kill(worker)
    fresh = _started(0.0)
    try:
        peak = _ask(fresh, streamed_bytes, sizes.streamed, _SHARD_ROWS, FEATURES, CLASSES, sizes.subsets.size)
    finally:
        ray.kill(fresh)
    work = f"memory of a worker: moments, KID and IS of {sizes.streamed:,} rows of {FEATURES:,} features"
    return [*found, bench.measured(work, "GB", peak / 1e9, _LIMIT_GB)]


class Worker:
    """A process with one thread, which calls what it is given."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        load_torch_fidelity()

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        """What `work` returns."""
        return work(*args)


def _started(num_gpus: float) -> Any:
    """A worker whose libraries have one thread too, ready."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    actor = ray.remote(Worker).options(num_cpus=1, num_gpus=num_gpus, runtime_env={"env_vars": threads})
    worker = actor.remote()
    ray.get(worker.call.remote(len, ()))
    return worker


def _ask(worker: Any, work: Callable[..., Any], *args: Any) -> Any:
    return ray.get(worker.call.remote(work, *args))


def images_of(name: str, num_rows: int) -> np.ndarray:
    """(num_rows, 32, 32, 3) uint8 noise."""
    return noise.generator(0, f"bench-evaluate/{name}").integers(0, 256, (num_rows, *SHAPE), dtype=np.uint8)


def images_to_numbers(workers: list[Any], space: Inception, sizes: Sizes, here: Path, repeats: int) -> list[Row]:
    """By one worker, by two, from features, and by torch-fidelity, in turn."""
    images = [ray.put(images_of(name, sizes.images)) for name in _SETS]
    halves = [ray.put(images_of(name, sizes.images)[half::2]) for half in range(2) for name in _SETS]
    _write_both(workers, space.build, here, images)
    runs: list[list[float]] = []
    for repeat in range(repeats):
        cache = {"cache_root": str(here / str(repeat)), "input1_cache_name": "generated", "input2_cache_name": "real"}
        peer = partial(_ask, workers[0], _peer, space, sizes.subsets, cache, *images)
        runs.append(
            [
                _seconds("1 worker", partial(_ask, workers[0], _from_images, space.build, sizes.subsets, *images)),
                _seconds("2 workers", partial(_by_two, workers, space.build, sizes.subsets, halves)),
                _seconds("from cached features", partial(_ask, workers[0], _from_tables, here, sizes.subsets)),
                _seconds("calculate_metrics", peer),
                _seconds("calculate_metrics from its cache", peer),
            ]
        )
    work = f"FID + KID + IS of {sizes.images:,} images against as many"
    pairs = [
        ("1 worker", 0, 3, "calculate_metrics", 1.0),
        ("2 workers", 1, 3, "calculate_metrics, one thread", 1.7),
        ("from cached features", 2, 3, "calculate_metrics of the images", 20.0),
        ("from cached features", 2, 4, "calculate_metrics from its cache", None),
    ]
    return [
        bench.paired(f"{work}, {how}, {space.device}", "s", [(run[a], run[b]) for run in runs], name, goal)
        for how, a, b, name, goal in pairs
    ]


def _seconds(what: str, work: Callable[[], object]) -> float:
    """Of one measurement, each of which may take the better part of an hour: told at once."""
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    log.info("%s: %.1f s", what, seconds)
    return seconds


def _write_both(workers: list[Any], build: Build, here: Path, images: list[Any]) -> None:
    """The tables that `from cached features` reads: each worker extracts a set, untimed."""
    each = zip(workers, _SETS, images, strict=True)
    ray.get([worker.call.remote(_write, build, here, name, x) for worker, name, x in each])


def _write(build: Build, here: Path, name: str, x: np.ndarray) -> None:
    evaluate_both.write_features(build, here, **{name: x})


def _from_images(build: Build, subsets: Subsets, generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    return evaluate_both.numbers(evaluate_both.from_images(build, generated, real), subsets)


def _from_tables(here: Path, subsets: Subsets) -> dict[str, float]:
    return evaluate_both.numbers(evaluate_both.from_tables(here / "generated.parquet", here / "real.parquet"), subsets)


def _peer(
    space: Inception, subsets: Subsets, cache: dict[str, Any], generated: np.ndarray, real: np.ndarray
) -> dict[str, float]:
    return evaluate_both.by_torch_fidelity(generated, real, subsets, space.device, isc=True, **space.options, **cache)


def _by_two(workers: list[Any], build: Build, subsets: Subsets, halves: list[Any]) -> dict[str, float]:
    """Each extracts half of either set; then one finishes the sums, the other the KID."""
    parts = [
        worker.call.options(num_returns=2).remote(evaluate_both.from_images, build, *halves[2 * i : 2 * i + 2])
        for i, worker in enumerate(workers)
    ]
    generated, real = zip(*parts, strict=True)
    sums = workers[0].call.remote(_gathered, evaluate_both.fid_and_score, (), *generated, *real)
    features = workers[1].call.remote(_gathered, evaluate_both.kid, (subsets,), *generated, *real)
    return {**ray.get(sums), **ray.get(features)}


def _gathered(work: Callable[..., dict[str, float]], more: tuple[Any, ...], *parts: Part) -> dict[str, float]:
    """Ray fetches arguments of the call itself, not those inside lists."""
    half = len(parts) // 2
    return work(parts[:half], parts[half:], *more)


def extraction(space: Inception, num_rows: int, repeats: int) -> Row:
    """The network alone, in this process."""
    fidelity, x = load_torch_fidelity(), images_of("generated", num_rows)
    cuda, extractor = space.device == "cuda", space.build()
    names = ["2048", "logits_unbiased"]
    given = {key: value for key, value in space.options.items() if key != "feature_extractor"}
    theirs = fidelity.utils.create_feature_extractor(
        space.options["feature_extractor"], names, cuda=cuda, verbose=False, **given
    )
    peer = partial(fidelity.utils.get_featuresdict_from_dataset, Images(x), theirs, 64, cuda, True, False)
    work = f"Inception features and probabilities of {num_rows} images, {space.device}"
    return bench.compare(work, partial(extractor.extract, x), "torch-fidelity's loop", peer, num_rows, 1.0, repeats)


def without_a_network(num_rows: int, repeats: int) -> list[Row]:
    """FID and KID in the space `random`, which torch-fidelity is given too, and how far the numbers are apart."""
    generated, real = (images_of(name, num_rows) for name in _SETS)
    build, all_rows = partial(extractors.random, SHAPE), Subsets(1, num_rows)
    name = register_with_torch_fidelity(build())
    ours = partial(_from_images, build, all_rows, generated, real)
    peer = partial(
        evaluate_both.by_torch_fidelity,
        generated,
        real,
        all_rows,
        "cpu",
        isc=False,
        feature_extractor=name,
        cache=False,
    )
    a, b = ours(), peer()
    apart = max(abs(a[metric] / b[metric] - 1) for metric in a)
    work = f"FID + KID of {num_rows:,} images in the space random"
    return [
        bench.compare(work, ours, "calculate_metrics over our extractor", peer, num_rows, None, repeats),
        bench.measured(f"{work}: largest relative difference of a number", "", apart, _AGREEMENT),
    ]


def neighbours(num_rows: int, num_features: int, repeats: int) -> Row:
    """Precision and recall of two sets of normal features."""
    real, generated = (
        noise.generator(0, f"bench-evaluate/{name}").standard_normal((num_rows, num_features), dtype=np.float32)
        for name in ("real", "generated")
    )
    theirs = load_torch_fidelity().metric_prc.prc_features_to_metric
    peer = partial(
        theirs, torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=_NEIGHBOURS, verbose=False
    )
    work = f"precision and recall, {num_rows:,} against {num_rows:,} rows of {num_features:,} features, one thread"
    ours = partial(_manifold, real, generated)
    return bench.compare(work, ours, "prc_features_to_metric", peer, num_rows, 1.0, repeats)


def _manifold(real: np.ndarray, generated: np.ndarray) -> manifold.Manifold:
    return manifold.compare(manifold.support(real, _NEIGHBOURS), generated)


def streamed_bytes(num_rows: int, shard_rows: int, num_features: int, num_classes: int, subset_size: int) -> int:
    """Peak memory of this process after the sums of a stream of shards; a KID of each shard's first rows."""
    first = _shard(0, shard_rows, num_features, num_classes)
    real = evaluate_both.part_of(first)._replace(features=first.features[:subset_size].copy())
    total, score, kid_sum = moments.init(num_features), inception_score.init(num_classes), 0.0
    del first
    for shard, start in enumerate(range(0, num_rows, shard_rows), start=1):
        part = evaluate_both.part_of(_shard(shard, min(shard_rows, num_rows - start), num_features, num_classes))
        assert part.score is not None
        total, score = moments.merge(total, part.moments), inception_score.merge(score, part.score)
        kid_sum += kernel_distance.distance(real.features, part.features[:subset_size])
    assert total.num_rows == num_rows
    assert np.isfinite([frechet.distance(real.moments, total), inception_score.finish(score), kid_sum]).all()
    return bench.peak_rss_bytes()


def _shard(shard: int, num_rows: int, num_features: int, num_classes: int) -> Extracted:
    rng = noise.generator(0, "bench-evaluate/stream", shard)
    features = rng.standard_normal((num_rows, num_features), dtype=np.float32)
    logits = torch.from_numpy(rng.standard_normal((num_rows, num_classes), dtype=np.float32))
    return Extracted(features, logits.softmax(1).numpy())
