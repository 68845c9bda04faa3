"""Our feature spaces inside torch-fidelity, so that its own `calculate_metrics` can be run over them.

Features are handed over as float64, so that torch-fidelity's arithmetic starts from the same numbers as ours
without rounding of its own.
"""

import torch

from lfiw_ray.models.extractors import Extractor
from lfiw_ray.models.torchvision_ops import load_torch_fidelity

FEATURES, LOG_PROBABILITIES = "features", "log_probabilities"


def register_with_torch_fidelity(extractor: Extractor) -> str:
    """Register an extractor; the name for `calculate_metrics(feature_extractor=...)`.

    Its inputs are (C, H, W) uint8 images.  Registering an equal extractor again gives the same name.
    """
    name = f"lfiw-{extractor.name}-{extractor.weights_sha256[:16]}"
    fidelity = load_torch_fidelity()
    if name not in fidelity.registry.FEATURE_EXTRACTORS_REGISTRY:
        fidelity.register_feature_extractor(name, _bridge(extractor))
    return name


def _bridge(extractor: Extractor) -> type[torch.nn.Module]:
    """A class that torch-fidelity can make instances of by (name, layers)."""
    layers = (FEATURES,) if extractor.num_classes is None else (FEATURES, LOG_PROBABILITIES)

    class Bridge(load_torch_fidelity().FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_: object):
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return layers

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return LOG_PROBABILITIES if metric == "isc" else FEATURES

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """(N, C, H, W) uint8 to the requested layers, (N, ·) float64."""
            found = extractor.extract(x.permute(0, 2, 3, 1).cpu().numpy())
            out = {FEATURES: torch.from_numpy(found.features).double()}
            if found.probabilities is not None:
                # softmax of log p is p; a p that float32 rounded to zero stays negligible and finite
                tiny = torch.finfo(torch.float32).tiny
                out[LOG_PROBABILITIES] = torch.from_numpy(found.probabilities).double().clamp_min(tiny).log()
            return tuple(out[name] for name in self.features_list)

    return Bridge
