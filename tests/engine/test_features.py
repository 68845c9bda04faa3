"""Tables of frozen features: the same as extracting, whatever the shards; and who may read them instead."""

from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from engine_toys import SHAPE, images, write_samples, write_table

from lfiw_ray.config import PipelineConfig
from lfiw_ray.config_evaluate import ExtractorName
from lfiw_ray.core.digest import digest
from lfiw_ray.engine.features import ExtractWorker, build_extractor, gather_features
from lfiw_ray.engine.fill_features import reads_classifiers_table
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.errors import ConfigError, NonFiniteError, ShardError
from lfiw_ray.models import extractors
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.extractors import FIDELITY_NAMES, Extractor
from lfiw_ray.store.shards import Table

ROWS = 9000  # the last shard is short
X = images(ROWS, seed=5)


def domain_extractor() -> Extractor:
    """With random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return extractors.domain(DomainNet(SHAPE, num_classes=4))


def extracted(folder: Path, rows_per_shard: int = 8192) -> Table:
    """The table of features of all rows."""
    samples = write_samples(folder, X, rows_per_shard)
    features = write_table(folder, f"features-{rows_per_shard}", ROWS, rows_per_shard)
    worker = ExtractWorker(domain_extractor, domain_extractor().weights_sha256, samples, features)
    for shard in reversed(range(features.layout.num_shards)):
        start, stop = features.layout.bounds(shard)
        assert worker.run_shard(shard).rows == stop - start
    return features


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return extracted(tmp_path_factory.mktemp("features"))


def test_a_table_agrees_with_extraction_to_the_last_bit(features: Table) -> None:
    """Read together or alone, and extracted together or alone."""
    whole = domain_extractor().extract(X)
    assert whole.probabilities is not None
    for ids in (np.arange(ROWS), np.array([8191]), np.array([3, 2047, 2048, 8191, 8192, 8999])):
        found = gather_features(features, ids)
        assert np.array_equal(found.features, whole.features[ids])
        assert np.array_equal(found.probabilities, whole.probabilities[ids])
        alone = domain_extractor().extract(X[ids])
        assert np.array_equal(found.features, alone.features)
        assert np.array_equal(found.probabilities, alone.probabilities)
    assert whole.features.std() > 0.01


def test_features_do_not_depend_on_the_shards(features: Table, tmp_path: Path) -> None:
    wide, ids = extracted(tmp_path, 16384), np.arange(ROWS)
    assert np.array_equal(gather_features(wide, ids).features, gather_features(features, ids).features)
    again = extracted(tmp_path)
    for shard in range(2):
        assert again.read(shard) == features.read(shard)
        mark = features.mark(shard)
        assert mark == again.mark(shard)
        assert mark.extra == {"extractor": "domain", "weights_sha256": domain_extractor().weights_sha256}


def test_a_committed_shard_is_left_alone(features: Table) -> None:
    files = sorted(Path(features.url).iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    nothing = Table("/nowhere", features.plan, features.layout)
    assert ExtractWorker(domain_extractor, "ab", nothing, features).run_shard(1).rows == ROWS - 8192
    assert [path.stat().st_mtime_ns for path in files] == before


def test_a_feature_that_is_no_number_names_its_sample(tmp_path: Path) -> None:
    samples, features = write_samples(tmp_path, X, 8192), write_table(tmp_path, "features", ROWS, 8192)
    broken = domain_extractor()
    assert isinstance(broken.net, DomainNet)
    torch.nn.init.constant_(broken.net.embed.bias, float("nan"))
    worker = ExtractWorker(lambda: broken, broken.weights_sha256, samples, features)
    with pytest.raises(NonFiniteError, match=r"extractor domain: NaN or infinity in sample id 8192 and 807 more"):
        worker.run_shard(1)
    assert not Path(features.url).exists()


def test_features_of_other_weights_do_not_mix(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, X[:10], 8192)
    out = write_table(tmp_path, "features", 10, 8192)
    random = partial(extractors.random, SHAPE)
    with pytest.raises(ConfigError, match=r"extractor random has weights of SHA-256 .*made with abababababab"):
        ExtractWorker(random, "ab" * 32, samples, out).run_shard(0)
    assert not Path(out.url).exists()
    ExtractWorker(random, random().weights_sha256, samples, out).run_shard(0)
    assert gather_features(out, np.array([2, 5])).probabilities is None


def test_no_row_and_a_row_that_is_not_there(features: Table) -> None:
    with pytest.raises(ValueError, match="no sample ids"):
        gather_features(features, np.array([], np.int64))
    with pytest.raises(ShardError, match="row 900 is wanted"):
        gather_features(features, np.array([8192 + 900]))


def test_the_classifiers_table_serves_its_own_extractor_alone(tmp_path: Path) -> None:
    sections = {"run": str(tmp_path), "generate": {"num_samples": ROWS, "rows_per_shard": 8192}, "resample": {"k": 10}}
    config = PipelineConfig.model_validate({**sections, "classifier": {"input": "both", "extractor": "random"}})
    run = Run(config, str(tmp_path), stage_plans(config, digest("x")), SHAPE, FitRows(1, 1, 1), 1, 1)
    assert reads_classifiers_table(run, "random")
    assert not reads_classifiers_table(run, "domain")


@pytest.mark.parametrize("name", get_args(ExtractorName))
def test_every_extractor_of_the_configuration_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading is left out: most weights are hundreds of megabytes."""
    asked: list[tuple[str, object]] = []
    monkeypatch.setattr(extractors, "by_fidelity_name", lambda *a: asked.append(a))
    monkeypatch.setattr(extractors, "inception", lambda *a: asked.append(("inception", *a)))
    weights = {name: "w.pth"} if name not in ("domain", "random", "inception") else {}
    section = {"extractors": [name], "extractor_weights": weights, "inception_weights": "w.pth"}
    config = PipelineConfig.model_validate({"evaluate": section})
    run = Run(config, "", stage_plans(config, digest("x")), SHAPE, FitRows(1, 1, 1), 1, 1)
    if name not in ("domain", "random"):
        build_extractor(run, name)
        assert asked == [(name, "w.pth", "cpu")]
    assert name in ("domain", "random", "inception", *FIDELITY_NAMES)
    assert set(get_args(ExtractorName)) == {"domain", "random", "inception", *FIDELITY_NAMES} - {"inception-v3-compat"}
