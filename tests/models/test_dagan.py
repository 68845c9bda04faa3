"""The DAGAN: partners of the same class, examples that travel with the model, and samples of the example's class."""

import numpy as np
import pytest
import torch

from lfiw_ray.config_generators import DAGANConfig
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.checkpoint import Description, description_to_bytes, tensors_to_bytes
from lfiw_ray.models.class_partners import ClassPartners
from lfiw_ray.models.dagan import DAGAN
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.registry import load

SHAPE = (8, 8, 1)
CONFIG = DAGANConfig(latents=3, width=4, examples=6)
CPU = torch.device("cpu")


def rows(count: int = 24, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Class c is bright in its own columns; no two rows are alike."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    x = rng.integers(0, 60, (count, *SHAPE))
    for row, label in enumerate(labels):
        x[row, :, 2 * label : 2 * label + 2] += 180
    return x.astype(np.uint8), labels.astype(np.int64)


def build(config: DAGANConfig = CONFIG) -> DAGAN:
    torch.manual_seed(3)
    model = DAGAN(config, SHAPE)
    model.prepare(rows(), 0)
    return model


def test_partners_are_others_of_the_class() -> None:
    """Every row 400 times: of its 7 others the next is drawn a quarter of the time, the rest an eighth each."""
    x, labels = rows()
    images, classes = torch.from_numpy(x), torch.from_numpy(labels)
    partners, where = ClassPartners(x, labels, CPU), {image.tobytes(): row for row, image in enumerate(x)}
    uniform = np.random.default_rng(1).random((400, 24), dtype=np.float32)
    drawn = np.array(
        [[where[i.tobytes()] for i in partners.draw(images, classes, torch.from_numpy(u)).numpy()] for u in uniform]
    )
    assert (labels[drawn] == labels).all()
    assert (drawn != np.arange(24)).all()
    for row in range(24):
        counts = np.bincount(drawn[:, row], minlength=24)[labels == labels[row]]
        next_one = np.searchsorted(np.flatnonzero(labels == labels[row]), row) + 1
        expected = np.full(8, 50.0)
        expected[next_one % 8] += 50
        expected[next_one - 1] = 0
        z = (counts - expected) / np.sqrt(np.maximum(expected, 1) * (1 - expected / 400))
        assert np.abs(z).max() < 5  # false alarm: 192 times 6 in 10 million


def test_classes_of_one_row_and_unknown_classes_are_refused() -> None:
    x, labels = rows()
    lonely = labels.copy()
    lonely[5] = 9
    with pytest.raises(ConfigError, match=r"class 9 \(1 in all\) has a single training row"):
        ClassPartners(x, lonely, CPU)
    with pytest.raises(ConfigError, match="class 4 has no training rows"):
        ClassPartners(x, labels, CPU).draw(torch.from_numpy(x[:2]), torch.tensor([1, 4]), torch.zeros(2))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((rows()[0],), "needs labelled training rows"),
        (tuple(a[:4] for a in rows()), r"examples \(6\) is more than.* 4"),
    ],
)
def test_data_it_cannot_learn_from_are_refused(data: tuple[np.ndarray, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DAGAN(CONFIG, SHAPE).prepare(data, 0)


@pytest.mark.parametrize("shape", [(30, 28, 1), (4, 4, 1)])
def test_sizes_it_cannot_take_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=f"the images are {shape[0]} x {shape[1]}"):
        DAGAN(CONFIG, shape)


def test_examples_are_training_rows_chosen_by_the_seed_and_travel_with_the_model() -> None:
    model, (x, labels) = build(), rows()
    taken = [int(np.flatnonzero((x == example).all((1, 2, 3)))[0]) for example in model.examples.numpy()]
    assert len(set(taken)) == 6
    other = DAGAN(CONFIG, SHAPE)
    other.prepare(rows(), 1)
    assert not torch.equal(other.examples, model.examples)
    description = Description("dagan", CONFIG.model_dump(), SHAPE, {})
    again = load(tensors_to_bytes(model.state_dict()), description_to_bytes(description), "toy")
    assert isinstance(again, DAGAN)
    ids = np.array([0, 7, 13, 5999])
    np.testing.assert_array_equal(again.sample_labels(ids, 0, "s"), labels[taken][ids % 6])
    np.testing.assert_array_equal(again.sample(ids, 0, "s"), model.eval().sample(ids, 0, "s"))


def test_sample_depends_on_its_example_and_its_noise_and_not_on_the_other_ids() -> None:
    model = build().eval()
    ids = np.array([0, 6, 1, 1024, 5000, 7])
    a = model.sample(ids, 1, "s")
    assert a.shape == (6, *SHAPE)
    assert a.dtype == np.uint8
    np.testing.assert_array_equal(model.sample(ids[::-1].copy(), 1, "s")[::-1], a)
    assert (a[0] != a[1]).any()  # one example, other noise
    assert (a != model.sample(ids, 2, "s")).any()
    before = model.sample(ids, 1, "s")
    model.examples[0] = 255 - model.examples[0]
    changed = (model.sample(ids, 1, "s") != before).any((1, 2, 3))
    assert changed.tolist() == [i % 6 == 0 for i in ids]
    with pytest.raises(ValueError, match="evaluation mode"):
        model.train().sample(ids, 1, "s")


def test_the_critic_sees_the_example_beside_another_or_a_generated_one() -> None:
    model, seen = build(), []
    model.critic.register_forward_pre_hook(lambda _, args: seen.append(args))
    x, labels = (torch.from_numpy(a) for a in rows())
    model.critic_loss((x, labels), BatchNoise(0, 0, 0, 24, 24))
    ((examples, points),) = seen
    assert torch.equal(examples, torch.cat([x, x]))
    columns = points[:24, 0].mean(1).reshape(24, 4, 2).mean(2)  # brightness of each class's columns
    assert torch.equal(columns.argmax(1), labels)
    assert not any(
        torch.equal(((p + 1) * 128).floor(), i[:, :, 0].float()) for p, i in zip(points[:24, 0], x, strict=True)
    )


def test_what_all_codes_have_in_common_cannot_drown_what_tells_them_apart() -> None:
    """The training makes the code's weights grow; samples must neither lose their example nor their noise by it."""
    model = build()
    z = torch.randn(len(model.examples), CONFIG.latents, generator=torch.Generator().manual_seed(0))
    x = model.examples
    with torch.no_grad():
        before = model.generator(x, z)
        model.generator.code.weight.mul_(100.0)
        assert torch.allclose(model.generator(x, z), before, atol=1e-3)
    assert float(before.std(0).mean()) > 0.01
