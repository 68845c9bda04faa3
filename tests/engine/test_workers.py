"""Workers that generate and score, called without a cluster: the same rows whatever the shards and their order."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_toys import SHAPE, finished_generator, flip_bit, write_samples, write_table

from lfiw_ray.config import ClassifierConfig
from lfiw_ray.core.blocks import block_stats, to_json
from lfiw_ray.core.calibration import Calibration
from lfiw_ray.engine.committee import Member
from lfiw_ray.engine.generate import GenerateWorker
from lfiw_ray.engine.models import WEIGHTS, finish_model
from lfiw_ray.engine.read import gather_images, read_log_w
from lfiw_ray.engine.score import ScoreWorker
from lfiw_ray.errors import NonFiniteError, ShardError
from lfiw_ray.models.checkpoint import Description, tensors_to_bytes
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import from_parquet

ROWS = 20_000  # the last shard is short
CALIBRATION = Calibration("platt", 0.5, 0.25, False)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished generator with random weights."""
    return finished_generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished classifier with random weights; as built its last layer is zero, and every logit with it."""
    return finished_classifier(tmp_path_factory.mktemp("classifier"), 1.0)


def finished_classifier(path: Path, last: float) -> str:
    torch.manual_seed(2)
    config, folder = ClassifierConfig(width=4), Folder(str(path))
    model = Classifier(config, SHAPE)
    torch.nn.init.constant_(model.last.weight, last)
    description = Description("classifier", config.model_dump(), SHAPE, {})
    finish_model(folder, "aaaa", description, {WEIGHTS: tensors_to_bytes(model.state_dict())}, {})
    return folder.url


def generated(generator: str, table: Table, order: list[int], seed: int = 3, stream: str = "samples") -> Table:
    worker = GenerateWorker(generator, table, stream, seed, 256, "cpu")
    for shard in order:
        start, stop = table.layout.bounds(shard)
        assert worker.run_shard(shard).rows == stop - start
    return table


def scorer(classifier: str, samples: Table, weights: Table) -> ScoreWorker:
    return ScoreWorker(((Member(classifier, 3, CALIBRATION, 0.1),),), samples, None, weights, 256, "cpu")


def contents(table: Table) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(table.url).iterdir()}


@pytest.fixture(scope="module")
def samples(generator: str, tmp_path_factory: pytest.TempPathFactory) -> Table:
    table = write_table(tmp_path_factory.mktemp("pool"), "samples", ROWS, 8192)
    return generated(generator, table, [0, 1, 2])


def test_images_depend_on_seed_stream_and_id_alone(generator: str, samples: Table, tmp_path: Path) -> None:
    x = gather_images(samples, np.arange(ROWS))
    assert len(np.unique(x.reshape(ROWS, -1), axis=0)) == ROWS
    other_cut = generated(generator, write_table(tmp_path, "wide", ROWS, 16384), [1, 0])
    assert np.array_equal(gather_images(other_cut, np.arange(ROWS)), x)
    for name, options in {"seed": {"seed": 4}, "stream": {"stream": "fit_samples"}}.items():
        other = generated(generator, write_table(tmp_path, name, 1024, 8192), [0], **options)
        assert not np.array_equal(gather_images(other, np.arange(1024)), x[:1024])


def test_ids_are_contiguous_and_shards_independent_of_their_order(
    generator: str, samples: Table, tmp_path: Path
) -> None:
    again = generated(generator, write_table(tmp_path, "samples", ROWS, 8192), [2, 0, 1])
    assert contents(again) == contents(samples)
    ids = [from_parquet(samples.read(shard)).column("sample_id").to_numpy() for shard in range(3)]
    assert np.array_equal(np.concatenate(ids), np.arange(ROWS))


def test_two_shards_in_a_workers_hands_are_computed_one_after_the_other(
    generator: str, samples: Table, tmp_path: Path
) -> None:
    table = write_table(tmp_path, "samples", ROWS, 8192)
    worker = GenerateWorker(generator, table, "samples", 3, 256, "cpu")
    asked, sample = [], worker._sampler.sample
    worker._sampler.sample = lambda ids, *rest: (asked.append(int(ids[0])), sample(ids, *rest))[1]  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(worker.run_shard, range(3)))
    shards = [first // 8192 for first in asked]
    assert sum(a != b for a, b in pairwise(shards)) == 2  # models may keep caches
    assert contents(table) == contents(samples)


def test_weights_do_not_depend_on_the_shards(classifier: str, samples: Table, tmp_path: Path) -> None:
    x = gather_images(samples, np.arange(ROWS))
    found = []
    for rows_per_shard in (8192, 16384):
        pool = write_samples(tmp_path, x, rows_per_shard)
        weights = write_table(tmp_path, f"weights-{rows_per_shard}", ROWS, rows_per_shard)
        worker = scorer(classifier, pool, weights)
        for shard in reversed(range(weights.layout.num_shards)):
            worker.run_shard(shard)
        found.append(read_log_w(weights, 0, ROWS))
        blocks = [weights.mark(s).extra["blocks"] for s in range(weights.layout.num_shards)]
        sums = [value for part in blocks for value in part["log_sum"]]
        assert sums == to_json(block_stats(found[-1], 0))["log_sum"]
    assert np.array_equal(found[0], found[1])
    assert found[0].std() > 0.01


def test_log_weights_are_calibrated_logits_plus_the_prior(classifier: str, samples: Table, tmp_path: Path) -> None:
    weights = write_table(tmp_path, "weights", ROWS, 8192)
    scorer(classifier, samples, weights).run_shard(2)
    table = from_parquet(weights.read(2))
    logit, log_w = (table.column(name).to_numpy() for name in ("logit", "log_w"))
    assert log_w.dtype == logit.dtype == np.float32
    assert log_w == pytest.approx(0.5 * logit + 0.25 + 0.1, abs=1e-6)


def test_a_committed_shard_is_left_alone_and_a_lost_one_comes_back_the_same(
    generator: str, classifier: str, samples: Table, tmp_path: Path
) -> None:
    pool = generated(generator, write_table(tmp_path, "samples", ROWS, 8192), [0, 1, 2])
    weights = write_table(tmp_path, "weights", ROWS, 8192)
    score = scorer(classifier, pool, weights)
    for shard in range(3):
        score.run_shard(shard)
    whole = contents(weights)
    before = {path: path.stat().st_mtime_ns for table in (pool, weights) for path in Path(table.url).iterdir()}
    generated(generator, pool, [0, 1, 2])
    for shard in range(3):
        score.run_shard(shard)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for table in (pool, weights):
        (Path(table.url) / "00001.json").unlink()  # as a crash between rows and mark leaves it
    generated(generator, pool, [1])
    score.run_shard(1)
    assert contents(pool) == contents(samples)
    assert contents(weights) == whole


def test_a_torn_or_altered_sample_shard_is_refused_by_name(generator: str, classifier: str, tmp_path: Path) -> None:
    pool = generated(generator, write_table(tmp_path, "samples", ROWS, 8192), [0, 1])
    weights = write_table(tmp_path, "weights", ROWS, 8192)
    score = scorer(classifier, pool, weights)
    torn, altered = (Path(pool.url) / f"0000{shard}.parquet" for shard in (0, 1))
    torn.write_bytes(torn.read_bytes()[:-1])
    flip_bit(altered, altered.stat().st_size // 2)
    with pytest.raises(ShardError, match=r"samples/00000.parquet has \d+ bytes, its mark says \d+; .*--repair"):
        score.run_shard(0)
    with pytest.raises(ShardError, match=r"samples/00001.parquet was altered.*--repair"):
        score.run_shard(1)
    with pytest.raises(ShardError, match=r"samples/00002.json is not committed"):
        score.run_shard(2)
    assert not Path(weights.url).exists()


def test_a_logit_that_is_not_finite_names_the_sample(samples: Table, tmp_path: Path) -> None:
    broken = finished_classifier(tmp_path / "classifier", float("nan"))
    weights = write_table(tmp_path, "weights", ROWS, 8192)
    with pytest.raises(NonFiniteError, match="logit of sample id 8192 is nan"):
        scorer(broken, samples, weights).run_shard(1)
    assert not Path(weights.url).exists()
