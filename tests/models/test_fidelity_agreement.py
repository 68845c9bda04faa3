"""Weights of 1 give torch-fidelity's numbers: its formulas on features, its whole program through our extractors."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from lfiw_ray.core import frechet, inception_score, kernel_distance, manifold, moments
from lfiw_ray.core.kernels import CUBIC, Kernel, Polynomial, Rbf
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


KERNELS = [
    (CUBIC, {}),
    (
        Polynomial(2, 0.1, 0.5),
        {"kid_kernel_poly_degree": 2, "kid_kernel_poly_gamma": 0.1, "kid_kernel_poly_coef0": 0.5},
    ),
    (Rbf(), {"kid_kernel": "rbf"}),
    (Rbf(3.0), {"kid_kernel": "rbf", "kid_kernel_rbf_sigma": 3.0}),
]


@pytest.mark.parametrize("log_w", [None, np.full(300, 5000.0)])
@pytest.mark.parametrize(("kernel", "options"), KERNELS)
def test_kernel_subsets_formula(kernel: Kernel, options: dict[str, Any], log_w: np.ndarray | None) -> None:
    """Its seed gives its subsets."""
    real, generated = _features(300)
    expected = fidelity.metric_kid.kid_features_to_metric(
        torch.from_numpy(generated), torch.from_numpy(real[:250]), kid_subsets=7, kid_subset_size=60, verbose=False,
        **options,
    )  # fmt: skip
    rng = np.random.RandomState(2020)
    found = kernel_distance.subsets(real[:250], generated, log_w, rng, num_subsets=7, subset_size=60, kernel=kernel)
    assert found.mean == pytest.approx(expected[fidelity.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert found.std == pytest.approx(expected[fidelity.KEY_METRIC_KID_STD], rel=1e-9)


@pytest.mark.parametrize("log_w", [None, np.full(307, -8.0)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_score_formula(shuffle: bool, log_w: np.ndarray | None) -> None:
    """Ten splits of rows that ten does not divide."""
    logits = torch.from_numpy(3 * np.random.default_rng(2).standard_normal((307, 9)))
    expected = fidelity.metric_isc.isc_features_to_metric(logits, splits=10, shuffle=shuffle, rng_seed=2020)
    rng = np.random.RandomState(2020) if shuffle else None
    found = inception_score.over_splits(logits.softmax(1).numpy(), log_w, 10, rng)
    assert found.mean == pytest.approx(expected[fidelity.KEY_METRIC_ISC_MEAN], rel=1e-10)
    assert found.std == pytest.approx(expected[fidelity.KEY_METRIC_ISC_STD], rel=1e-9)


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


def _program(name: str, generated: np.ndarray, real: np.ndarray, batch_size: int, **options: Any) -> dict[str, float]:
    """torch-fidelity's own run, images to numbers, at a batch size that is not ours and its own default seed."""
    out: dict[str, float] = fidelity.calculate_metrics(
        input1=_Images(generated), input2=_Images(real), feature_extractor=name, batch_size=batch_size, cuda=False,
        save_cpu_ram=True, verbose=False, cache=False, fid=True, kid=True, prc=True, **options,
    )  # fmt: skip
    return out


def _ours(
    extractor: Extractor, generated: np.ndarray, real: np.ndarray, num_subsets: int, size: int, kernel: Kernel
) -> dict[str, float]:
    """The same numbers by our formulas, every weight 1, given as unnormalised log weights."""
    a, b = extractor.extract(real), extractor.extract(generated)
    log_w = np.full(len(generated), -3.0)
    kid = kernel_distance.subsets(a.features, b.features, log_w, np.random.RandomState(2020), num_subsets, size, kernel)
    near = manifold.compare(manifold.support(a.features, 3), b.features, log_w)
    out = {
        fidelity.KEY_METRIC_FID: frechet.distance(moments.of(a.features), moments.of(b.features, log_w)),
        fidelity.KEY_METRIC_KID_MEAN: kid.mean,
        fidelity.KEY_METRIC_KID_STD: kid.std,
        fidelity.KEY_METRIC_PRECISION: near.precision,
        fidelity.KEY_METRIC_RECALL: near.recall,
    }
    if b.probabilities is not None:
        score = inception_score.over_splits(b.probabilities, log_w, 10, np.random.RandomState(2020))
        out |= {fidelity.KEY_METRIC_ISC_MEAN: score.mean, fidelity.KEY_METRIC_ISC_STD: score.std}
    return out


@pytest.fixture(scope="module")
def cifar(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """240 images each of CIFAR-10's training and test split, uint8 (240, 32, 32, 3)."""
    file = pq.ParquetFile(shared_data / "cifar10.parquet")
    ends = [file.read_row_group(group, columns=["image", "batch"]) for group in (0, file.num_row_groups - 1)]
    assert [set(rows["batch"][-240:].to_pylist()) for rows in ends] == [{0}, {5}]
    splits = (rows["image"][-240:].to_pylist() for rows in ends)
    train, test = (np.stack([np.asarray(Image.open(BytesIO(i)).convert("RGB")) for i in split]) for split in splits)
    return train, test


@pytest.mark.parametrize(
    ("name", "kernel", "options"),
    [
        ("domain", CUBIC, {}),
        ("random", CUBIC, {}),
        ("random", Rbf(2.0), {"kid_kernel": "rbf", "kid_kernel_rbf_sigma": 2.0}),
    ],
)
def test_whole_program_on_cifar10(
    name: str, kernel: Kernel, options: dict[str, Any], cifar: tuple[np.ndarray, np.ndarray]
) -> None:
    """FID, KID over subsets, IS over 10 splits, precision and recall of real images, all at its defaults' form."""
    train, test = cifar
    generated = (test * 0.9).astype(np.uint8)  # duller than real, so that no number is trivial
    torch.manual_seed(0)
    extractor = extractors.domain(DomainNet((32, 32, 3), 10)) if name == "domain" else extractors.random((32, 32, 3))
    program = register_with_torch_fidelity(extractor)
    isc = extractor.num_classes is not None
    expected = _program(program, generated, train, 200, isc=isc, kid_subsets=20, kid_subset_size=100, **options)
    found = _ours(extractor, generated, train, 20, 100, kernel)
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-6)
    assert (fidelity.KEY_METRIC_ISC_MEAN in found) == (name == "domain")
    assert 0.05 < found[fidelity.KEY_METRIC_PRECISION] < 0.99


@pytest.mark.slow
def test_whole_program_with_inception(shared_data: Path, tmp_path: Path, cifar: tuple[np.ndarray, np.ndarray]) -> None:
    """The real weights (without the head, hence no score): its extractor and formulas, and ours."""
    trunk = tmp_path / "trunk.pth"
    subprocess.run([sys.executable, shared_data / "inception_weights.py", trunk], check=True, stdout=subprocess.DEVNULL)
    train, test = (images[:150] for images in cifar)
    options = {"feature_extractor_weights_path": str(trunk), "kid_subsets": 10, "kid_subset_size": 100}
    expected = _program("inception-v3-compat", test, train, 50, **options)
    found = _ours(extractors.inception(trunk), test, train, 10, 100, CUBIC)
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-4)


def test_registering_twice_gives_one_name() -> None:
    extractor = extractors.random((8, 8, 1))
    assert register_with_torch_fidelity(extractor) == register_with_torch_fidelity(extractors.random((8, 8, 1)))
    assert register_with_torch_fidelity(extractor) != register_with_torch_fidelity(extractors.random((8, 8, 3)))
