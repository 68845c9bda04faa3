"""Arrays reach the device and come back as they are; on a GPU each by pinned memory of its own."""

import numpy as np
import pytest
import torch

from lfiw_ray.models.transfer import to_device, to_host


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_values_and_dtypes_stay(dtype: type[np.generic]) -> None:
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    there = to_device(x, "cpu")
    assert there.device.type == "cpu"
    back = to_host(there)
    assert back.dtype == dtype
    assert np.array_equal(back, x)


def test_a_cpu_copies_nothing() -> None:
    x = np.zeros((4, 2), np.float32)
    there = to_device(x, torch.device("cpu"))
    there += 1
    assert (x == 1).all()
    assert np.shares_memory(to_host(there), x)


@pytest.mark.gpu
def test_a_gpu_gives_back_what_it_got_and_keeps_no_hand_on_it() -> None:
    x = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    batches = [
        to_host(to_device(x + np.uint8(n), "cuda") ^ 255) for n in range(20)
    ]  # the first ones are not written over
    assert all(np.array_equal(found, (x + np.uint8(n)) ^ 255) for n, found in enumerate(batches))
    assert to_device(x, "cuda").device.type == "cuda"
    assert torch.from_numpy(batches[0]).is_pinned()
