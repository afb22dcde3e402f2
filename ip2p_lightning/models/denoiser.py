"""The denoiser: predicts from the noised latents and the original's latents, side by side in the channels.

InstructPix2Pix (section 3.2) widens a pretrained UNet's first convolution from C to 2C channels, the new weights
zero. A joint-attention transformer (Stable Diffusion 3) stands behind the same interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ip2p_lightning.config.parts import buildable, loads
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.lora import with_lora
from ip2p_lightning.models.masked_attention import MaskedJointAttention
from ip2p_lightning.models.positions import token_positions
from ip2p_lightning.states import States


class Denoiser(nn.Module, ABC):
    """`forward(noisy, original, timesteps, states) -> prediction`.

    Args:
        residual: factor of the original's latents that is added to the output, so that a network that outputs zero
            copies the original; 0 turns it off. Only for objectives that predict the clean sample, and 1 where both
            latents have one scale. A dropped original is zeros, so dropout and guidance stay exact. A network with 2C
            output channels also predicts a gate, by which that factor changes: erasing is then as easy as copying.
    """

    network: Any

    def __init__(self, residual: float = 0.0) -> None:
        super().__init__()
        self.residual = residual

    @property
    @abstractmethod
    def channels(self) -> int:
        """C, channels of the latents it denoises."""

    @property
    @abstractmethod
    def embedding_dim(self) -> int:
        """D, width of the conditioning states it attends to."""

    def tokens(self, latents: Tensor) -> int:
        """Number of positions of latents [B, C, h, w] that it attends to; noise schedules may depend on it."""
        return latents.shape[-2] * latents.shape[-1]

    @abstractmethod
    def predict(self, sample: Tensor, timesteps: Tensor, states: States) -> Tensor:
        """[B, 2C, h, w], [B] and states to [B, C, h, w], or to [B, 2C, h, w]: the same and a gate."""

    def forward(self, noisy: Tensor, original: Tensor, timesteps: Tensor, states: States) -> Tensor:
        """Predict [B, C, h, w] from latents [B, C, h, w] twice, times [B] and the condition's states."""
        prediction = self.predict(torch.cat([noisy, original], dim=1), timesteps, states)
        if not self.residual:
            return prediction
        if prediction.shape[1] == original.shape[1]:
            return prediction + self.residual * original
        content, gate = prediction.chunk(2, dim=1)
        return content + (self.residual + gate) * original


class UNetDenoiser(Denoiser):
    """A `UNet2DConditionModel` with 2C input channels.

    Args:
        network: the UNet; widened in place if it still has C input channels.
        residual: see `Denoiser`.
        gradient_checkpointing: trade a second forward pass for memory.
        lora: arguments of `with_lora`, added after widening; None adds no adapter.

    Raises:
        ValueError: a network with neither C nor 2C input channels.
    """

    def __init__(
        self,
        network: UNet2DConditionModel,
        residual: float = 0.0,
        gradient_checkpointing: bool = False,
        lora: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(residual)
        taken, given = network.conv_in.in_channels, network.conv_out.out_channels
        if taken not in (given, 2 * given):
            raise ValueError(
                f"a UNet with {taken} input and {given} output channels is no denoiser of edits; take one with {given} "
                f"(it is widened) or {2 * given} input channels"
            )
        self.network = widen(network) if taken == given else network
        if gradient_checkpointing:
            network.enable_gradient_checkpointing()
        if lora is not None:
            with_lora(network, **lora)

    @property
    def channels(self) -> int:
        """See `Denoiser.channels`."""
        return self.network.config.out_channels

    @property
    def embedding_dim(self) -> int:
        """See `Denoiser.embedding_dim`."""
        return self.network.config.cross_attention_dim

    def predict(self, sample: Tensor, timesteps: Tensor, states: States) -> Tensor:
        """See `Denoiser.predict`."""
        return predicted(self.network, sample, timesteps, states)


class TransformerDenoiser(Denoiser):
    """Joint attention between image and text tokens (`SD3Transformer2DModel`), text pooled into the time embedding.

    Args:
        network: transformer with 2C input and C output channels.
        residual: see `Denoiser`.
        gradient_checkpointing: trade a second forward pass for memory.
        lora: arguments of `with_lora`; None adds no adapter.
    """

    def __init__(
        self,
        network: SD3Transformer2DModel,
        residual: float = 0.0,
        gradient_checkpointing: bool = False,
        lora: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(residual)
        self.network = network
        if gradient_checkpointing:
            network.enable_gradient_checkpointing()
        if lora is not None:
            with_lora(network, **lora)

    @property
    def channels(self) -> int:
        """See `Denoiser.channels`."""
        return self.network.config.in_channels // 2

    @property
    def embedding_dim(self) -> int:
        """See `Denoiser.embedding_dim`."""
        return self.network.config.joint_attention_dim

    def tokens(self, latents: Tensor) -> int:
        """See `Denoiser.tokens`: patches."""
        return super().tokens(latents) // self.network.config.patch_size**2

    def predict(self, sample: Tensor, timesteps: Tensor, states: States) -> Tensor:
        """See `Denoiser.predict`; without pooled vectors the normalised mean of the states takes their place."""
        pooled = _mean(states) if states.pooled is None else states.pooled
        # On processors the fused kernel's backward pass is slower than plain matrix products for so few tokens; its
        # forward pass alone is faster. Checkpointing recomputes outside this context, and must find the same kernel.
        learning = torch.is_grad_enabled() and not self.network.is_gradient_checkpointing
        plain = sample.device.type == "cpu" and learning
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            return self.network(
                sample,
                encoder_hidden_states=states.embeddings,
                pooled_projections=pooled,
                timestep=timesteps,
                joint_attention_kwargs=self._masked(states.mask),
                return_dict=False,
            )[0]

    def _masked(self, mask: Tensor | None) -> dict[str, Any] | None:
        """Inputs of its attention besides states; the processors that can mask are put in when they are needed."""
        if mask is None:
            return None
        if not any(isinstance(one, MaskedJointAttention) for one in self.network.attn_processors.values()):
            self.network.set_attn_processor(MaskedJointAttention())
        return {"attention_mask": mask}


def predicted(unet: UNet2DConditionModel, sample: Tensor, timesteps: Tensor, states: States) -> Tensor:
    """Prediction of a UNet under a condition; pooled vectors go where its configuration has a place for them.

    Args:
        unet: with `class_embed_type` "projection" or "simple_projection", or `addition_embed_type` "text_time" (Stable
            Diffusion XL, whose time ids say the size of an uncropped image at 8 pixels a latent), if there are any.
        sample: [B, C, h, w].
        timesteps: [B].
        states: of B samples.

    Raises:
        ValueError: pooled vectors for a UNet that takes none, or none for one that does.
    """
    pooled, config = states.pooled, unet.config
    labelled = config["class_embed_type"] in ("projection", "simple_projection")
    added = config["addition_embed_type"] == "text_time"
    if (pooled is None) == (labelled or added):
        raise ValueError(
            "the UNet takes pooled vectors and the conditioner gives none; set conditioner.pooled=true"
            if pooled is None
            else "the conditioner gives pooled vectors and the UNet has no place for them; build it with pooled_dim="
            f"{pooled.shape[1]}, or set conditioner.pooled=false"
        )
    place: dict[str, Any] = {"class_labels": pooled} if labelled else {}
    if added and pooled is not None:
        height, width = (8 * side for side in sample.shape[-2:])
        times = pooled.new_tensor([height, width, 0, 0, height, width]).expand(len(pooled), -1)
        place["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": times}
    return unet(
        sample,
        timesteps,
        encoder_hidden_states=states.embeddings,
        encoder_attention_mask=states.mask,
        return_dict=False,
        **place,
    )[0]


def _mean(states: States) -> Tensor:
    """The normalised mean of a condition's states, padding left out."""
    embeddings, mask = states.embeddings, states.mask
    if mask is None:
        mean = embeddings.mean(1)
    else:
        mean = (embeddings * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    return F.layer_norm(mean, embeddings.shape[-1:])


def widen(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Give a UNet's first convolution C more input channels with zero weights, in place.

    The old weights and the bias are kept, so the widened net equals the old one for any original at the start
    (the common ports lose the bias).
    """
    old = unet.conv_in
    channels = old.in_channels
    form: dict[str, Any] = {name: getattr(old, name) for name in ("kernel_size", "stride", "padding")}
    new = nn.Conv2d(2 * channels, old.out_channels, **form, device=old.weight.device, dtype=old.weight.dtype)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :channels].copy_(old.weight)
        new.bias.copy_(old.bias)  # type: ignore[union-attr]
    unet.conv_in = new
    unet.register_to_config(in_channels=2 * channels)
    return unet


@loads("weights")
def load_unet(
    weights: str | None,
    config: Mapping[str, Any],
    subfolder: str | None = "unet",
    variant: str | None = None,
    dtype: str = "float32",
) -> UNet2DConditionModel:
    """A pretrained UNet; without weights, one of the same architecture with random ones.

    Args:
        weights: see `load_model`, or None.
        config: architecture used when there are no weights (Stable Diffusion 1.5: the class's defaults with
            `cross_attention_dim` 768; 859,520,964 parameters).
        subfolder: where in it the UNet lies.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory.
    """
    if weights is None:
        return UNet2DConditionModel(**config)
    return load_model(UNet2DConditionModel, weights, subfolder, variant, dtype)


@buildable
def build_unet(
    latent_channels: int,
    embedding_dim: int,
    widths: Sequence[int] = (32, 64),
    layers_per_block: int = 1,
    heads: int = 4,
    sample_size: int = 8,
    norm_groups: int = 8,
    pooled_text_heads: int | None = None,
    pooled_dim: int | None = None,
) -> UNet2DConditionModel:
    """A small UNet with cross-attention at every level, for training from nothing.

    Args:
        latent_channels: C; the net takes C channels and is widened by `UNetDenoiser`.
        embedding_dim: D of the conditioning states.
        widths: channels of each level.
        layers_per_block: residual blocks a level.
        heads: attention heads.
        sample_size: side of the latents.
        norm_groups: groups of the group norms; must divide every width.
        pooled_text_heads: adds attention-pooled text to the time embedding with so many heads; None leaves it out.
        pooled_dim: P of the conditioner's pooled vectors, which are added to the time embedding; None takes none.
    """
    text = {"addition_embed_type": "text", "addition_embed_type_num_heads": pooled_text_heads}
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * len(widths),
        up_block_types=("CrossAttnUpBlock2D",) * len(widths),
        block_out_channels=tuple(widths),
        layers_per_block=layers_per_block,
        cross_attention_dim=embedding_dim,
        attention_head_dim=heads,  # diffusers reads this as the number of heads for this class
        norm_num_groups=norm_groups,
        class_embed_type="projection" if pooled_dim else None,
        projection_class_embeddings_input_dim=pooled_dim,
        **(text if pooled_text_heads else {}),
    )


@buildable
def build_transformer(
    latent_channels: int,
    embedding_dim: int,
    width: int = 192,
    layers: int = 6,
    heads: int = 3,
    sample_size: int = 8,
    patch_size: int = 1,
    max_size: int | None = None,
    gated: bool = False,
) -> SD3Transformer2DModel:
    """A small joint-attention transformer with adaLN-zero start (Peebles and Xie 2023, section 3.2).

    Args:
        latent_channels: C; the net takes 2C channels and returns C.
        embedding_dim: D of the conditioning states.
        width: token width; a multiple of `heads`.
        layers: number of blocks.
        heads: attention heads.
        sample_size: side of the latents it is trained on.
        patch_size: latents a token covers, per side.
        max_size: largest side it can be asked for, in tokens; twice the training side if None.
        gated: output a gate for the original next to the prediction (see `Denoiser`).
    """
    network = SD3Transformer2DModel(
        sample_size=sample_size,
        patch_size=patch_size,
        in_channels=2 * latent_channels,
        out_channels=(2 if gated else 1) * latent_channels,
        num_layers=layers,
        attention_head_dim=width // heads,
        num_attention_heads=heads,
        joint_attention_dim=embedding_dim,
        caption_projection_dim=width,
        pooled_projection_dim=embedding_dim,
        pos_embed_max_size=max_size or 2 * sample_size // patch_size,
        qk_norm="rms_norm",
    )
    tokens: Any = network.pos_embed
    with torch.no_grad():
        tokens.proj.weight[:, :latent_channels] = 0  # of the noisy half: ignored until training finds a use for it
        tokens.pos_embed.copy_(token_positions(tokens.pos_embed_max_size, width))
    for name, module in network.named_modules():
        # Blocks start as the identity and the output at zero, as in DiT; diffusers leaves this to the trainer.
        if name.endswith((".norm1.linear", ".norm1_context.linear", "norm_out.linear", "proj_out")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return network
