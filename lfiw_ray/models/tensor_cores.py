"""What a GPU's tensor cores want: bfloat16 products, and convolutions with the channels last in memory.

Under autocast the products are taken in bfloat16, which has three digits, and summed in float32; parameters stay
float32.  With channels last (N, H, W, C) in memory a convolution is a matrix product as it lies; torch otherwise
turns every input and output around.  Shapes and values stay the same, sums are taken in another order.  A
convolution's output lies as its weight does, so that it is enough to turn the weights.

Both go together; where float32 is asked for, everything stays as it is on a CPU.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def bfloat16(device: torch.device, wanted: bool) -> AbstractContextManager[Any]:
    """What a forward pass runs under."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else nullcontext()


def channels_last(model: _Module) -> _Module:
    """The same model, the weights of its convolutions turned; before an optimiser or an average looks at them."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model
