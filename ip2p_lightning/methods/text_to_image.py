"""Text-to-image diffusion (Rombach et al. 2022): the model that InstructPix2Pix starts from and makes its pairs with.

What is trained is a Stable Diffusion in small: text encoder, UNet with cross-attention, autoencoder. It becomes a
`StableDiffusionPipeline`, in which Prompt-to-Prompt finds the cross-attention it works on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.diffusion.objective import Objective
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import OptimizerFactory, StagedModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import predicted
from ip2p_lightning.models.pretrained import marks
from ip2p_lightning.states import States


class TextToImageModule(StagedModule):
    """Text encoder, UNet and autoencoder as siblings, and the step that trains them; the loss is "image_loss".

    Both images of a pair are learnt from, each under its caption.

    Args:
        conditioner: captions to states; its tokenizer and text encoder go into the pipeline.
        unet: predicts from noised latents and the caption's states.
        autoencoder: images to latents and back; always frozen.
        objective: noises latents and scores the prediction.
        scheduler: of the pipeline, with the objective's noise schedule and prediction.
        dropout: share of the captions replaced by "", for classifier-free guidance.
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training.
        config: see `StagedModule`.

    Raises:
        ValueError: parts of different widths, a scheduler that expects another prediction than is learnt, or a
            dropout that is no share.
    """

    parts = ("conditioner", "unet", "autoencoder")
    learners = ("conditioner", "unet")

    def __init__(
        self,
        conditioner: TextConditioner,
        unet: UNet2DConditionModel,
        autoencoder: Autoencoder,
        objective: Objective,
        scheduler: Any,
        dropout: float = 0.1,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        stages: Sequence[Stage] = (Stage(),),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, stages, config)
        _check(conditioner, unet, autoencoder, objective, scheduler)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} is the share of captions to drop; it must be at least 0 and below 1")
        self.conditioner = conditioner
        self.unet = unet
        self.autoencoder = autoencoder.requires_grad_(False)
        self.objective = objective
        self.scheduler = scheduler
        self.dropout = dropout
        self._marks = marks(self)

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The denoising loss of both images under their captions.

        Raises:
            ValueError: pairs without captions.
        """
        images, captions = _captioned(batch)
        with torch.no_grad():
            latents = self.autoencoder.encode_edited(images, generator)
        noised = self.objective.noise(latents, generator)
        condition = self.conditioner.encode(captions)
        dropped = torch.rand(len(captions), device=latents.device, generator=generator) < self.dropout
        states = condition.states.where(dropped, condition.null_states)
        prediction = self.predict(noised.sample, noised.timesteps, states)
        loss = self.objective.loss(prediction, noised, latents, latents, self.autoencoder.importance)
        return {"image_loss": loss}

    def predict(self, sample: Tensor, timesteps: Tensor, states: States) -> Tensor:
        """[B, C, h, w], [B] and states to [B, C, h, w]."""
        # On processors the fused kernel's backward pass is slower than plain matrix products for so few tokens.
        plain = sample.device.type == "cpu" and not self.unet.is_gradient_checkpointing
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            return predicted(self.unet, sample, timesteps, states)

    def pipeline(self) -> StableDiffusionPipeline:
        """A pipeline of these very parts (they are not copied), with the trained length of captions."""
        tokenizer = copy.deepcopy(self.conditioner.tokenizer)
        tokenizer.model_max_length = self.conditioner.max_length
        pipeline = StableDiffusionPipeline(
            vae=self.autoencoder.vae,
            text_encoder=self.conditioner.text_encoder,  # type: ignore[arg-type]
            tokenizer=tokenizer,  # type: ignore[arg-type]
            unet=self.unet,
            scheduler=copy.deepcopy(self.scheduler),
            safety_checker=None,  # type: ignore[arg-type]
            feature_extractor=None,  # type: ignore[arg-type]
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _captioned(batch: PairBatch) -> tuple[Tensor, list[str]]:
    captions = [*batch.original_caption, *batch.edited_caption]
    if not all(captions):
        raise ValueError(
            f"some of the pairs {batch.id[:3]} ... have no captions, which text-to-image learns from; use pairs that "
            "have both"
        )
    return torch.cat([batch.original_image, batch.edited_image]), captions


def _check(
    conditioner: TextConditioner,
    unet: Any,
    autoencoder: Autoencoder,
    objective: Objective,
    scheduler: Any,
) -> None:
    """Parts chosen apart must fit together."""
    if conditioner.embedding_dim != unet.config.cross_attention_dim:
        raise ValueError(
            f"the text encoder gives states of width {conditioner.embedding_dim}, the UNet attends to width "
            f"{unet.config.cross_attention_dim}; set unet.embedding_dim={conditioner.embedding_dim}"
        )
    if {unet.config.in_channels, unet.config.out_channels} != {autoencoder.channels}:
        raise ValueError(
            f"the autoencoder's latents have {autoencoder.channels} channels, the UNet takes {unet.config.in_channels} "
            f"and gives {unet.config.out_channels}; set unet.latent_channels={autoencoder.channels}"
        )
    if scheduler.config.prediction_type != objective.prediction_type:
        raise ValueError(
            f"the objective teaches {objective.prediction_type!r} but the {type(scheduler).__name__} expects "
            f"{scheduler.config.prediction_type!r}; give both the same prediction_type"
        )
