"""Prompt-to-Prompt (Hertz et al. 2022) in diffusers' UNets: one sample of a batch attends as another one does.

InstructPix2Pix's code shares self-attention (all layers, both halves of classifier-free guidance), the paper of
Prompt-to-Prompt edits cross-attention maps. Both are attention processors that ask one `AttentionPlan`, which the
sampling loop lays down before each call of the network; without a plan they are diffusers' own attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor


@dataclass(frozen=True)
class CrossEdits:
    """Edit of cross-attention maps M [heads, pixels, L]: some samples follow others (Hertz et al. section 3.2).

    Row k becomes `M[source] @ mapper[k] + M[target] * own[k]`; replacing, refining and reweighting are choices of the
    two (`CrossEdit`).

    Args:
        targets: [K] rows of the batch whose maps are edited.
        sources: [K] rows that they follow.
        mapper: [K, L, L] from the source's tokens to the target's.
        own: [K, L] share of the target's own map.
    """

    targets: Tensor
    sources: Tensor
    mapper: Tensor
    own: Tensor


@dataclass(frozen=True)
class AttentionPlan:
    """Assignment of followers to leaders in one call of the denoiser.

    Args:
        self_rows: [B]; queries and keys of self-attention of sample b are those of sample `self_rows[b]`, values are
            its own. That is the copied map of InstructPix2Pix's code, and leaves fused attention in place. None for
            no sharing.
        cross: edits of cross-attention maps; None for none.
        largest_map: self-attention over more pixels than that is not shared; None shares in all layers.
    """

    self_rows: Tensor | None = None
    cross: CrossEdits | None = None
    largest_map: int | None = None


@dataclass(frozen=True)
class CrossEdit:
    """One way to edit cross-attention maps, for all steps.

    Args:
        mapper: [L, L] from the original caption's tokens to the edited caption's.
        own: [L] share of the edited caption's own map at each of its tokens: 1 for new words, else 0.
        weights: [L] factors of its tokens' attention.
        share: [L] share of the steps in which each of its tokens follows the original.
    """

    mapper: Tensor
    own: Tensor
    weights: Tensor
    share: Tensor

    def active(self, step: int, steps: int) -> bool:
        """True if anything is edited in a step."""
        return bool((self._share(step, steps) > 0).any())

    def at(self, step: int, steps: int) -> tuple[Tensor, Tensor]:
        """`mapper` [L, L] and `own` [L] of `CrossEdits` in a step."""
        # Hertz et al. section 3.2: the edited map is M_original @ mapper for words that both captions have, and its own
        # for new words, times the words' weights. Columns whose share of steps is over (`on` = 0) keep their own map.
        on = self._share(step, steps)
        return self.mapper * ((1 - self.own) * self.weights * on), self.own * self.weights * on + 1 - on

    def _share(self, step: int, steps: int) -> Tensor:
        return (step < (self.share * steps).floor()).to(self.mapper)


def injected_steps(share: float, steps: int) -> int:
    """Number of the first steps that share self-attention: those with p > i / (steps - 1), as in IP2P's code."""
    return sum(share > step / max(1, steps - 1) for step in range(steps))


class PromptToPrompt:
    """A UNet whose attention follows a plan, while the `with` block lasts.

    Args:
        unet: its processors are replaced on entry and put back on exit.

    Raises:
        ValueError: on entry, attention of a kind that this cannot share (added keys and values, such as IF's).
    """

    plan: AttentionPlan | None = None
    """Of the next call."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self.unet = unet
        self._before: dict[str, Any] = {}

    def __enter__(self) -> PromptToPrompt:
        for name, module in self.unet.named_modules():
            if isinstance(module, Attention) and module.added_kv_proj_dim is not None:
                raise ValueError(
                    f"{name} of {type(self.unet).__name__} joins the text's keys to those of the pixels; attention is "
                    "shared in UNets with separate self- and cross-attention, as Stable Diffusion has"
                )
        self._before = dict(self.unet.attn_processors)
        processors: dict[str, Any] = {name: _Processor(self) for name in self._before}
        self.unet.set_attn_processor(processors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unet.set_attn_processor(dict(self._before))
        self.plan = None


class _Processor:
    """diffusers' `AttnProcessor2_0`, with queries and keys or maps of other samples where the plan says so."""

    def __init__(self, owner: PromptToPrompt) -> None:
        self.owner = owner

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        plan = self.owner.plan or AttentionPlan()
        shape, residual = hidden_states.shape, hidden_states
        if attn.spatial_norm is not None:
            hidden_states = attn.spatial_norm(hidden_states, temb)
        if hidden_states.ndim == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is not None and attn.norm_cross:
            context = attn.norm_encoder_hidden_states(context)
        query, key, value = (
            part.unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        mask = _mask(attn, attention_mask, context)
        if encoder_hidden_states is None and plan.self_rows is not None and _small(query, plan.largest_map):
            query, key = query[plan.self_rows], key[plan.self_rows]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        if encoder_hidden_states is not None and plan.cross is not None:
            mixed = _edited(mixed, query, key, value, mask, plan.cross)
        mixed = attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))
        if len(shape) == 4:
            mixed = mixed.transpose(1, 2).reshape(shape)
        return (mixed + residual if attn.residual_connection else mixed) / attn.rescale_output_factor


def _small(query: Tensor, largest_map: int | None) -> bool:
    return largest_map is None or query.shape[2] <= largest_map


def _mask(attn: Attention, mask: Tensor | None, context: Tensor) -> Tensor | None:
    if mask is None:
        return None
    mask = attn.prepare_attention_mask(mask, context.shape[1], len(context))
    return mask.view(len(context), attn.heads, -1, mask.shape[-1])


def _edited(mixed: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, edits: CrossEdits) -> Tensor:
    """Only samples that are edited get explicit maps; the others keep the fused attention's result to the bit."""

    def maps(rows: Tensor) -> Tensor:
        logits = query[rows] @ key[rows].transpose(-1, -2) * query.shape[-1] ** -0.5
        return (logits if mask is None else logits + mask[rows]).softmax(-1)

    mapper, own = edits.mapper.to(query)[:, None], edits.own.to(query)[:, None, None]
    followed = maps(edits.sources) @ mapper + maps(edits.targets) * own
    return mixed.index_copy(0, edits.targets, followed @ value[edits.targets])
