"""Weights of 1 give torch-fidelity's numbers: its formulas on features, its whole program through our extractors."""

import numpy as np
import pytest
import torch

from lfiw_ray.core import frechet, inception_score, kernel_distance, manifold, moments
from lfiw_ray.models import extractors
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.extractors import Extractor
from lfiw_ray.models.fidelity_bridge import register_with_torch_fidelity
from lfiw_ray.models.torchvision_ops import load_torch_fidelity

fidelity = load_torch_fidelity()


def _features(num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((num_rows, 32)), rng.standard_normal((num_rows, 32)) ** 2


@pytest.mark.parametrize("num_rows", [500, 20])
def test_frechet_formula(num_rows: int) -> None:
    """Also with fewer rows than features, where both covariances are singular."""
    pair = _features(num_rows)
    stats = [{"mu": x.mean(axis=0), "sigma": np.cov(x, rowvar=False)} for x in pair]
    expected = fidelity.metric_fid.fid_statistics_to_metric(*stats, verbose=False)[fidelity.KEY_METRIC_FID]
    assert frechet.distance(*map(moments.of, pair)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("log_w", [None, np.full(300, -8.0)])
def test_kernel_formula(log_w: np.ndarray | None) -> None:
    real, generated = _features(300)
    expected = fidelity.metric_kid.kernel_mmd(real, generated)
    assert kernel_distance.distance(real, generated, log_w) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("log_w", [None, np.full(300, -8.0)])
def test_precision_recall_formula(log_w: np.ndarray | None) -> None:
    real, generated = (x[:, :3] for x in _features(300))
    expected = fidelity.metric_prc.prc_features_to_metric(
        torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=5, verbose=False
    )
    found = manifold.compare(manifold.support(real, 5), generated, log_w)
    assert 0.05 < found.precision < 0.95
    assert 0.05 < found.recall < 0.95
    assert found.precision == pytest.approx(expected[fidelity.KEY_METRIC_PRECISION], rel=1e-6)
    assert found.recall == pytest.approx(expected[fidelity.KEY_METRIC_RECALL], rel=1e-6)


class _Images(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, x: np.ndarray):
        self._x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self._x[row]


def _program(extractor: Extractor, generated: np.ndarray, real: np.ndarray, isc: bool) -> dict[str, float]:
    """torch-fidelity's own run, images to numbers, at a batch size that is not ours."""
    out: dict[str, float] = fidelity.calculate_metrics(
        input1=_Images(generated), input2=_Images(real), feature_extractor=register_with_torch_fidelity(extractor),
        cuda=False, save_cpu_ram=True, verbose=False, batch_size=50, cache=False,
        fid=True, kid=True, prc=True, isc=isc, isc_splits=1,
        kid_subsets=1, kid_subset_size=len(real), prc_neighborhood=5,
    )  # fmt: skip
    return out


@pytest.mark.parametrize("name", ["domain", "random"])
def test_whole_program_over_our_extractors(name: str) -> None:
    rng = np.random.default_rng(1)
    real = rng.integers(0, 256, (400, 16, 16, 3), dtype=np.uint8)
    generated = (real[::-1] * 0.9 + rng.integers(0, 20, real.shape)).astype(np.uint8)
    torch.manual_seed(0)
    extractor = extractors.domain(DomainNet((16, 16, 3), 7)) if name == "domain" else extractors.random((16, 16, 3))
    expected = _program(extractor, generated, real, isc=extractor.num_classes is not None)
    a, b = extractor.extract(real), extractor.extract(generated)
    ones = np.zeros(len(generated))
    fid = frechet.distance(moments.of(a.features), moments.of(b.features, ones))
    prc = manifold.compare(manifold.support(a.features, 5), b.features, ones)
    kid = kernel_distance.distance(a.features, b.features, ones)
    assert fid == pytest.approx(expected[fidelity.KEY_METRIC_FID], rel=1e-5)
    assert kid == pytest.approx(expected[fidelity.KEY_METRIC_KID_MEAN], rel=1e-6)
    assert prc.precision == pytest.approx(expected[fidelity.KEY_METRIC_PRECISION], rel=1e-6)
    assert prc.recall == pytest.approx(expected[fidelity.KEY_METRIC_RECALL], rel=1e-6)
    if b.probabilities is not None:
        score = inception_score.finish(inception_score.of(b.probabilities, ones))
        assert score == pytest.approx(expected[fidelity.KEY_METRIC_ISC_MEAN], rel=1e-6)


def test_registering_twice_gives_one_name() -> None:
    extractor = extractors.random((8, 8, 1))
    assert register_with_torch_fidelity(extractor) == register_with_torch_fidelity(extractors.random((8, 8, 1)))
    assert register_with_torch_fidelity(extractor) != register_with_torch_fidelity(extractors.random((8, 8, 3)))
