"""CLIP's text encoder: the pretrained one, or a small one to be trained from nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerBase

from ip2p_lightning.config.parts import buildable, loads
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.visual_tokens import special_ids


@buildable
def build_text_encoder(
    tokenizer: PreTrainedTokenizerBase,
    hidden_size: int = 128,
    layers: int = 2,
    heads: int = 4,
    max_length: int = 24,
) -> CLIPTextModel:
    """A randomly initialised encoder.

    Tokens start with unit variance instead of CLIP's 0.02 squared: words tell states apart from the first step, which
    a short training would otherwise have to learn first.

    Args:
        tokenizer: gives the vocabulary's size and the special tokens' ids.
        hidden_size: D of the states; a multiple of `heads`.
        layers: transformer blocks, each with a feed-forward part of four times the width.
        heads: attention heads.
        max_length: longest text in tokens.
    """
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=max_length,
        **special_ids(tokenizer),
    )
    encoder = CLIPTextModel(config)
    nn.init.normal_(encoder.get_input_embeddings().weight)  # type: ignore[arg-type]
    return encoder


@loads("weights")
def load_text_encoder(
    weights: str | Path | None,
    subfolder: str | None = "text_encoder",
    variant: str | None = None,
    dtype: str = "float32",
    positions: int | None = None,
) -> CLIPTextModel:
    """Stable Diffusion 1.5's text encoder, CLIP ViT-L/14's.

    Args:
        weights: see `load_model`; None builds the same architecture (123,060,480 parameters) without its weights, for
            the meta device.
        subfolder: where in it the encoder lies.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory.
        positions: longest text in tokens, where it is to be longer than the encoder was trained for; the states of
            the first tokens stay what they are.
    """
    if weights is not None:
        encoder = load_model(CLIPTextModel, weights, subfolder, variant, dtype)
        return encoder if positions is None else lengthened(encoder, positions)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=77,
        )
    )


def lengthened(encoder: CLIPTextModel, positions: int) -> CLIPTextModel:
    """An encoder with more positions, the new ones zero, in place: tokens see those before them alone.

    Raises:
        ValueError: fewer positions than there are.
    """
    embeddings = encoder.embeddings
    table = embeddings.position_embedding
    if positions < table.num_embeddings:
        raise ValueError(f"positions={positions} are fewer than the text encoder's {table.num_embeddings}")
    longer = nn.Embedding(positions, table.embedding_dim, device=table.weight.device, dtype=table.weight.dtype)
    with torch.no_grad():
        longer.weight.zero_()
        longer.weight[: table.num_embeddings] = table.weight
    embeddings.position_embedding = longer
    embeddings.position_ids = nn.Buffer(torch.arange(positions, device=longer.weight.device)[None], persistent=False)
    encoder.config.max_position_embeddings = positions
    return encoder
