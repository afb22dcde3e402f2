"""Joint attention (Stable Diffusion 3) in which images do not attend to padding of the text."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class MaskedJointAttention:
    """An attention processor of diffusers; without a mask it computes what `JointAttnProcessor2_0` does.

    diffusers' own one takes a mask and does not use it.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend from N image tokens, and K text tokens if there are any, to all of both but padding.

        Args:
            attn: layer that holds the projections.
            hidden_states: [B, N, D] of the image.
            encoder_hidden_states: [B, K, D] of the text; None in the blocks that attend within the image alone.
            attention_mask: bool [B, K], True where a text token is real.
        """
        image, text = hidden_states, encoder_hidden_states
        query, key, value = (_heads(attn, name, image) for name in ("to_q", "to_k", "to_v"))
        query, key = _normed(attn.norm_q, query), _normed(attn.norm_k, key)
        mask = None
        if text is not None:
            added = [_heads(attn, name, text) for name in ("add_q_proj", "add_k_proj", "add_v_proj")]
            query = torch.cat([query, _normed(attn.norm_added_q, added[0])], dim=2)
            key = torch.cat([key, _normed(attn.norm_added_k, added[1])], dim=2)
            value = torch.cat([value, added[2]], dim=2)
            if attention_mask is not None:
                mask = F.pad(attention_mask, (image.shape[1], 0), value=True)[:, None, None]
        joint = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        out, rest = joint[:, : image.shape[1]].to(query.dtype), joint[:, image.shape[1] :].to(query.dtype)
        out = attn.to_out[1](attn.to_out[0](out))
        if text is None:
            return out
        return out, rest if attn.context_pre_only else attn.to_add_out(rest)


def _heads(attn: Any, projection: str, states: Tensor) -> Tensor:
    """[B, T, D] to [B, heads, T, d]."""
    return getattr(attn, projection)(states).unflatten(2, (attn.heads, -1)).transpose(1, 2)


def _normed(norm: Any, states: Tensor) -> Tensor:
    return states if norm is None else norm(states)
