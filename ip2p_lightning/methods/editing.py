"""Instruction-based editing: InstructPix2Pix, LGIE and MGIE, which differ in their conditioner alone.

InstructPix2Pix (Brooks et al. 2023, section 3.2) trains a denoiser on [z_t, z_original] under the instruction; MGIE
(Fu et al. 2024, section 3) derives the condition with a multimodal language model and an edit head and trains all of
it end to end with instruction loss + 0.5 x editing loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.cache.latents import latents, posteriors
from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.diffusion.dropout import ConditioningDropout
from ip2p_lightning.diffusion.objective import Objective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import OptimizerFactory, StagedModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import Denoiser
from ip2p_lightning.models.pretrained import marks


class EditingModule(StagedModule):
    """Conditioner, denoiser and autoencoder as siblings, and the step that trains them.

    Args:
        conditioner: turns a batch into the denoiser's condition (and its own losses).
        denoiser: predicts from noised latents and the original's.
        autoencoder: pictures to latents and back; always frozen.
        objective: noises the edited latents and scores the prediction.
        sampler: how `edit` samples.
        dropout: conditioning dropout; None turns it off.
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training, in order; `stage` is the current one.
        config: the resolved configuration that built this object, kept in checkpoints so that they can be reopened.

    Raises:
        ValueError: parts of different widths, or a sampler or a residual that does not fit what the objective teaches
            the denoiser to predict.

    Example:
        >>> import torch
        >>> from ip2p_lightning import compose
        >>> from ip2p_lightning.config import build
        >>> parts = ("conditioner", "denoiser", "autoencoder", "objective", "sampler")
        >>> config = compose("train", ["experiment=ip2p/tiny"])
        >>> module = EditingModule(**{part: build(config[part]) for part in parts}).eval()
        >>> edited, _ = module.edit(torch.zeros(1, 3, 16, 16), ["make it night"])
        >>> edited.shape
        torch.Size([1, 3, 16, 16])
    """

    parts = ("conditioner", "denoiser", "autoencoder")
    learners = ("conditioner", "denoiser")

    def __init__(
        self,
        conditioner: Conditioner,
        denoiser: Denoiser,
        autoencoder: Autoencoder,
        objective: Objective,
        sampler: Sampler,
        dropout: ConditioningDropout | None = None,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        stages: Sequence[Stage] = (Stage(),),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, stages, config)
        _check_agreement(objective, sampler, denoiser)
        _check_widths(conditioner, denoiser, autoencoder)
        self.conditioner = conditioner
        self.denoiser = denoiser
        self.autoencoder = autoencoder.requires_grad_(False)
        self.objective = objective
        self.sampler = sampler
        self.dropout = dropout or ConditioningDropout(0, 0, 0)
        self._marks = marks(self)

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The losses of a batch, by name: the conditioner's own, and "editing_loss" if the stage trains on it."""
        condition = self.conditioner(batch)
        if not self.stage.loss_weights.get("editing_loss"):
            return dict(condition.losses)
        edited, original = self.encode(batch, generator)
        noised = self.objective.noise(edited, generator)
        embeddings, seen = self.dropout(condition.embeddings, condition.null_embeddings, original, generator)
        prediction = self.denoiser(noised.sample, seen, noised.timesteps, embeddings)
        loss = self.objective.loss(prediction, noised, edited, original, self.autoencoder.importance)
        return {**condition.losses, "editing_loss": loss}

    @torch.no_grad()
    def encode(self, batch: PairBatch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Latents [B, C, h, w] of the edited (a posterior sample) and the original pictures (the posterior mode)."""
        edited, original = posteriors(batch, self.autoencoder)
        return self.autoencoder.sample(edited, generator), self.autoencoder.mode(original)

    def encodings(self) -> list[Encoding]:
        """What the frozen parts of the step say of a pair, for a cache; nothing where no denoiser is run."""
        losses = {name for name, weight in self.stage.loss_weights.items() if weight}
        return [latents(self.autoencoder), *self.conditioner.encodings(losses)] if "editing_loss" in losses else []

    @torch.no_grad()
    def edit(
        self,
        original_images: Tensor,
        instructions: Sequence[str],
        condition: Conditioning | None = None,
        expressive_instructions: Sequence[str | None] | None = None,
        **sampling: Any,
    ) -> tuple[Tensor, Conditioning]:
        """Edit pictures.

        Args:
            original_images: float32 [B, 3, H, W] in [-1, 1], sides a multiple of the autoencoder's factor.
            instructions: B commands.
            condition: what an earlier call returned, to vary scales or seeds without running the conditioner again.
            expressive_instructions: B texts that a model which writes them is to take in the place of its own; None
                lets it write.
            sampling: arguments of `Sampler.__call__` (guidance, steps, generator, latents, on_step).

        Raises:
            ValueError: an expressive instruction for a model that reads none.

        Returns:
            The edited pictures, as the originals, and the conditioning (with any expressive instructions).
        """
        if condition is None and any(text is not None for text in expressive_instructions or ()):
            condition = self.conditioner.told(instructions, original_images, expressive_instructions or ())
        condition = condition or self.conditioner.condition(instructions, original_images)
        latents = self.sampler(
            self.denoiser,
            self.autoencoder.encode_original(original_images),
            condition.embeddings,
            condition.null_embeddings,
            **sampling,
        )
        return self.autoencoder.decode(latents), condition


def _check_widths(conditioner: Conditioner, denoiser: Denoiser, autoencoder: Autoencoder) -> None:
    """Parts chosen apart must fit together; torch would say so only in the first step, and name neither."""
    if conditioner.embedding_dim != denoiser.embedding_dim:
        raise ValueError(
            f"the conditioner gives states of width {conditioner.embedding_dim}, the denoiser attends to width "
            f"{denoiser.embedding_dim}; choose a denoiser of the conditioner's size (tiny, world ...), or set "
            f"denoiser.network.embedding_dim={conditioner.embedding_dim}"
        )
    if autoencoder.channels != denoiser.channels:
        raise ValueError(
            f"the autoencoder's latents have {autoencoder.channels} channels, the denoiser takes {denoiser.channels}; "
            f"choose a denoiser for it, or set denoiser.network.latent_channels={autoencoder.channels}"
        )


_SCHEDULE_KEYS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr", "shift")


def _check_agreement(objective: Objective, sampler: Sampler, denoiser: Denoiser) -> None:
    """Sampling must undo what training does, or it yields noise without any error."""
    taught, asked = objective.scheduler.config, sampler.scheduler.config
    expected = asked.get("prediction_type", "flow")
    if expected != objective.prediction_type:
        raise ValueError(
            f"the objective teaches {objective.prediction_type!r} but the sampler's {type(sampler.scheduler).__name__} "
            f"expects {expected!r}; give both the same prediction_type"
        )
    differing = [key for key in _SCHEDULE_KEYS if key in taught and key in asked and taught[key] != asked[key]]
    if differing:
        pairs = ", ".join(f"{key} {taught[key]!r} / {asked[key]!r}" for key in differing)
        raise ValueError(f"objective / sampler have different noise schedules: {pairs}; make them equal")
    if denoiser.residual and objective.prediction_type != "sample":
        raise ValueError(
            f"residual={denoiser.residual} adds the original to a prediction of {objective.prediction_type!r}; "
            "use the sample objective or residual 0"
        )
