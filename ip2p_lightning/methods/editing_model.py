"""The parts that edit, and how they do it: what training trains, without anything of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.diffusion.objective import Objective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import Denoiser


class EditingParts:
    """Editing with conditioner, denoiser, autoencoder and sampler; a `torch.nn.Module` inherits it next to its base."""

    conditioner: Conditioner
    denoiser: Denoiser
    autoencoder: Autoencoder
    objective: Objective
    sampler: Sampler

    def hold(
        self,
        conditioner: Conditioner,
        denoiser: Denoiser,
        autoencoder: Autoencoder,
        objective: Objective,
        sampler: Sampler,
    ) -> None:
        """Take parts that fit together; see `EditingModule`."""
        _check_agreement(objective, sampler, denoiser)
        _check_widths(conditioner, denoiser, autoencoder)
        self.conditioner = conditioner
        self.denoiser = denoiser
        self.autoencoder = autoencoder.requires_grad_(False)
        self.objective = objective
        self.sampler = sampler

    @torch.no_grad()
    def edit(
        self,
        original_images: Tensor,
        instructions: Sequence[str],
        condition: Conditioning | None = None,
        expressive_instructions: Sequence[str | None] | None = None,
        **sampling: Any,
    ) -> tuple[Tensor, Conditioning]:
        """Edit images.

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
            The edited images, as the originals, and the conditioning (with any expressive instructions).
        """
        if condition is None and any(text is not None for text in expressive_instructions or ()):
            condition = self.conditioner.condition_on(instructions, original_images, expressive_instructions or ())
        condition = condition or self.conditioner.condition(instructions, original_images)
        original = self.autoencoder.encode_original(original_images)
        return self.autoencoder.decode(self.sample(original, condition, **sampling)), condition

    def sample(self, original: Tensor, condition: Conditioning, **sampling: Any) -> Tensor:
        """Edited latents [B, C, h, w] of the originals' under a condition; `sampling` as in `edit`."""
        tokens = self.denoiser.tokens(original)
        return self.sampler(self.denoiser, original, condition.states, condition.null_states, tokens=tokens, **sampling)


class EditingModel(EditingParts, nn.Module):
    """Parts that edit and are not trained: opening one needs no Lightning, which takes seconds to import.

    Args:
        conditioner, denoiser, autoencoder, objective, sampler: see `EditingModule`; weights have the same names.

    Raises:
        ValueError: parts that do not fit together.
    """

    def __init__(
        self,
        conditioner: Conditioner,
        denoiser: Denoiser,
        autoencoder: Autoencoder,
        objective: Objective,
        sampler: Sampler,
    ) -> None:
        super().__init__()
        self.hold(conditioner, denoiser, autoencoder, objective, sampler)

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return next(self.denoiser.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its weights."""
        return next(self.denoiser.parameters()).dtype


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


_SCHEDULE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "rescale_betas_zero_snr",
    "shift",
    "use_dynamic_shifting",
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
    "time_shift_type",
)


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
