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
from ip2p_lightning.conditioners.base import Conditioner
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.diffusion.dropout import ConditioningDropout
from ip2p_lightning.diffusion.objective import Objective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.methods.editing_model import EditingParts
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import OptimizerFactory, StagedModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import Denoiser
from ip2p_lightning.models.pretrained import marks


class EditingModule(EditingParts, StagedModule):
    """Conditioner, denoiser and autoencoder as siblings, and the step that trains them.

    Args:
        conditioner: turns a batch into the denoiser's condition (and its own losses).
        denoiser: predicts from noised latents and the original's.
        autoencoder: images to latents and back; always frozen.
        objective: noises the edited latents and scores the prediction.
        sampler: how `edit` samples.
        dropout: conditioning dropout; None turns it off.
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training, in order; `stage` is the current one.
        config: the resolved configuration that built this object, kept in checkpoints so that they can be reopened.

    Raises:
        ValueError: parts of different widths, or a sampler or a residual that does not fit what the objective teaches
            the denoiser to predict.

    Examples:
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
        self.hold(conditioner, denoiser, autoencoder, objective, sampler)
        self.dropout = dropout or ConditioningDropout(0, 0, 0)
        self._marks = marks(self)

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The losses of a batch, by name: the conditioner's own, and "editing_loss" if the stage trains on it."""
        condition = self.conditioner(batch)
        if not self.stage.loss_weights.get("editing_loss"):
            return dict(condition.losses)
        # IP2P eq. 2: z_t from the edited latents; the denoiser sees [z_t, original latents], either condition dropped
        # at random (section 3.2.1), which the two guidance scales need at sampling.
        edited, original = self.encode(batch, generator)
        noised = self.objective.noise(edited, generator, self.denoiser.tokens(edited))
        states, seen = self.dropout(condition.states, condition.null_states, original, generator)
        prediction = self.denoiser(noised.sample, seen, noised.timesteps, states)
        loss = self.objective.loss(prediction, noised, edited, original, self.autoencoder.importance)
        return {**condition.losses, "editing_loss": loss}

    @torch.no_grad()
    def encode(self, batch: PairBatch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Latents [B, C, h, w] of the edited (a posterior sample) and the original images (the posterior mode)."""
        edited, original = posteriors(batch, self.autoencoder)
        return self.autoencoder.sample(edited, generator), self.autoencoder.mode(original)

    def encodings(self) -> list[Encoding]:
        """Encodings by the frozen parts of the step, for the cache; none where no denoiser is run."""
        losses = {name for name, weight in self.stage.loss_weights.items() if weight}
        return [latents(self.autoencoder), *self.conditioner.encodings(losses)] if "editing_loss" in losses else []
