"""Extractors: shapes, batching, determinism, what they refuse."""

import json

import numpy as np
import pytest
import torch

from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models import extractors
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.extractors import Extractor
from lfiw_ray.models.random_features import RandomFeatures

SHAPE = (28, 28, 1)


def _images(n: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


def _made(name: str, shape: tuple[int, int, int] = SHAPE) -> Extractor:
    torch.manual_seed(0)
    return extractors.domain(DomainNet(shape, 10)) if name == "domain" else extractors.random(shape)


@pytest.mark.parametrize("name", ["domain", "random"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (9, 17, 3), (32, 32, 3), (65, 64, 3)])
def test_shapes(name: str, shape: tuple[int, int, int]) -> None:
    extractor = _made(name, shape)
    found = extractor.extract(_images(5, shape))
    assert found.features.shape == (5, extractor.num_features) == (5, 64)
    assert found.features.dtype == np.float32
    assert found.features.std(axis=0).max() > 0
    if extractor.num_classes is None:
        assert found.probabilities is None
        assert extractor.no_probabilities
    else:
        assert found.probabilities is not None
        assert found.probabilities.shape == (5, 10)
        np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["domain", "random"])
def test_a_row_does_not_depend_on_the_others(name: str) -> None:
    """The same bits however many rows are asked for, wherever the row lies."""
    extractor, x = _made(name), _images(600)
    whole = extractor.extract(x).features
    for rows in (slice(0, 1), slice(250, 260), slice(599, 600), slice(100, 600)):
        np.testing.assert_array_equal(extractor.extract(x[rows]).features, whole[rows])
    assert extractor.extract(x[:0]).features.shape == (0, 64)


def test_description_is_json_and_tells_spaces_apart() -> None:
    first, again, random = _made("domain"), _made("domain"), _made("random")
    assert json.loads(json.dumps(first.describe())) == again.describe()
    torch.manual_seed(1)
    other = extractors.domain(DomainNet(SHAPE, 10))
    assert len({e.weights_sha256 for e in (first, other, random)}) == 3


def test_random_features_are_fixed() -> None:
    """Untouched by torch's random state, and pinned: the same space in every run and on every machine."""
    torch.manual_seed(5)
    first = RandomFeatures(SHAPE)
    torch.manual_seed(6)
    np.testing.assert_array_equal(first.projection, RandomFeatures(SHAPE).projection)
    ramp = np.arange(28 * 28, dtype=np.uint8).reshape(1, *SHAPE)
    pinned = [-0.995762, -0.182962, -2.354678, -0.256278]
    np.testing.assert_allclose(extractors.random(SHAPE).extract(ramp).features[0, :4], pinned, rtol=1e-3)


def test_random_features_keep_distances() -> None:
    """Rows of the projection are orthogonal, and features are neither dead nor saturated."""
    projection = RandomFeatures(SHAPE).projection.numpy().astype(np.float64)
    gram = projection @ projection.T
    np.testing.assert_allclose(gram, np.eye(64) * gram[0, 0], atol=1e-5)
    features = extractors.random(SHAPE).extract(_images(200)).features
    assert 0.1 < np.sqrt((features**2).mean()) < 10


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 28, 28), np.uint8), np.zeros((2, 28, 28, 2), np.uint8), np.zeros((2, *SHAPE))]
)
def test_refuses_what_is_no_image(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="images at rest"):
        _made("random").extract(bad)


def test_refuses_small_images() -> None:
    for shape in ((7, 28, 1), (28, 28, 2)):
        with pytest.raises(ValueError, match="at least 8"):
            RandomFeatures(shape)
        with pytest.raises(ValueError, match="at least 8"):
            DomainNet(shape, 10)


def test_broken_network_names_the_row() -> None:
    extractor = _made("domain")
    assert isinstance(extractor.net, DomainNet)
    torch.nn.init.constant_(extractor.net.embed.bias, float("nan"))
    with pytest.raises(NonFiniteError, match="domain: NaN or infinity in row 0 and 2 more"):
        extractor.extract(_images(3))
