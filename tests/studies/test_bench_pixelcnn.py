"""The PixelCNN++ benchmark on a tiny model: what its rows say, and that a wrong sampler is noticed."""

import pytest
import torch

from lfiw_ray.config_generators import PixelCNNConfig
from lfiw_ray.models.pixelcnn_net import PixelNet
from lfiw_ray.models.pixelcnn_sampler import PixelNoise, sample_cached
from lfiw_ray.studies import bench_pixelcnn

TINY = PixelCNNConfig(blocks=1, filters=4, mixtures=2)


def test_rows_say_what_was_timed_and_that_the_images_are_equal() -> None:
    model = bench_pixelcnn.fitted(TINY, (8, 8, 3))
    speed, rounded = bench_pixelcnn.against_plain(model, 2, 3)
    exact = bench_pixelcnn.exactness(model, 2)
    assert "2 images, 8 x 8 x 3, 1 blocks of 4 filters" in speed["work"]
    assert speed["peer"] == "plain sampler (3 of 64 passes timed, and multiplied)"
    assert speed["goal"] == 50
    assert rounded["met"]
    assert (exact["ours_median"], exact["met"]) == (0, True)


def test_a_sampler_that_errs_misses_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(net: PixelNet, noise: PixelNoise) -> torch.Tensor:
        return sample_cached(net, noise).roll(1, dims=3)

    monkeypatch.setattr(bench_pixelcnn, "sample_cached", wrong)
    model = bench_pixelcnn.fitted(TINY, (8, 8, 3))
    assert not bench_pixelcnn.against_plain(model, 2, 1)[1]["met"]
    assert not bench_pixelcnn.exactness(model, 1)["met"]
