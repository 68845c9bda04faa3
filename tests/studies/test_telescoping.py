"""Telescoping beats one classifier where the answer is known, and what each part of its loss is for."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from lfiw_ray.core import noise
from lfiw_ray.models import bridges
from lfiw_ray.studies import telescoping
from lfiw_ray.studies.gaussian_pair import agreement, gaussian_pair, labelled

SMALL = telescoping.Sizes(num_rows=4_000, num_test_rows=1_000, num_updates=250, num_repeats=2)


@pytest.fixture(scope="module")
def arms() -> dict[tuple[float, str], dict[str, Any]]:
    """The quadratic model's arms, which can represent the answer."""
    found = [
        telescoping.one_arm(0, kl_nats, "quadratic", arm, SMALL)
        for kl_nats in SMALL.kls_nats
        for arm in telescoping.ARMS
    ]
    return {(entry["kl_nats"], entry["arm"]): entry for entry in found}


@pytest.mark.parametrize("kl_nats", SMALL.kls_nats)
def test_telescoping_is_nearer_to_the_known_ratio(
    arms: dict[tuple[float, str], dict[str, Any]], kl_nats: float
) -> None:
    """Error of the log ratio at most half of one classifier's, given the same updates or the same rows passed."""
    telescoped = arms[kl_nats, "telescoped"]
    for arm in ("single", "single_long"):
        assert telescoped["error_nats"] < 0.5 * arms[kl_nats, arm]["error_nats"], arm
    assert telescoped["correlation_generated"] > 0.99
    assert arms[kl_nats, "single_long"]["rows_passed"] == telescoped["rows_passed"]


def test_one_classifier_saturates_and_telescoping_does_not(arms: dict[tuple[float, str], dict[str, Any]]) -> None:
    for kl_nats in (20.0, 50.0):
        for name in ("kl_estimate_nats", "reverse_kl_estimate_nats"):
            assert arms[kl_nats, "telescoped"][name] == pytest.approx(kl_nats, rel=0.1)
    assert arms[100.0, "single"]["kl_estimate_nats"] < 30
    assert arms[100.0, "single_long"]["kl_estimate_nats"] < 50
    assert arms[100.0, "telescoped"]["kl_estimate_nats"] > 60


def test_without_the_sums_term_a_network_ranks_distant_ends_backwards() -> None:
    """100 nats between two Gaussians that differ in little but their means; the term keeps their order."""
    pair = gaussian_pair(100.0, 10, 0.02)
    rng = noise.generator(0, "test")
    x, y = (torch.from_numpy(a) for a in labelled(pair.draw(rng, 4_000)))
    correlations = []
    for loss in (lambda costs: costs.steps.mean(), bridges.Costs.mean):
        torch.manual_seed(0)
        ratio, batches = telescoping.Ratio("network", 10, 9), np.random.default_rng(1)
        optimiser = torch.optim.Adam(ratio.parameters(), lr=4e-3)
        for _ in range(300):
            rows = torch.from_numpy(batches.integers(0, 8_000, 128))
            keys = torch.from_numpy(batches.random(128))
            optimiser.zero_grad()
            loss(bridges.costs(ratio.steps, (x[rows],), y[rows], 8, keys)).backward()
            optimiser.step()
        with torch.no_grad():
            correlations.append(agreement(ratio.steps((x,)).sum(1).numpy(), pair.log_ratio(x.numpy()))["correlation"])
    assert correlations[0] < 0
    assert correlations[1] > 0.9


def test_a_study_is_plain_values_of_its_seed() -> None:
    tiny = SMALL._replace(kls_nats=(20.0,), num_rows=500, num_test_rows=200, num_updates=8)
    state = torch.get_rng_state()
    found = telescoping.study(1, tiny)
    assert torch.equal(state, torch.get_rng_state())
    assert json.loads(json.dumps(found, allow_nan=False)) == found == telescoping.study(1, tiny)
    assert telescoping.study(2, tiny)["arms"] != found["arms"]
    assert [(e["model"], e["arm"]) for e in found["arms"]] == [
        (model, arm) for model in ("quadratic", "network") for arm in ("single", "single_long", "telescoped")
    ]
    for entry in found["arms"]:
        for name in ("kl_estimate_nats", "reverse_kl_estimate_nats", "error_nats", "correlation", "slope"):
            assert entry[f"{name}_se"] > 0
        assert entry["error_nats"] == pytest.approx((entry["error_real_nats"] + entry["error_generated_nats"]) / 2)
