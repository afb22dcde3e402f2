"""A closed-form autoencoder: principal components of image patches.

For the embedded world, where a trained autoencoder would eat the training budget: fitted in seconds, exact when it
keeps every component, linear, and its latents have the spread that diffusion expects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.models.point_posterior import PointPosterior

if TYPE_CHECKING:
    from ip2p_lightning.data.sources import PairSource

_LEAST_SPREAD = 1e-3
"""Smallest standard deviation of a component that is whitened, relative to the first one's."""


class PatchPCA(ModelMixin, ConfigMixin):
    """Each patch of p x p pixels becomes one latent cell with the patch's leading principal components.

    The components are orthonormal and whitened: each has unit variance, the noise's own, and a network meets and
    predicts numbers of one size, fine detail as well as the mean colour. `importance` is what turns squared errors of
    such latents back into squared errors of pixels. Before `fit` the components are those of the discrete cosine
    transform, which the principal components of natural images come close to.

    Args:
        patch_size: p, a power of two; also the factor between images and latents.
        latent_channels: components kept, at most 3 p^2.
        block_out_channels: set by the class; log2(p) + 1 entries, from which diffusers derives the factor.
        scaling_factor: left at 1, since the scale is part of the codec.

    Raises:
        ValueError: a patch size that is no power of two, or more components than a patch has numbers.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: int = 8,
        latent_channels: int = 64,
        block_out_channels: tuple[int, ...] | None = None,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        numbers = 3 * patch_size**2
        if patch_size < 1 or patch_size & (patch_size - 1):
            raise ValueError(f"patch_size must be a power of two, got {patch_size}")
        if not 1 <= latent_channels <= numbers:
            raise ValueError(
                f"latent_channels must lie in 1..{numbers} (3 x {patch_size}^2), got {latent_channels}; "
                "keep fewer components or use a larger patch"
            )
        self.register_to_config(block_out_channels=(latent_channels,) * (int(math.log2(patch_size)) + 1))
        self.patch_size = patch_size
        self.mean = nn.Buffer(torch.zeros(numbers))
        self.basis = nn.Buffer(_cosine_basis(patch_size)[:latent_channels].clone())
        self.scale = nn.Buffer(torch.full((latent_channels,), 1 / math.sqrt(numbers)))

    @property
    def importance(self) -> Tensor:
        """[C] squared pixel error of a squared latent error in each channel, 1 on average."""
        variance = self.scale**-2
        return variance / variance.mean()

    @torch.no_grad()
    def fit(self, images: Tensor) -> PatchPCA:
        """Set the components to those of the images' patches.

        Args:
            images: float [B, 3, H, W] in [-1, 1], sides multiples of the patch size.

        Returns:
            Itself.

        Raises:
            ValueError: fewer patches than components, or images of one colour.
        """
        patches = self._patches(images).movedim(1, -1).flatten(0, 2).double()
        components = len(self.basis)
        if len(patches) <= components:
            raise ValueError(f"{len(patches)} patches cannot give {components} components; fit on more images")
        mean = patches.mean(0)
        variances, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        basis = vectors.T.flip(0)[:components]
        # An eigenvector's sign is arbitrary; this choice makes every machine's codec the same.
        basis = basis * basis.gather(1, basis.abs().argmax(1, keepdim=True)).sign()
        spread = variances.flip(0)[:components].clamp(min=0).sqrt()
        if spread[0] < 1e-6:
            raise ValueError("the images are all of one colour, which leaves nothing to fit; pass varied images")
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        # A component that hardly occurs must not turn rounding errors into latents of unit variance.
        self.scale.copy_(1 / spread.clamp(min=_LEAST_SPREAD * spread[0]))
        return self

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[PointPosterior]:
        """Images [B, 3, H, W] to latents [B, C, H / p, W / p].

        Raises:
            ValueError: sides that are no multiples of the patch size.
        """
        centred = self._patches(x) - self.mean[:, None, None]
        posterior = PointPosterior(F.conv2d(centred, (self.basis * self.scale[:, None])[:, :, None, None]))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Latents [B, C, h, w] to images [B, 3, p h, p w]; `generator` is for pipelines that pass one, not used."""
        patches = F.conv2d(z, (self.basis / self.scale[:, None]).T[:, :, None, None], self.mean)
        sample = F.pixel_shuffle(patches, self.patch_size)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def _patches(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] to [B, 3 p^2, H / p, W / p]."""
        patch = self.patch_size
        if images.shape[-2] % patch or images.shape[-1] % patch:
            raise ValueError(
                f"images of {images.shape[-1]}x{images.shape[-2]} (width x height) cannot be cut into patches of "
                f"{patch} pixels; resize or crop to multiples of {patch}"
            )
        return F.pixel_unshuffle(images, patch)


@buildable
def fitted_patch_pca(sources: Sequence[PairSource] | None, patch_size: int = 8, latent_channels: int = 64) -> PatchPCA:
    """A codec fitted on every image, before and after, of some sources.

    Args:
        sources: small pair sources whose images all have one size (some hundred images do); None leaves the
            fitting out, for weights that come from a checkpoint.
        patch_size: see `PatchPCA`.
        latent_channels: see `PatchPCA`.
    """
    if sources is None:
        return PatchPCA(patch_size, latent_channels)
    images = []
    for source in sources:
        pairs = [source[index] for index in range(len(source))]
        stack = np.stack([np.asarray(image) for pair in pairs for image in (pair.original_image, pair.edited_image)])
        images.append(torch.from_numpy(stack).movedim(-1, 1).float() / 127.5 - 1)
    return PatchPCA(patch_size, latent_channels).fit(torch.cat(images))


def _cosine_basis(patch: int) -> Tensor:
    """Orthonormal [3 p^2, 3 p^2]: products of cosines in both directions and of three colour axes, low to high."""
    position = torch.arange(patch) + 0.5
    waves = torch.cos(math.pi / patch * torch.arange(patch)[:, None] * position) * math.sqrt(2 / patch)
    waves[0] = 1 / math.sqrt(patch)
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    colours = colours / colours.norm(dim=1, keepdim=True)
    # Rows (frequency y, frequency x, colour axis), columns (channel, y, x) as `pixel_unshuffle` orders them.
    basis = torch.einsum("iy,jx,kc->ijkcyx", waves, waves, colours).reshape(3 * patch**2, 3 * patch**2)
    frequency = (torch.arange(patch)[:, None] + torch.arange(patch)).flatten().repeat_interleave(3)
    return basis[frequency.argsort(stable=True)]
