"""The part of the configuration that describes generators; see `config`.  Defaults are those of the papers."""

from typing import Literal

from pydantic import model_validator

from lfiw_ray.section import MaybeAddress, Section, how, what


class VAEConfig(Section):
    """Convolutional variational autoencoder with a discretised logistic likelihood."""

    latents: int = what(16, "latent dimensions", ge=1)
    width: int = what(16, "channels of the first layer", ge=1)
    kl_weight: float = what(8.0, "weight of the KL term; 1 is the ELBO, more makes cleaner samples", gt=0)
    pixel_scale: float = what(0.08, "scale of every pixel's logistic, in units of the [-1, 1] pixel range", gt=0)
    sample_mean: bool = what(False, "emit the decoder's mean instead of a sample of x")


class IWAEConfig(Section):
    """Importance weighted autoencoder (Burda et al. 2016)."""

    architecture: Literal["mlp1", "mlp2", "conv"] = what(
        "mlp1", "one or two stochastic layers of fully connected tanh networks, or the convolutional one"
    )
    num_importance: int = what(50, "k, samples of the bound", ge=1)
    objective: Literal["iwae", "vae", "dreg"] = what(
        "iwae", "log of the mean of k weights, mean of k logs, or the first with doubly reparameterised gradients"
    )
    latents: int = what(50, "latent dimensions of the last stochastic layer; the first of two has twice as many", ge=1)
    hidden: int = what(200, "units of each deterministic layer; half as many between two stochastic layers", ge=2)
    likelihood: Literal["bernoulli", "logistic"] = what(
        "logistic", "of the pixels: Bernoulli for binarised images, discretised logistic for 8-bit ones"
    )


class PixelCNNConfig(Section):
    """PixelCNN++ (Salimans et al. 2017)."""

    blocks: int = what(5, "residual blocks of each resolution", ge=1)
    filters: int = what(160, "channels of every layer", ge=1)
    mixtures: int = what(10, "logistics of each pixel's mixture", ge=1)
    dropout: float = what(0.5, "dropout in the residual blocks", ge=0, lt=1)
    conditional: bool = what(False, "condition on the class label")


class SNGANConfig(Section):
    """ResNet GAN with spectral normalisation (Miyato et al. 2018)."""

    latents: int = what(128, "latent dimensions", ge=1)
    width: int = what(256, "channels of the generator", ge=4)
    critic_width: int = what(128, "channels of the critic", ge=4)
    critic_steps: int = what(5, "critic updates for each of the generator's", ge=1)
    conditional: bool = what(False, "condition on the class label (projection)")


class DAGANConfig(Section):
    """GAN conditional on an example image (Antoniou et al. 2017), DCGAN-size."""

    latents: int = what(100, "latent dimensions", ge=1)
    width: int = what(64, "channels of the first layer", ge=4)
    critic_steps: int = what(1, "critic updates for each of the generator's", ge=1)
    examples: int = what(1000, "training images kept with the model; sample i is made from number i modulo this", ge=1)


class FlowConfig(Section):
    """RealNVP-style normalising flow (Dinh et al. 2017) with an exact likelihood."""

    steps: int = what(4, "coupling steps of each resolution", ge=1)
    width: int = what(64, "channels of the coupling networks", ge=4)


class ExternalConfig(Section):
    """A generator that was made elsewhere."""

    path: MaybeAddress = how(
        None, "import path `package.module:object`, file, pipeline name, or folder of samples (URL)"
    )
    allowed: list[str] = how([], "prefixes that an import path may have, `package.module`; nothing else is imported")
    version: str | None = what(
        None, "your name for what an import path generates; none: the SHA-256 of its module's file, so any edit counts"
    )
    labels: bool = what(False, "whether its samples come with a column `label` (folder of Parquet)")
    image_column: str | None = what(None, "column of the images (folder of Parquet); none: `x`, else `image`")
    latents: int | None = what(None, "numbers of noise that a file's module takes for each row", ge=1)
    steps: int | None = what(None, "denoising steps of a pipeline; none: its own default", ge=1)
    prompt: str | None = what(None, "prompt of a pipeline that needs one")

    @model_validator(mode="after")
    def _allowed_are_modules(self) -> "ExternalConfig":
        bad = [prefix for prefix in self.allowed if not all(part.isidentifier() for part in prefix.split("."))]
        if bad:
            raise ValueError(f"allowed: {bad[0]!r} is not the name of a package or module")
        return self


GeneratorName = Literal[
    "vae", "iwae", "pixelcnn", "sngan", "dagan", "flow", "import", "torchscript", "diffusers", "folder"
]

# whose samples may be made in bfloat16 or compiled: the others have an exact likelihood, or are not ours
FAST_SAMPLING = ("vae", "iwae", "sngan", "dagan")
