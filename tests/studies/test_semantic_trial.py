"""One trial of the semi-supervised study: determinism, pairing, equal work, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lfiw_ray.errors import NonFiniteError
from lfiw_ray.studies.semantic_trial import Trial, TrialResult, initial_network, run_trial

TRIAL = Trial("labels", seed=3, repeat=0, num_classes=3, num_updates=30, batch_size=16, lr=3e-3, semantic_weight=0.5)


def images(y: np.ndarray, seed: int) -> np.ndarray:
    """(N, 8, 8, 1) uint8: a bright column whose place tells the class, under noise."""
    x = np.random.default_rng(seed).integers(0, 100, (len(y), 8, 8, 1))
    x[np.arange(len(y)), :, 1 + 2 * y] += 120
    return x.astype(np.uint8)


Y = np.arange(24) % 3
X = images(Y, 0)
TEST_Y = np.arange(300) % 3
TEST_X = images(TEST_Y, 1)
UNLABELLED = images(np.arange(60) % 3, 2)


def run(trial: Trial = TRIAL, unlabelled: np.ndarray | None = None) -> TrialResult:
    return run_trial(trial, X, Y, unlabelled, TEST_X, TEST_Y)


def test_it_is_deterministic_whatever_the_global_generator() -> None:
    torch.manual_seed(0)
    first = run(unlabelled=UNLABELLED)
    torch.manual_seed(1)
    assert run(unlabelled=UNLABELLED) == first
    assert run(replace(TRIAL, repeat=1), UNLABELLED).labelled_crc != first.labelled_crc


def test_an_easy_problem_is_learnt() -> None:
    # 300 rows of 3 classes: chance is 1/3 with a standard deviation of 0.027.
    assert run(unlabelled=UNLABELLED).accuracy > 0.9
    assert run().accuracy > 0.9


def test_arms_of_a_repeat_differ_in_the_unlabelled_loss_alone() -> None:
    """At semantic weight 0 the unlabelled rows carry no loss: the arms must agree to the last bit."""
    silent = replace(TRIAL, semantic_weight=0.0)
    labels, raw = run(silent), run(replace(silent, arm="raw"), UNLABELLED)
    assert (raw.last_loss_nats, raw.accuracy, raw.labelled_crc) == (
        labels.last_loss_nats,
        labels.accuracy,
        labels.labelled_crc,
    )


def test_unlabelled_rows_matter_and_labelled_batches_stay() -> None:
    labels, raw = run(), run(replace(TRIAL, arm="raw"), UNLABELLED)
    other = run(replace(TRIAL, arm="resampled"), UNLABELLED[::-1].copy())
    assert len({labels.last_loss_nats, raw.last_loss_nats, other.last_loss_nats}) == 3
    assert labels.labelled_crc == raw.labelled_crc == other.labelled_crc
    assert labels.num_updates == raw.num_updates == other.num_updates == TRIAL.num_updates
    assert (labels.num_unlabelled, raw.num_unlabelled) == (0, 60)


def test_every_arm_makes_the_same_steps_on_the_same_number_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    adam_step = torch.optim.Adam.step

    def counted(self: torch.optim.Adam, closure: None = None) -> None:
        steps.append(1)
        adam_step(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    counts = []
    for unlabelled in (None, UNLABELLED, UNLABELLED[:1]):
        steps.clear()
        run(unlabelled=unlabelled)
        counts.append(len(steps))
    assert counts == [TRIAL.num_updates] * 3


def test_initial_weights_belong_to_seed_and_repeat() -> None:
    def first_weight(trial: Trial) -> torch.Tensor:
        return initial_network(trial, (8, 8, 1)).conv1.weight

    assert torch.equal(first_weight(TRIAL), first_weight(replace(TRIAL, arm="raw", lr=1.0)))
    assert not torch.equal(first_weight(TRIAL), first_weight(replace(TRIAL, repeat=1)))
    assert not torch.equal(first_weight(TRIAL), first_weight(replace(TRIAL, seed=4)))


def test_test_labels_do_not_touch_the_training() -> None:
    other = run_trial(TRIAL, X, Y, None, TEST_X, (TEST_Y + 1) % 3)
    assert other.last_loss_nats == run().last_loss_nats
    assert other.accuracy < 0.1


def test_a_diverging_trial_is_an_error_that_names_it() -> None:
    with pytest.raises(NonFiniteError, match=r"arm labels, repeat 0: the loss of step 1 is .*lower downstream.lr"):
        run(replace(TRIAL, lr=1e30))
    with pytest.raises(NonFiniteError, match="arm labels, repeat 0: test logits are not finite"):
        run(replace(TRIAL, lr=1e30, num_updates=1))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="float64"):
        run_trial(TRIAL, X / 255, Y, None, TEST_X, TEST_Y)
    with pytest.raises(ValueError, match="one shape"):
        run(unlabelled=UNLABELLED[:, :4])
    with pytest.raises(ValueError, match=r"lie in 0\.\.2, got 1\.\.3"):
        run_trial(TRIAL, X, Y + 1, None, TEST_X, TEST_Y)
    with pytest.raises(ValueError, match="labels must be int64"):
        run_trial(TRIAL, X, Y[:-1], None, TEST_X, TEST_Y)
    with pytest.raises(ValueError, match="at least 1 update"):
        run(replace(TRIAL, num_updates=0))
