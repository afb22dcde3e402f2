"""Autoencoder interface of the method: images to scaled latents and back.

InstructPix2Pix diffuses posterior SAMPLES times the scaling factor, but conditions on the posterior MODE without that
factor; its author calls this an oversight, yet every released checkpoint needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from ip2p_lightning.config.parts import loads
from ip2p_lightning.models.loading import load_model

STABLE_DIFFUSION_15: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}


Generators = torch.Generator | list[torch.Generator] | None
"""One for the batch, or one for each sample."""


class Posterior(NamedTuple):
    """Posterior of an encoder for images, unscaled.

    Args:
        mean: [B, C, h, w], also the mode.
        std: [B, C, h, w]; None where the encoder names one latent and no noise.
    """

    mean: Tensor
    std: Tensor | None = None


class Autoencoder(nn.Module):
    """A frozen autoencoder with the surface of diffusers' VAEs (`AutoencoderKL`, `AutoencoderTiny`, our own).

    Args:
        vae: `encode(x)` gives `latent_dist` or `latents`, `decode(z)` gives `sample`; `config` has
            `latent_channels`, `block_out_channels` and `scaling_factor`.
        scale_original: also scale the conditioning latents, for models trained from nothing; released
            InstructPix2Pix and MGIE checkpoints need False.
    """

    vae: Any

    def __init__(self, vae: nn.Module, scale_original: bool = False) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False).eval()
        self.scale_original = scale_original

    @property
    def channels(self) -> int:
        """C of the latents."""
        return self.vae.config.latent_channels

    @property
    def factor(self) -> int:
        """Pixels a latent cell covers, per side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def importance(self) -> Tensor | None:
        """[C] what a squared error in each channel counts in the editing loss, 1 on average; None: all the same."""
        return getattr(self.vae, "importance", None)

    def encode_edited(self, images: Tensor, generator: Generators = None) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to scaled samples of the posterior [B, C, H / factor, W / factor].

        Raises:
            ValueError: sides that are no multiples of the factor.
        """
        return self.sample(self.posterior(images), generator)

    def encode_original(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to modes of the posterior, scaled only if `scale_original`.

        Raises:
            ValueError: sides that are no multiples of the factor.
        """
        return self.mode(self.posterior(images))

    def posterior(self, images: Tensor) -> Posterior:
        """Images [B, 3, H, W] in [-1, 1] to what the encoder says of them; errors as `encode_original`."""
        output = self._encode(images)
        if not hasattr(output, "latent_dist"):
            return Posterior(output.latents)
        return Posterior(output.latent_dist.mode(), getattr(output.latent_dist, "std", None))

    def sample(self, posterior: Posterior, generator: Generators = None) -> Tensor:
        """Scaled samples [B, C, h, w] of a posterior."""
        mean, std = posterior
        if std is None:
            return self._scaled(mean)
        return self._scaled(mean + std * randn_tensor(mean.shape, generator, mean.device, mean.dtype))

    def mode(self, posterior: Posterior) -> Tensor:
        """The mode [B, C, h, w] of a posterior, scaled only if `scale_original`."""
        return self._scaled(posterior.mean) if self.scale_original else posterior.mean

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [B, C, h, w] to images in [-1, 1]."""
        return self.vae.decode(latents / self.vae.config.scaling_factor + self._shift).sample.clamp(-1, 1)

    def train(self, mode: bool = True) -> Autoencoder:
        """Stay in evaluation mode: the autoencoder is frozen."""
        return super().train(False)

    @property
    def _shift(self) -> float:
        return self.vae.config.get("shift_factor") or 0.0

    def _scaled(self, latents: Tensor) -> Tensor:
        return (latents - self._shift) * self.vae.config.scaling_factor

    def _encode(self, images: Tensor) -> Any:
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"images of {width}x{height} (width x height) do not fit an autoencoder of factor {self.factor}; "
                f"resize or crop both sides to multiples of {self.factor}"
            )
        return self.vae.encode(images)


@loads("weights")
def load_autoencoder_kl(
    weights: str | Path | None, subfolder: str | None = "vae", variant: str | None = None, dtype: str = "float32"
) -> AutoencoderKL:
    """Stable Diffusion's autoencoder.

    Args:
        weights: see `load_model`; None builds Stable Diffusion 1.5's architecture (83,653,863 parameters) without its
            weights, for the meta device.
        subfolder: where in it the autoencoder lies.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory.
    """
    if weights is not None:
        return load_model(AutoencoderKL, weights, subfolder, variant, dtype)
    return AutoencoderKL(**STABLE_DIFFUSION_15)
