"""Arrays to a device and images back, through pinned host memory where the device is a GPU.

A GPU reads and writes pinned memory itself, at the speed of its bus, while the host goes on; other memory is first
copied to a pinned buffer by the driver, which the host waits for.  Each transfer has pinned memory of its own, which
torch keeps for the next one: it is not used again before the copy is over and its array is forgotten, so that an
image may be encoded in another thread while the next batch is computed.  On a CPU nothing is copied.
"""

import numpy as np
import torch


def to_device(array: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """The array's values on a device; later work on the device's current stream sees them.

    Parameters
    ----------
    array : writable; on a CPU the tensor shares its memory.
    """
    tensor = torch.from_numpy(array)
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's values in host memory, all of them there; an array on pinned memory where they come from a GPU."""
    if tensor.device.type != "cuda":
        return tensor.cpu().numpy()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return pinned.numpy()
