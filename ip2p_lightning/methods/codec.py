"""Training of a codec's decoder on noised latents: what a diffusion model samples is never quite an image's latent.

Each image's latents get Gaussian noise of a strength that is uniform below a largest one; the decoder learns to paint
the clean image. Edges count as much as colours, since what is blurred or speckled is what people see first.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.noise import checked_noise, noised
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.models.refined_patch_pca import RefinedPatchPCA


class CodecModule(StagedModule):
    """A codec and the step that trains its decoder; the losses are "pixel_loss" and "edge_loss".

    Args:
        codec: fitted components with a decoder that learns.
        noise: largest standard deviation of the noise on latents, which have unit variance.
        **training: optimizer, stages and config, see `StagedModule`.

    Raises:
        ValueError: negative noise.
    """

    parts = ("codec",)
    learners = ("codec",)

    def __init__(self, codec: RefinedPatchPCA, noise: float = 0.5, **training: Any) -> None:
        super().__init__(**training)
        self.codec = codec
        self.noise = checked_noise(noise)

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Absolute errors of both images of each pair, of their pixels and of their Laplacians."""
        images = torch.cat([batch.original_image, batch.edited_image])
        with torch.no_grad():
            latents = self.codec.encode(images).latent_dist.mode()  # type: ignore[union-attr]
        painted = self.codec.decode(noised(latents, self.noise, generator)).sample  # type: ignore[union-attr]
        return {"pixel_loss": F.l1_loss(painted, images), "edge_loss": F.l1_loss(_edges(painted), _edges(images))}


def _edges(images: Tensor) -> Tensor:
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    return F.conv2d(images, kernel, groups=3)
