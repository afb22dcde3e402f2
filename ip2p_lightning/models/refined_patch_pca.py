"""Patch components with a trained decoder, which paints clean images from slightly wrong latents.

The closed-form decoder of `PatchPCA` shows the errors of a diffusion model's latents as blocks. Here convolutions over
the whole image, trained with noise on the latents, take them away; the latents stay those of the components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import Tensor, nn

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.models.patch_pca import PatchPCA, fitted_patch_pca

if TYPE_CHECKING:
    from ip2p_lightning.data.sources import PairSource

_CELL = 4  # pixels, per side, of a cell that the refiner works on


class RefinedPatchPCA(PatchPCA):
    """`PatchPCA` whose decoder adds a learnt correction; without training it is exactly the former.

    Args:
        patch_size: see `PatchPCA`; a multiple of 4.
        latent_channels: see `PatchPCA`.
        width: channels of the refiner, a multiple of 8.
        blocks: its residual blocks.
        block_out_channels: see `PatchPCA`.
        scaling_factor: see `PatchPCA`.

    Raises:
        ValueError: see `PatchPCA`; a patch size that is no multiple of 4.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: int = 8,
        latent_channels: int = 64,
        width: int = 128,
        blocks: int = 4,
        block_out_channels: tuple[int, ...] | None = None,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__(patch_size, latent_channels, block_out_channels, scaling_factor)
        if patch_size % _CELL:
            raise ValueError(f"patch_size={patch_size} must be a multiple of {_CELL} for the refiner")
        self.inward = nn.Conv2d(3 * _CELL**2 + latent_channels, width, 1)
        self.refine = nn.Sequential(*(_Block(width) for _ in range(blocks)), nn.GroupNorm(8, width), nn.SiLU())
        self.outward = nn.Conv2d(width, 3 * _CELL**2, 1)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)  # type: ignore[arg-type]

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Latents [B, C, h, w] to images [B, 3, p h, p w]; `generator` as for `PatchPCA.decode`."""
        coarse = super().decode(z, return_dict=False)[0]  # type: ignore[index]
        cells = F.pixel_unshuffle(coarse, _CELL)
        spread = F.interpolate(z, cells.shape[-2:], mode="nearest")
        features = self.refine(self.inward(torch.cat([cells, spread], dim=1)))
        sample = coarse + F.pixel_shuffle(self.outward(features), _CELL)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


class _Block(nn.Module):
    """Two normalised 3 x 3 convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


@buildable
def fitted_refined_patch_pca(
    sources: Sequence[PairSource] | None,
    patch_size: int = 8,
    latent_channels: int = 64,
    width: int = 128,
    blocks: int = 4,
) -> RefinedPatchPCA:
    """A codec with fitted components and a decoder that has yet to be trained; arguments as `fitted_patch_pca`."""
    codec = RefinedPatchPCA(patch_size, latent_channels, width, blocks)
    fitted = fitted_patch_pca(sources, patch_size, latent_channels)
    for name in ("mean", "basis", "scale"):
        getattr(codec, name).copy_(getattr(fitted, name))
    return codec
