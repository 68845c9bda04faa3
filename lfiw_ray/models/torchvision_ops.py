"""torchvision and what imports it, imported so that they work beside a CPU build of torch.

torch-fidelity and diffusers import torchvision.  The torchvision wheel of PyPI is a CUDA build: beside a CPU torch its
compiled operators do not load, and its Python part then fails while it registers a shape function for
`torchvision::nms`, an operator that does not exist.  Declaring the two operators by their signatures is all
that `import torchvision` needs.  They remain without an implementation, and so do torchvision's image codecs:
torch-fidelity's metrics and unconditional pipelines use neither.  Where `import torchvision` works, nothing is
declared.
"""

import importlib
from types import ModuleType

from torch import library as operators

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def load_torch_fidelity() -> ModuleType:
    """The module `torch_fidelity`; the only way this project imports it."""
    load_torchvision()
    return importlib.import_module("torch_fidelity")


def load_torchvision() -> None:
    """Import torchvision, after which other modules can."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as err:
        if "torchvision::nms does not exist" not in str(err):
            raise
        _declare_operators()
        importlib.import_module("torchvision")


def _declare_operators() -> None:
    for name in ("nms", "qnms"):
        operators.define(f"torchvision::{name}", _SIGNATURE)
