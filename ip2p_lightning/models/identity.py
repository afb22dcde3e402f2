"""Pixel space behind the surface of an autoencoder, for pixel diffusion (Imagen) and for tests."""

from __future__ import annotations

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from ip2p_lightning.models.point_posterior import PointPosterior


class IdentityAutoencoder(ModelMixin, ConfigMixin):
    """Latents are the pixels.

    Args:
        latent_channels: channels of an image.
        block_out_channels: one entry, which gives the factor 2**0 = 1 to code that derives it as diffusers does.
        scaling_factor: what latents are multiplied with before diffusion.
    """

    @register_to_config
    def __init__(
        self, latent_channels: int = 3, block_out_channels: tuple[int, ...] = (3,), scaling_factor: float = 1.0
    ) -> None:
        super().__init__()
        self.anchor = nn.Buffer(Tensor([0.0]))  # diffusers reads a model's device and dtype from its tensors

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[PointPosterior]:
        """[B, C, H, W] to a posterior around the same."""
        posterior = PointPosterior(x)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """[B, C, H, W] to the same."""
        return DecoderOutput(sample=z) if return_dict else (z,)
