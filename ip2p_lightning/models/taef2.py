"""TAEF2: a tiny pretrained autoencoder with 32 latent channels (madebyollin/taesd, MIT; FLUX.2's latent space).

diffusers' `AutoencoderTiny` plus what that class cannot hold, a global path in the blocks of the lowest resolution:
1x1 convolution, group norm over the whole image, 1x1 convolution, added to the block's input.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DecoderTiny, EncoderTiny
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock
from torch import Tensor, nn

from ip2p_lightning.config.parts import loads
from ip2p_lightning.models.point_posterior import PointPosterior

GROUPS = 4
EXPANSION = 4


class GlobalTinyBlock(AutoencoderTinyBlock):
    """A residual block whose input first gets its globally normalised features added.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, "relu")
        wide = EXPANSION * channels
        self.pool = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.GroupNorm(GROUPS, wide),
            nn.ReLU(),
            nn.Conv2d(wide, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to the same shape."""
        return super().forward(x + self.pool(x))


class TAEF2(ModelMixin, ConfigMixin):
    """diffusers' tiny encoder and decoder (factor 8) with global blocks at the lowest resolution.

    Args:
        latent_channels: 32 in the published weights.
        block_out_channels: width of each of the four levels, all equal; 64 in the published weights.
        scaling_factor: 1, since the latents already have about unit spread (.9).
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 32,
        block_out_channels: tuple[int, ...] = (64, 64, 64, 64),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = EncoderTiny(3, latent_channels, (1, 3, 3, 3), block_out_channels, "relu")
        self.decoder = DecoderTiny(latent_channels, 3, (3, 3, 3, 1), block_out_channels, 2, "relu", "nearest")
        for layers, lowest in ((self.encoder.layers, range(11, 14)), (self.decoder.layers, range(2, 5))):
            for index in lowest:
                layers[index] = GlobalTinyBlock(block_out_channels[0])

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[PointPosterior]:
        """Images [B, 3, H, W] in [-1, 1] to latents [B, C, H / 8, W / 8]."""
        posterior = PointPosterior(self.encoder(x))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Latents [B, C, h, w] to images [B, 3, 8 h, 8 w], about in [-1, 1]."""
        sample = self.decoder(z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


@loads("folder")
def load_taef2(folder: str | Path) -> TAEF2:
    """Read the published `taef2_encoder.pth` and `taef2_decoder.pth`.

    Args:
        folder: where both files lie.

    Raises:
        FileNotFoundError: naming the missing file and where to get it.
    """
    model = TAEF2()
    for part, layers, skipped in (("encoder", model.encoder.layers, 0), ("decoder", model.decoder.layers, 1)):
        path = Path(folder) / f"taef2_{part}.pth"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; download it from github.com/madebyollin/taesd into the folder")
        state = torch.load(path, weights_only=True, map_location="cpu")
        # The published decoder begins with a clamp that diffusers keeps outside its numbered layers.
        renamed = {f"{int(key.split('.')[0]) - skipped}.{key.split('.', 1)[1]}": value for key, value in state.items()}
        layers.load_state_dict(renamed)
    return model
