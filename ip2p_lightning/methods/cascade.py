"""Imagen (Saharia et al. 2022): a cascade of text-to-image diffusion models over a frozen text encoder.

A base stage makes small images of captions, super-resolution stages enlarge them; each is trained alone on images and
captions, with 10 % of the captions dropped, and super-resolution under noise conditioning augmentation of its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.conditioners.caption import CaptionConditioner
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.diffusion.low_resolution import LowResolution, reduced
from ip2p_lightning.diffusion.objective import Objective
from ip2p_lightning.diffusion.stage_sampling import StageSampler
from ip2p_lightning.methods.cascade_stage import StageParts
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import OptimizerFactory, StagedModule
from ip2p_lightning.models.pretrained import marks


class CascadeModule(StageParts, StagedModule):
    """One stage of the cascade and the step that trains it; the loss is "image_loss".

    Both images of a pair are learnt from, each under its caption. Larger images than the stage's are reduced.

    Args:
        conditioner: captions to states; frozen.
        network: predicts from noised images (and the low-resolution input next to them), times, states and noise
            levels: diffusers' UNet, `EfficientUNet` or `PixelTransformer`. `config.sample_size` is the stage's side.
        objective: noises images and scores the prediction.
        sampler: how the stage is sampled; its scheduler has the objective's noise schedule and prediction.
        low_resolution: how a super-resolution stage sees its input; None for the base.
        crop: side in pixels of the random crops that training looks at; None for whole images. The 256 -> 1024 stage
            learns from crops of 256 and enlarges whole images, which a network without self-attention can.
        dropout: share of the captions replaced by the null text, for classifier-free guidance.
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training.
        config: see `StagedModule`.

    Raises:
        ValueError: parts that do not fit together, a sampler that expects another prediction than is learnt, a crop
            that does not fit, or a dropout that is no share.
    """

    parts = ("conditioner", "network")
    learners = ("network",)

    def __init__(
        self,
        conditioner: CaptionConditioner,
        network: nn.Module,
        objective: Objective,
        sampler: StageSampler,
        low_resolution: LowResolution | None = None,
        crop: int | None = None,
        dropout: float = 0.1,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        stages: Sequence[Stage] = (Stage(),),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, stages, config)
        self.hold(conditioner, network, sampler, low_resolution)
        _check(objective, sampler, low_resolution, crop, self.side, dropout)
        self.objective = objective
        self.crop = crop
        self.dropout = dropout
        self._marks = marks(self)

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The denoising loss of both images under their captions (Imagen eq. 1, w_t by the objective)."""
        images = self.images(batch, generator)
        condition = self.conditioner(batch)
        low, levels = self.low_resolution.training_input(images, generator) if self.low_resolution else (None, None)
        noised = self.objective.noise(images, generator)
        dropped = torch.rand(len(images), 1, 1, device=images.device, generator=generator) < self.dropout
        states = torch.where(dropped, condition.null_embeddings, condition.embeddings)
        prediction = self.predict(noised.sample, noised.timesteps, states, low, levels)
        return {"image_loss": self.objective.loss(prediction, noised, images, images)}

    def images(self, batch: PairBatch, generator: torch.Generator | None = None) -> Tensor:
        """Both images of each pair [2B, 3, h, w] at the stage's side, or crops of them."""
        images = reduced(torch.cat([batch.original_image, batch.edited_image]), self.side)
        if self.crop is None:
            return images
        last = self.side - self.crop + 1
        top, left = torch.randint(last, (2, len(images)), device=images.device, generator=generator).tolist()
        places = zip(images, top, left, strict=True)
        return torch.stack([image[:, y : y + self.crop, x : x + self.crop] for image, y, x in places])

    def encodings(self) -> list[Encoding]:
        """States of the captions, for a cache; the images are needed all the same."""
        return self.conditioner.encodings({"image_loss"})


def _check(
    objective: Objective,
    sampler: StageSampler,
    low_resolution: LowResolution | None,
    crop: int | None,
    side: int,
    dropout: float,
) -> None:
    """Settings chosen apart must fit together."""
    taught, asked = objective.scheduler.config, sampler.scheduler.config
    if asked.get("prediction_type") != objective.prediction_type:
        raise ValueError(
            f"the objective teaches {objective.prediction_type!r} but the sampler's {type(sampler.scheduler).__name__} "
            f"expects {asked.get('prediction_type')!r}; give both the same prediction_type"
        )
    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
    if differing := [key for key in keys if taught.get(key) != asked.get(key)]:
        raise ValueError(f"objective and sampler differ in {', '.join(differing)}; give both the same noise schedule")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout} is the share of captions to drop; it must be at least 0 and below 1")
    seen = crop or side
    if seen > side or (low_resolution and seen % low_resolution.factor):
        raise ValueError(
            f"crop={crop} must be at most the stage's side of {side} pixels, and what is seen ({seen}) a multiple of "
            "the enlargement"
        )
