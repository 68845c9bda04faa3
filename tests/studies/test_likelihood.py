"""studies/likelihood.py: what a small run holds, that arms are paired, and that more rows and draws help."""

import json
import math

import numpy as np
import pytest
import torch

from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models.iwae import OFFSET_UNIT
from lfiw_ray.studies import likelihood
from lfiw_ray.studies.likelihood import ARMS, FULL, Arm, Data, Sizes

TINY = Sizes(40, 12, ((1e-3, 1), (5e-4, 1)), 20, 20)


def grey(rows: int, seed: int) -> np.ndarray:
    """A bright or a dark half, of 4 x 4 pixels."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.integers(0, 2, (rows, 1, 1, 1)) == (np.arange(4) < 2)[:, None, None], 230, 20)
    images = np.broadcast_to(x, (rows, 4, 4, 1)).astype(np.uint8)
    images.flags.writeable = False  # as arrays read from a file are
    return images


def data() -> Data:
    bits = [(grey(rows, seed) > 128).astype(np.uint8) * np.uint8(255) for rows, seed in ((50, 0), (20, 1))]
    return Data(bits[0], bits[1], grey(50, 2), grey(20, 3))


@pytest.fixture(scope="module")
def found():
    return likelihood.study(1, data(), TINY)


def test_it_is_plain_and_a_function_of_the_seed(found):
    again, other = (json.dumps(likelihood.study(seed, data(), TINY), allow_nan=False) for seed in (1, 2))
    assert json.dumps(found, allow_nan=False) == again != other
    assert json.loads(again) == found


def test_it_says_what_was_run(found):
    assert found["label"] == "2 epochs of 40 rows"
    assert (found["num_train_rows"], found["num_test_rows"], found["num_samples"]) == (40, 12, 20)
    arms = [(arm["group"], arm["binarisation"], arm["objective"], arm["k"]) for arm in found["arms"]]
    burda = [("vae", 1), ("vae", 5), ("vae", 50), ("iwae", 5), ("iwae", 50)]
    small = [("vae", 1), ("iwae", 10)]
    expected = [("burda", *how) for how in burda] + [("small", *how) for how in small]
    assert arms == [(g, b, o, k) for b in ("fixed", "stochastic") for g, o, k in expected]
    assert all(len(arm["active"]) == 1 and 0 <= arm["active"][0] <= arm["latents"] for arm in found["arms"])


def test_published_figures_stand_only_where_they_were_measured(found):
    by = {(arm["binarisation"], arm["group"], arm["objective"], arm["k"]): arm for arm in found["arms"]}
    assert by["stochastic", "burda", "iwae", 50]["published_nll_nats"] == 84.78
    assert by["stochastic", "burda", "vae", 1]["published_active"] == [19]
    assert by["stochastic", "burda", "vae", 5]["published_source"].startswith("Burda")
    assert all(by["fixed", "burda", "iwae", 50][f"published_{what}"] is None for what in ("nll_nats", "active"))
    assert by["fixed", "small", "iwae", 10]["published_source"].startswith("slides")


def test_gains_are_differences_to_the_arm_with_one_sample(found):
    for binarisation in ("fixed", "stochastic"):
        for group in ("burda", "small"):
            base, *rest = [a for a in found["arms"] if a["group"] == group and a["binarisation"] == binarisation]
            assert base["k"] == 1
            assert base["gain_nats"] is None
            for arm in rest:
                assert arm["gain_nats"] == pytest.approx(base["nll_nats"] - arm["nll_nats"])
                assert 0 < arm["gain_se"] < base["nll_se"] + arm["nll_se"]


def test_an_arm_starts_at_the_mean_image_and_learns():
    """Two equally likely images: log 2 nats at best, 16 log 2 for the mean image alone."""
    x, arm = data().fixed_train, Arm("burda", "mlp1", 2, 16, "iwae", 5, None, None, "none")
    model = likelihood._fresh(0, arm, x)
    offset = (model.offset.detach() * OFFSET_UNIT).sigmoid().flatten()
    np.testing.assert_allclose(offset, x.mean(0).flatten() / 255, atol=1e-3)
    state = torch.get_rng_state()
    sizes = TINY._replace(stages=((1e-2, 40),), batch_size=10)
    _, start = likelihood.train_arm(0, arm, x, False, sizes._replace(stages=((1e-9, 1),)))
    assert start == pytest.approx(16 * math.log(2), rel=0.1)
    model, end = likelihood.train_arm(0, arm, x, False, sizes)
    assert end < 0.3 * start
    nll, figures = likelihood._evaluated(0, model, data().fixed_test, sizes._replace(num_samples=500))
    assert math.log(2) - 4.5 * figures["nll_se"] < nll.mean() < 4
    assert figures["active"][0] >= 1
    assert torch.equal(state, torch.get_rng_state())


def test_bits_have_the_probability_of_the_grey_value():
    """100,000 bits of each of five values; 4.5 standard errors (false alarm 7e-6 a value)."""
    values = torch.tensor([0, 1, 100, 254, 255], dtype=torch.uint8)
    uniform = torch.from_numpy(np.random.default_rng(0).random((100_000, 5), dtype=np.float32))
    bits = likelihood.binarised(values.expand(100_000, 5), uniform)
    assert set(bits.unique().tolist()) == {0, 255}
    p = values.double() / 255
    assert ((bits == 255).double().mean(0) - p).abs().le(4.5 * (p * (1 - p) / 100_000).sqrt()).all()


def test_rows_are_drawn_from_all_of_a_sorted_set():
    ordered = np.arange(200, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    sizes = TINY._replace(num_train_rows=150, num_test_rows=50)
    train, test = likelihood._rows(3, Data(ordered, ordered, ordered, ordered), sizes, "fixed")
    assert len(np.unique(train[:, 0, 0])) == len(train) == 150
    assert len(np.unique(test[:, 0, 0])) == len(test) == 50
    assert abs(test.mean() - 99.5) < 4.5 * 57.7 / 50**0.5  # false alarm 7e-6
    grey_rows, bits = likelihood._rows(3, Data(ordered, ordered, ordered, ordered), sizes, "stochastic")
    np.testing.assert_array_equal(grey_rows, train)
    assert set(np.unique(bits)) == {0, 255}


def test_a_diverging_arm_is_named():
    arm = ARMS[0]
    with pytest.raises(NonFiniteError, match=r"objective='vae', k=1.*in epoch 1"):
        likelihood.train_arm(0, arm, data().fixed_train, False, TINY._replace(stages=((1e30, 1),), batch_size=5))


def test_the_full_schedule_is_the_papers():
    assert sum(epochs for _, epochs in FULL.stages) == 3_280
    assert [round(lr, 6) for lr, _ in FULL.stages[::7]] == [1e-3, 1e-4]
    assert (FULL.batch_size, FULL.num_samples, FULL.architectures) == (20, 5_000, ("mlp1", "mlp2"))
