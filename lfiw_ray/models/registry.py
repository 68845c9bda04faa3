"""Models by name: what a description in a checkpoint, or a configuration, is built from."""

from collections.abc import Callable

import torch
from torch import nn

from lfiw_ray.config import ClassifierConfig, GeneratorConfig
from lfiw_ray.config_generators import DAGANConfig, FlowConfig, IWAEConfig, PixelCNNConfig, SNGANConfig, VAEConfig
from lfiw_ray.errors import DataError
from lfiw_ray.models.checkpoint import Description, description_from_bytes, tensors_from_bytes
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.dagan import DAGAN
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.flow import Flow
from lfiw_ray.models.iwae import IWAE
from lfiw_ray.models.pixelcnn import PixelCNN
from lfiw_ray.models.sngan import SNGAN
from lfiw_ray.models.vae import VAE


def _vae(description: Description) -> nn.Module:
    return VAE(VAEConfig.model_validate(description.config), description.image_shape)


def _iwae(description: Description) -> nn.Module:
    return IWAE(IWAEConfig.model_validate(description.config), description.image_shape)


def _flow(description: Description) -> nn.Module:
    return Flow(FlowConfig.model_validate(description.config), description.image_shape)


def _sngan(description: Description) -> nn.Module:
    counts = description.extra.get("class_counts")
    return SNGAN(SNGANConfig.model_validate(description.config), description.image_shape, counts and tuple(counts))


def _pixelcnn(description: Description) -> nn.Module:
    counts = description.extra.get("class_counts")
    config = PixelCNNConfig.model_validate(description.config)
    return PixelCNN(config, description.image_shape, counts and tuple(counts))


def _dagan(description: Description) -> nn.Module:
    return DAGAN(DAGANConfig.model_validate(description.config), description.image_shape)


def _domain(description: Description) -> nn.Module:
    return DomainNet(description.image_shape, **description.config)


def _classifier(description: Description) -> nn.Module:
    config = ClassifierConfig.model_validate(description.config)
    return Classifier(config, description.image_shape, description.extra.get("num_features"))


BUILDERS: dict[str, Callable[[Description], nn.Module]] = {
    "vae": _vae,
    "sngan": _sngan,
    "dagan": _dagan,
    "iwae": _iwae,
    "pixelcnn": _pixelcnn,
    "flow": _flow,
    "domain": _domain,
    "classifier": _classifier,
}


# the metric of each model's loss that is a code length, and what it is
CODE_LENGTHS: dict[str, tuple[str, str]] = {
    "vae": ("elbo_bpd", "minus the ELBO, an upper bound of the code length"),
    "iwae": ("bound_bpd", "minus the k-sample bound, an upper bound of the code length"),
    "flow": ("bpd", "minus the log density of dequantised images, an upper bound of the code length"),
    "pixelcnn": ("bpd", "minus the log probability, exact"),
}


def build(description: Description) -> nn.Module:
    """A model with fresh parameters (from torch's random state)."""
    if description.kind not in BUILDERS:
        raise DataError(f"unknown model {description.kind!r}; known are {sorted(BUILDERS)}")
    return BUILDERS[description.kind](description)


def load(weights: bytes, description: bytes, name: str) -> nn.Module:
    """A finished model in evaluation mode; DataError names the file at fault.

    It is laid out without memory first: a description of another size would take any amount before it is noticed.
    """
    described = description_from_bytes(description, f"{name}/model.json")
    tensors = tensors_from_bytes(weights, f"{name}/model.safetensors")
    with torch.device("meta"):
        laid_out = _built(described, name).state_dict()
    wanted, found = ({key: tuple(t.shape) for key, t in some.items()} for some in (laid_out, tensors))
    if wanted != found:
        differ = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
        of = f"{differ[0]}: {found.get(differ[0])}, described as {wanted.get(differ[0])}"
        raise DataError(f"{name}/model.safetensors does not fit {name}/model.json: {of}, {len(differ)} in all")
    model = _built(described, name)
    model.load_state_dict(tensors)
    return model.eval()


def _built(described: Description, name: str) -> nn.Module:
    try:
        return build(described)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as err:
        raise DataError(f"{name}/model.json does not describe a model ({err}); train again") from err


def learns_labels(config: GeneratorConfig) -> bool:
    """Whether the generator is trained on labelled rows."""
    return config.model == "dagan" or getattr(getattr(config, config.model, None), "conditional", False)


def generator_description(
    config: GeneratorConfig, image_shape: tuple[int, int, int], class_counts: list[int] | None = None
) -> Description:
    """Description of the generator that a configuration asks for.

    Parameters
    ----------
    class_counts : training rows of each class, for one that learns labels.
    """
    extra = {} if class_counts is None else {"class_counts": class_counts}
    return Description(config.model, getattr(config, config.model).model_dump(), image_shape, extra)
