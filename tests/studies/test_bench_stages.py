"""The harness of the generate and train benchmarks: what counts as a cost, and that the peers do the same work."""

import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lfiw_ray.config import TrainConfig
from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.engine.train import fit
from lfiw_ray.engine.train_loop import TrainJob
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.checkpoint import tensors_from_bytes
from lfiw_ray.models.fast_sampling import EAGER, Speed
from lfiw_ray.studies import bench, bench_generate, bench_names, bench_train

TINY = VAEConfig(latents=2, width=2)


def test_costs_that_were_measured_in_turn_are_compared_pair_by_pair() -> None:
    row = bench.paired("w", "us/image", [(2.0, 3.0), (4.0, 4.0), (1.0, 2.0)], "peer", 1.5)
    assert (row["ours_median"], row["peer_median"]) == (2.0, 3.0)
    assert (row["ratio_median"], row["ratio_min"], row["ratio_max"], row["met"]) == (1.5, 1.0, 2.0, True)
    assert bench.paired("w", "s", [(2.0, 1.9)], "peer", 1.0)["met"] is False
    assert bench.paired("w", "s", [(2.0, 1.9)], "peer", None)["met"] is None


def test_a_further_row_costs_what_shards_cost_after_the_first_of_each_actor() -> None:
    assert bench_generate.seconds_a_row([19.0, 10.0, 13.0, 16.0], 1, 100) == pytest.approx(9 / 300)
    assert bench_generate.seconds_a_row([10.0, 11.0, 13.0, 14.0, 16.0, 17.0], 2, 100) == pytest.approx(6 / 400)
    with pytest.raises(ValueError, match="2 shards do not show how fast 2 actors are"):
        bench_generate.seconds_a_row([1.0, 2.0], 2, 100)


def test_a_step_is_timed_after_the_warm_up() -> None:
    asked = [float(9 * t) for t in range(50)] + [1000.0 + 2 * t for t in range(11)]
    assert bench_train.seconds_a_step(asked) == 2.0
    with pytest.raises(ValueError, match="51 steps are too few after a warm-up of 50"):
        bench_train.seconds_a_step(asked[:51])


def test_the_bare_loop_trains_what_our_training_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same rows, noise, learning rates and averaging: so that the comparison is of the same work."""
    config = TrainConfig(epochs=1, batch_size=8, lr=2e-3, ema_decay=0.99, warmup_steps=3, num_workers=0)
    x = np.random.default_rng(0).integers(0, 256, (160, *bench_train.SHAPE)).astype(np.uint8)
    models: list[torch.nn.Module] = []

    def build() -> torch.nn.Module:
        torch.manual_seed(1)
        models.append(bench_train.ClockedVAE(TINY, str(tmp_path / "clock"), 20))
        return models[-1]

    job = TrainJob("bench", build, (x,), None, config, seed=0, plan="bench", folder_url=str(tmp_path))
    ours = tensors_from_bytes(fit(job, 0.0).files["model.safetensors"], "bench")
    assert len(json.loads((tmp_path / "clock").read_text())) == 20
    kept: list[dict[str, Any]] = []
    average = bench_train.Average

    class Kept(average):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            kept.append(self.state)

    monkeypatch.setattr(bench_train, "Average", Kept)
    bench_train.bare_loop(build(), x, config)
    assert all(torch.allclose(ours[name], kept[0][name], atol=1e-5) for name in ours)
    assert any(not torch.equal(ours[name], models[0].state_dict()[name]) for name in ours)  # averaged, not the last


def test_every_name_has_its_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_generate, "rows", lambda quick: [("generate", quick)])
    monkeypatch.setattr(bench_train, "rows", lambda quick: [("train", quick)])
    for name in ("generate", "train"):
        assert bench_names.run(name, True, None) == [(name, True)]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_stage_and_the_bare_loop_run_and_leave_no_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_generate, "ROWS_PER_SHARD", 2048)
    monkeypatch.setattr(bench_generate, "VAEConfig", lambda **_: TINY)
    monkeypatch.setattr(bench_generate, "_compiled", lambda *_: [])
    monkeypatch.setattr(bench_generate.tempfile, "TemporaryDirectory", lambda **_: _Here(tmp_path))
    found = bench_generate.rows(quick=True)
    assert [row["goal"] for row in found] == [bench_generate.GOAL, None, None, None, None]  # none for two on two cores
    assert all(row["ours_median"] > 0 and row["peer_median"] > 0 for row in (found[0], found[4]))
    assert [row["unit"] for row in found[1:4]] == ["FLOP/image", "bytes/image", "s"]
    assert found[1]["ours_median"] == _operations(TINY)
    assert 784 < found[2]["ours_median"] < 850  # random weights: every pixel is noise
    assert not list(tmp_path.rglob("0*.parquet"))


def _operations(config: VAEConfig) -> int:
    """Of the decoder of 28 x 28: two linear maps, two transposed convolutions of 4 x 4; an addition to a product."""
    width = config.width
    linear = config.latents * 8 * width + 8 * width * 2 * width * 7 * 7
    return 2 * (linear + 7 * 7 * 16 * 2 * width * width + 14 * 14 * 16 * width)


def test_the_compiled_loop_stands_beside_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The speeds that are compared, in turn, and no row where torch cannot compile."""
    monkeypatch.setattr(bench_generate, "ROWS_PER_SHARD", 1024)
    stage = bench_generate._Stage(str(tmp_path), bench_generate._vae("tiny", TINY))
    eager, asked = stage.sampler(EAGER), list[Speed]()

    def sampler(_: Any, speed: Speed) -> bench_generate.Sample:
        asked.append(speed)
        return eager

    monkeypatch.setattr(bench_generate._Stage, "sampler", sampler)
    (row,) = bench_generate._compiled(stage, 1, 2)
    assert asked == [Speed(compiled=True), EAGER]
    assert (row["work"], row["peer"], row["goal"]) == ("bare loop, tiny, 28 x 28 x 1, compiled", "not compiled", None)
    assert row["ours_median"] > 0

    def cannot(*_: Any) -> None:
        raise ConfigError("generate.compile: no compiler")

    monkeypatch.setattr(bench_generate._Stage, "sampler", lambda *_: cannot)
    assert bench_generate._compiled(stage, 1, 2) == []


def test_rows_of_a_gpu_are_only_asked_for_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the SNGAN of the paper's size, compiled and not, with the GPU's goal."""
    asked: list[bench_generate.Work] = []
    stage = namedtuple("stage", "url work")
    monkeypatch.setattr(bench_generate, "_Stage", stage)
    monkeypatch.setattr(bench_generate, "_beside_the_bare_loop", lambda one, *_: asked.append(one.work) or [])
    monkeypatch.setattr(bench_generate, "_compiled", lambda *_: [])
    monkeypatch.setattr(bench_generate, "_two_actors", lambda *_: {})
    for there, count in ((False, 1), (True, 3)):
        asked.clear()
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        bench_generate.rows(quick=True)
        assert [work.device for work in asked] == ["cpu", "cuda", "cuda"][:count]
    assert [work.speed for work in asked[1:]] == [Speed(bf16=True), Speed(bf16=True, compiled=True)]
    assert {(work.goal, work.description.kind, work.description.image_shape) for work in asked[1:]} == {
        (0.85, "sngan", (32, 32, 3))
    }


class _Here:
    """A temporary directory that a test looks into."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> str:
        return str(self._path)

    def __exit__(self, *_: object) -> None:
        return None
