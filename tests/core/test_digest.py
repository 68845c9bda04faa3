"""core/digest.py: equal values hash alike, different ones do not, everywhere and always."""

import pytest

from lfiw_ray.core.digest import digest, digest_bytes


def test_known_answer_so_that_old_runs_stay_readable():
    assert digest({"a": 1, "b": [1.5, "x", None, True]}) == "f9fa35a289201028"


def test_key_order_does_not_matter_but_list_order_does():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize(("a", "b"), [(1, "1"), (None, False), (["a", "b"], ["ab"]), (0.1, 0.1 + 2**-56), ({}, [])])
def test_different_values_hash_differently(a, b):
    assert digest(a) != digest(b)


def test_size_is_kept():
    assert [len(digest_bytes("x", size)) for size in (8, 16, 32)] == [8, 16, 32]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": -float("inf")}])
def test_what_has_no_json_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(value)
