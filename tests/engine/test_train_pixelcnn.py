"""PixelCNN++ in the training loop: fitted to the data before the first step, and resumed to the same numbers."""

from pathlib import Path

import pytest
import torch
from engine_toys import ALONE, SHAPE, equal, images, job

from lfiw_ray.config_generators import PixelCNNConfig
from lfiw_ray.engine.train_loop import train
from lfiw_ray.models.pixelcnn import PixelCNN


class StopNowError(Exception):
    """The end of the process, as far as a test can have it."""


def tiny() -> PixelCNN:
    return PixelCNN(PixelCNNConfig(blocks=1, filters=4, mixtures=1), SHAPE)


def test_a_run_that_was_cut_off_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    """Dropout is on, and the first rows are fitted to again before the checkpoint is loaded."""
    whole, cut = (job(tmp_path / name, tiny, epochs=2, held_out=images(12, 1)) for name in ("whole", "cut"))
    undisturbed = train(whole, whole.data, whole.held_out, ALONE, lambda _: None)

    def stop(_: dict[str, float]) -> None:
        raise StopNowError

    with pytest.raises(StopNowError):
        train(cut, cut.data, cut.held_out, ALONE, stop)
    resumed = train(cut, cut.data, cut.held_out, ALONE, lambda _: None)
    assert equal(resumed.tensors(), undisturbed.tensors())
    assert resumed.progress.history == undisturbed.progress.history
    assert resumed.progress.history[0]["bpd"] > resumed.progress.history[1]["bpd"]


def test_the_average_starts_from_the_fitted_weights(tmp_path: Path) -> None:
    """At a learning rate of next to nothing the averaged gains are those of the fit, not the fresh ones."""
    work = job(tmp_path, tiny, epochs=1, lr=1e-12)
    state = train(work, work.data, None, ALONE, lambda _: None)
    averaged = state.averaged()["net.last.gain"]
    assert not torch.allclose(averaged, torch.ones_like(averaged))
    torch.testing.assert_close(averaged, state.model.state_dict()["net.last.gain"])
