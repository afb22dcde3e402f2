"""Instruction-based editing: InstructPix2Pix, LGIE and MGIE, which differ in their conditioner alone.

InstructPix2Pix (Brooks et al. 2023, section 3.2) trains a denoiser on [z_t, z_original] under the instruction; MGIE
(Fu et al. 2024, section 3) derives the condition with a multimodal language model and an edit head and trains all of
it end to end with instruction loss + 0.5 x editing loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.diffusion.dropout import ConditioningDropout
from ip2p_lightning.diffusion.objective import Objective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import Denoiser
from ip2p_lightning.models.pretrained import Mark, marks, with_pretrained, without_pretrained

OptimizerFactory = Callable[[list[dict[str, Any]]], Optimizer]


class EditingModule(L.LightningModule):
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
    """

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
        super().__init__()
        _check_agreement(objective, sampler, denoiser)
        _check_widths(conditioner, denoiser, autoencoder)
        self.conditioner = conditioner
        self.denoiser = denoiser
        self.autoencoder = autoencoder.requires_grad_(False)
        self.objective = objective
        self.sampler = sampler
        self.dropout = dropout or ConditioningDropout(0, 0, 0)
        self.optimizer_factory = optimizer
        self.stages = tuple(stages)
        self.stage = self.stages[0]
        self.config = dict(config) if config else None
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
        return {**condition.losses, "editing_loss": self.objective.loss(prediction, noised, edited, original)}

    def training_step(self, batch: PairBatch, batch_idx: int) -> dict[str, Tensor]:
        """Weighted sum of the losses (MGIE eq. 6: instruction loss + 0.5 x editing loss)."""
        losses = self(batch, self.draws(torch.initial_seed(), self.current_epoch, batch_idx))
        total = self.stage.total(losses)
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()}, batch_size=len(batch))
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=len(batch))
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """The same losses on held-out pairs, with noise and times that are the same at every validation."""
        losses = self(batch, self.draws("validation", batch_idx))
        self.log_dict({f"val/{name}": loss for name, loss in losses.items()}, batch_size=len(batch), sync_dist=True)

    def draws(self, *address: object) -> torch.Generator:
        """Source of a step's noise, times and dropout: another on every rank, the same again after resuming."""
        return torch.Generator(self.device).manual_seed(hashed_integer(*address, self.global_rank))

    @torch.no_grad()
    def encode(self, batch: PairBatch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Latents [B, C, h, w] of the edited (a posterior sample) and the original pictures (the posterior mode)."""
        edited = self.autoencoder.encode_edited(batch.edited_image, generator)
        return edited, self.autoencoder.encode_original(batch.original_image)

    @torch.no_grad()
    def edit(
        self,
        original_images: Tensor,
        instructions: Sequence[str],
        condition: Conditioning | None = None,
        **sampling: Any,
    ) -> tuple[Tensor, Conditioning]:
        """Edit pictures.

        Args:
            original_images: float32 [B, 3, H, W] in [-1, 1], sides a multiple of the autoencoder's factor.
            instructions: B commands.
            condition: what an earlier call returned, to vary scales or seeds without running the conditioner again.
            sampling: arguments of `Sampler.__call__` (guidance, steps, generator, latents).

        Returns:
            The edited pictures, as the originals, and the conditioning (with any expressive instructions).
        """
        condition = condition or self.conditioner.condition(instructions, original_images)
        latents = self.sampler(
            self.denoiser,
            self.autoencoder.encode_original(original_images),
            condition.embeddings,
            condition.null_embeddings,
            **sampling,
        )
        return self.autoencoder.decode(latents), condition

    def setup(self, stage: str) -> None:
        """Freeze what the stage does not train; DDP takes note of it before it asks for optimizers."""
        if stage == "fit":
            self.parameter_groups()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The stage's optimizer groups over conditioner and denoiser; everything else is frozen."""
        return self.stage.parameter_groups(nn.ModuleDict({"conditioner": self.conditioner, "denoiser": self.denoiser}))

    def configure_optimizers(self) -> Any:
        """An optimizer over the stage's parameter groups, and its schedule."""
        stage = self.stage
        optimizer = self.optimizer_factory(self.parameter_groups())
        if stage.decay == "constant" and not stage.warmup:
            return optimizer
        steps = stage.max_steps if stage.max_steps > 0 else int(self.trainer.estimated_stepping_batches)
        schedule = stage.schedule(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep configuration and stage, so that the file alone reopens; leave out what pretrained folders hold."""
        checkpoint["config"] = self.config
        checkpoint["stage"] = self.stage.name
        checkpoint["state_dict"], kept = without_pretrained(checkpoint["state_dict"], self._marks)
        checkpoint["pretrained"] = {name: tuple(mark) for name, mark in kept.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put back the pretrained weights that were left out."""
        left_out = {name: Mark(*mark) for name, mark in checkpoint.get("pretrained", {}).items()}
        checkpoint["state_dict"] = with_pretrained(checkpoint["state_dict"], left_out, self.state_dict())


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
