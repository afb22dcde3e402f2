"""Language models with and without eyes: builders of small ones, loaders of published ones."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, cast

from torch import nn
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ip2p_lightning.config.parts import buildable, loads
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.visual_tokens import PATCH, special_ids

M = TypeVar("M", bound=PreTrainedModel)

LLAMA_7B = LlamaConfig(
    vocab_size=32011,  # LLaMA's 32000, three that frame an image, eight [IMG]
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
    max_position_embeddings=2048,
    tie_word_embeddings=False,
)
CLIP_L14_VISION = CLIPVisionConfig(
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=24,
    num_attention_heads=16,
    image_size=224,
    patch_size=14,
    projection_dim=768,
)


@buildable
def build_llama(
    tokenizer: PreTrainedTokenizerBase, hidden_size: int = 128, layers: int = 3, heads: int = 4
) -> LlamaForCausalLM:
    """A randomly initialised Llama (LGIE).

    Args:
        tokenizer: from `with_visual_tokens`; gives the vocabulary.
        hidden_size: width; a multiple of `heads`.
        layers: transformer blocks, each with a feed-forward part of three times the width.
        heads: attention heads.
    """
    return LlamaForCausalLM(_llama_config(tokenizer, hidden_size, layers, heads))


@buildable
def build_llava(
    tokenizer: PreTrainedTokenizerBase,
    hidden_size: int = 128,
    layers: int = 3,
    heads: int = 4,
    vision_hidden_size: int = 128,
    vision_layers: int = 2,
    vision_heads: int = 4,
    image_size: int = 64,
    patch_size: int = 16,
) -> LlavaForConditionalGeneration:
    """A randomly initialised Llava (MGIE): CLIP vision tower, projector, Llama.

    Args:
        tokenizer: from `with_visual_tokens`; gives the vocabulary and the id that stands for a patch.
        hidden_size: width of the language model; a multiple of `heads`.
        layers: its blocks.
        heads: its attention heads.
        vision_hidden_size: width of the vision tower; a multiple of `vision_heads`.
        vision_layers: its blocks, all of them used.
        vision_heads: its attention heads.
        image_size: side of the images it looks at.
        patch_size: side of its patches; the language model sees (image_size / patch_size)^2 of them.
    """
    vision = CLIPVisionConfig(
        hidden_size=vision_hidden_size,
        intermediate_size=3 * vision_hidden_size,
        num_hidden_layers=vision_layers,
        num_attention_heads=vision_heads,
        image_size=image_size,
        patch_size=patch_size,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=_llama_config(tokenizer, hidden_size, layers, heads),
        image_token_index=tokenizer.get_vocab()[PATCH],
        image_seq_length=(image_size // patch_size) ** 2,
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config)
    # CLIP's own 0.02 is meant for long training; in short ones the tower would not tell left from right for most of it.
    nn.init.normal_(model.model.vision_tower.embeddings.position_embedding.weight, std=0.5)
    return model


def llava_sizes(config: LlavaConfig) -> dict[str, int]:
    """The arguments with which `build_llava` builds a model of the sizes of another, but for its tokenizer."""
    text, vision = cast(LlamaConfig, config.text_config), cast(CLIPVisionConfig, config.vision_config)
    return {
        "hidden_size": text.hidden_size,
        "layers": text.num_hidden_layers,
        "heads": text.num_attention_heads,
        "vision_hidden_size": vision.hidden_size,
        "vision_layers": vision.num_hidden_layers,
        "vision_heads": vision.num_attention_heads,
        "image_size": cast(int, vision.image_size),
        "patch_size": cast(int, vision.patch_size),
    }


@loads("weights")
def load_llama(
    weights: str | Path | None,
    tokenizer: PreTrainedTokenizerBase,
    dtype: str = "float32",
    variant: str | None = None,
) -> PreTrainedModel:
    """A published causal language model with room for the [IMG] tokens (LGIE: LLaMA-7B).

    Args:
        weights: see `load_model`; None builds LLaMA-7B without its weights, for the meta device.
        tokenizer: from `with_visual_tokens`; embeddings are enlarged to its vocabulary.
        dtype: of the weights, "float32", "bfloat16" or "float16".
        variant: which weight files, see `find_weights`.
    """
    if weights is None:
        return LlamaForCausalLM(LLAMA_7B)
    return _enlarge(load_model(AutoModelForCausalLM, weights, None, variant, dtype), tokenizer)


@loads("weights")
def load_llava(
    weights: str | Path | None,
    tokenizer: PreTrainedTokenizerBase,
    dtype: str = "float32",
    variant: str | None = None,
) -> LlavaForConditionalGeneration:
    """A published Llava with room for the [IMG] tokens.

    MGIE's is LLaVA-7B v1: LLaMA-7B, CLIP ViT-L/14 at 224 px, features of the last layer but one without the class
    token, and a projector of one linear layer. transformers' projector has two; with `projector_hidden_act="linear"`
    and the second one the identity they are the same function, and saved folders stay readable everywhere.

    Args:
        weights: see `load_model`; None builds LLaVA-7B v1 without its weights, for the meta device.
        tokenizer: from `with_visual_tokens`; embeddings are enlarged to its vocabulary, and its `<im_patch>` stands
            for a patch.
        dtype: of the weights, "float32", "bfloat16" or "float16".
        variant: which weight files, see `find_weights`.
    """
    if weights is not None:
        model = load_model(LlavaForConditionalGeneration, weights, None, variant, dtype)
        model.config.update({"image_token_index": tokenizer.get_vocab()[PATCH]})
        return _enlarge(model, tokenizer)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIP_L14_VISION,
            text_config=LLAMA_7B,
            image_token_index=32000,
            image_seq_length=256,
            projector_hidden_act="linear",
        )
    )
    nn.init.eye_(model.model.multi_modal_projector.linear_2.weight)
    nn.init.zeros_(model.model.multi_modal_projector.linear_2.bias)
    return model


def retire_unused_vision(model: LlavaForConditionalGeneration) -> None:
    """Turn parameters that no feature passes through into buffers, in place.

    The class token's norm and the layers after the feature layer never get a gradient, which distributed training
    takes for an error. As buffers they keep their names in checkpoints, and no pattern can make them trainable.
    """
    tower, layer = model.model.vision_tower, model.config.vision_feature_layer
    last = max(index if index >= 0 else len(tower.encoder.layers) + 1 + index for index in _as_list(layer))
    for unused in (tower.post_layernorm, *tower.encoder.layers[last:]):
        for module in unused.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, parameter.detach())


def _as_list(value: int | list[int]) -> list[int]:
    return [value] if isinstance(value, int) else value


def _llama_config(tokenizer: PreTrainedTokenizerBase, hidden_size: int, layers: int, heads: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        initializer_range=hidden_size**-0.5,  # the usual 0.02 suits widths in the thousands
        tie_word_embeddings=False,
        **special_ids(tokenizer),
    )


def _enlarge(model: M, tokenizer: PreTrainedTokenizerBase) -> M:
    if len(tokenizer) > cast(nn.Embedding, model.get_input_embeddings()).num_embeddings:
        # New rows as MGIE had them, drawn like the initial ones (LLaMA: N(0, 0.02)); transformers' default would copy
        # the old rows' mean and covariance.
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model
