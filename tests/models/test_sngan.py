"""The SNGAN: shapes and sizes, what a sample depends on, classes, and that a tiny one learns two modes."""

import numpy as np
import pytest
import torch

from lfiw_ray.config import GeneratorConfig
from lfiw_ray.config_generators import SNGANConfig
from lfiw_ray.core import hinge
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.checkpoint import description_to_bytes, tensors_to_bytes
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.registry import build as build_described
from lfiw_ray.models.registry import generator_description, learns_labels, load
from lfiw_ray.models.sngan import SNGAN, doublings

SMALL = SNGANConfig(latents=6, width=8, critic_width=8)
CLASSES = SMALL.model_copy(update={"conditional": True})


def build(config: SNGANConfig = SMALL, shape: tuple[int, int, int] = (8, 8, 1), counts: tuple[int, ...] | None = None):
    """A model with random weights whose running statistics have seen a few batches."""
    torch.manual_seed(3)
    model = SNGAN(config, shape, counts)
    labels = torch.arange(16) % 2 if counts else None
    for _ in range(5):
        model.generator(torch.randn(16, config.latents), labels)
    return model.eval()


def images(rows: int, shape: tuple[int, int, int] = (8, 8, 1)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (rows, *shape)).astype(np.uint8))


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (48, 32, 3), (64, 64, 3)])
def test_losses_and_samples_have_the_shape_of_the_images(shape: tuple[int, int, int]) -> None:
    model = build(shape=shape).train()
    for loss in (model.critic_loss, model.generator_loss, model.loss):
        value, metrics = loss((images(4, shape),), BatchNoise(0, 0, 0, 4, 4))
        assert value.shape == ()
        assert value.isfinite()
        assert not any(metric.requires_grad for metric in metrics.values())
    samples = model.eval().sample(np.arange(5), 0, "samples")
    assert samples.shape == (5, *shape)
    assert samples.dtype == np.uint8


def test_the_published_model_has_the_published_size() -> None:
    """Table 4 of the paper at 32 x 32 x 3, less redundant biases; counted by hand, layer by layer."""
    model = SNGAN(SNGANConfig(), (32, 32, 3))
    block = 2 * 256 * 256 * 9 + 256 * 256 + 4 * 256
    generator = 128 * 4096 + 4096 + 3 * block + 2 * 256 + 256 * 3 * 9 + 3
    flat = 2 * (128 * 128 * 9 + 128)
    critic = (3 * 128 * 9 + 128) + (128 * 128 * 9 + 128) + (3 * 128 + 128) + 3 * flat + (128 * 128 + 128) + 128 + 1
    assert sum(p.numel() for p in model.generator.parameters()) == generator
    assert sum(p.numel() for p in model.critic.parameters()) == critic


@pytest.mark.parametrize(("side", "count"), [(8, 1), (14, 1), (16, 2), (28, 2), (32, 3), (48, 3), (64, 4)])
def test_the_grid_where_the_generator_starts(side: int, count: int) -> None:
    assert doublings((side, side, 1)) == count
    assert 4 <= side / 2**count <= 7


@pytest.mark.parametrize("shape", [(30, 30, 1), (7, 7, 1), (4, 4, 1), (28, 30, 1), (9, 8, 3)])
def test_sizes_out_of_reach_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=rf"8, 28, 32, 48 or 64.*the images are {shape[0]} x {shape[1]}"):
        SNGAN(SMALL, shape)


def test_sample_depends_on_the_id_and_not_on_the_other_ids() -> None:
    model = build()
    ids = np.array([0, 5, 1023, 1024, 5000, 7, 2048, 9])
    order = np.array([3, 0, 6, 1, 7, 2, 5, 4])
    a, b = model.sample(ids, 1, "s"), model.sample(ids[order], 1, "s")
    np.testing.assert_array_equal(a[order], b)
    other = np.array([3, 5, 77, 1024, 90, 91, 92, 93])
    np.testing.assert_array_equal(model.sample(other, 1, "s")[[1, 3]], a[[1, 3]])
    assert len(np.unique(a.reshape(8, -1), axis=0)) == 8
    assert (a != model.sample(ids, 2, "s")).any()
    assert (a != model.sample(ids, 1, "t")).any()


def test_sampling_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        build().train().sample(np.arange(4), 0, "s")


def test_no_global_random_state_is_touched() -> None:
    model = build()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model.sample(np.arange(4), 0, "s")
    model.critic_loss((images(4),), BatchNoise(0, 0, 0, 4, 4))
    assert torch.equal(before, torch.get_rng_state())


def test_the_critic_never_sees_the_grid() -> None:
    """Real points lie anywhere in their cells: hardly any two of 4 x 64 values are alike."""
    model, seen = build(), []
    model.critic.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.critic_loss((torch.full((4, 8, 8, 1), 77, dtype=torch.uint8),), BatchNoise(0, 0, 0, 4, 4))
    real = seen[0][:4]
    assert len(torch.unique(real)) > 250
    assert 77 / 128 - 1 <= real.min() < real.max() < 78 / 128 - 1


def test_the_critics_loss_is_the_hinge_of_real_and_generated_rows() -> None:
    model, x = build(), images(6)
    loss, metrics = model.critic_loss((x,), BatchNoise(0, 5, 0, 6, 6))
    noise = BatchNoise(0, 5, 0, 6, 6)
    points = ((x.float() + noise.uniform(8, 8, 1)) / 128 - 1).permute(0, 3, 1, 2)
    real, generated = model.critic(points, None), model.critic(model.generator(noise.normal(6), None), None)
    assert loss.item() == pytest.approx(hinge.critic_loss(real, generated).item(), rel=1e-5)
    assert metrics["real"].item() == pytest.approx(real.mean().item(), rel=1e-4)
    assert metrics["generated"].item() == pytest.approx(generated.mean().item(), rel=1e-4)


def test_every_weight_of_the_critic_is_normalised() -> None:
    model = build(CLASSES, counts=(3, 5)).train()
    both = torch.arange(16) % 2
    for _ in range(200):
        model.critic(torch.zeros(16, 1, 8, 8), both)
    weights = [m.weight.detach() for m in model.critic.eval().modules() if hasattr(m, "parametrizations")]
    assert len(weights) == len([p for name, p in model.critic.named_parameters() if not name.endswith("bias")])
    for weight in weights:
        assert float(np.linalg.svd(weight.flatten(1).numpy(), compute_uv=False)[0]) == pytest.approx(1, rel=1e-3)


def test_classes_follow_the_training_rows_and_reach_both_players() -> None:
    """20,000 labels against frequencies of 1 : 3 : 0 : 4; false alarm about 1 in 100,000 for each."""
    model = build(CLASSES, counts=(10, 30, 0, 40))
    ids = np.arange(20_000)
    labels = model.sample_labels(ids, 0, "s")
    p = np.array([1 / 8, 3 / 8, 0, 1 / 2])
    found = np.bincount(labels, minlength=4)
    assert found[2] == 0
    z = (found - 20_000 * p)[p > 0] / np.sqrt(20_000 * p * (1 - p))[p > 0]
    assert np.abs(z).max() < 4.5
    assert np.array_equal(model.sample_labels(ids[[7, 1500]], 0, "s"), labels[[7, 1500]])
    with torch.no_grad():
        torch.nn.init.normal_(model.generator.blocks[0].norm1.bias)
    z_of, points = torch.zeros(2, 6), torch.rand(1, 1, 8, 8).expand(2, 1, 8, 8)
    a, b = model.images(z_of, torch.tensor([0, 1]))
    assert not torch.equal(a, b)
    said = model.critic(points, torch.tensor([0, 1]))
    assert said[0] != said[1]


def test_without_classes_there_are_no_labels() -> None:
    assert build().sample_labels(np.arange(3), 0, "s") is None
    with pytest.raises(ConfigError, match="conditional needs labelled training rows"):
        SNGAN(CLASSES, (8, 8, 1))
    with pytest.raises(ConfigError, match="conditional needs labelled training rows"):
        build(CLASSES, counts=(1, 1)).critic_loss((images(2),), BatchNoise(0, 0, 0, 2, 2))


def test_a_conditional_model_comes_back_from_its_description() -> None:
    config = GeneratorConfig(model="sngan", sngan=CLASSES)
    assert learns_labels(config)
    assert not learns_labels(GeneratorConfig(model="sngan"))
    description = generator_description(config, (8, 8, 1), [10, 30])
    model = build_described(description)
    again = load(tensors_to_bytes(model.state_dict()), description_to_bytes(description), "toy")
    assert isinstance(model, SNGAN)
    assert isinstance(again, SNGAN)
    np.testing.assert_array_equal(model.eval().sample(np.arange(4), 0, "s"), again.sample(np.arange(4), 0, "s"))
