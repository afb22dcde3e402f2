"""CLIP's text encoder: the pretrained one, or a small one to be trained from nothing."""

from __future__ import annotations

from pathlib import Path

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
) -> CLIPTextModel:
    """Stable Diffusion 1.5's text encoder, CLIP ViT-L/14's.

    Args:
        weights: see `load_model`; None builds the same architecture (123,060,480 parameters) without its weights, for
            the meta device.
        subfolder: where in it the encoder lies.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory.
    """
    if weights is not None:
        return load_model(CLIPTextModel, weights, subfolder, variant, dtype)
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
