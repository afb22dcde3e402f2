"""T5's encoder (Raffel et al. 2020), which Imagen keeps frozen: published ones of any size, or a small random one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase, T5Config, T5EncoderModel

from ip2p_lightning.config.parts import buildable, loads
from ip2p_lightning.models.loading import load_model

Size = Literal["small", "base", "large", "xl", "xxl"]
_SIZES: dict[str, dict[str, int]] = {
    "small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "large": {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_heads": 16},
    "xl": {"d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32},
    "xxl": {"d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
}
"""Of T5 version 1.1 (google/t5-v1_1-SIZE), whose heads are 64 wide."""


@loads("weights")
def load_t5(
    weights: str | Path | None,
    subfolder: str | None = None,
    variant: str | None = None,
    dtype: str = "float32",
    architecture: Size = "xxl",
) -> T5EncoderModel:
    """A published encoder; the decoder next to it is not read.

    Args:
        weights: see `load_model`; None builds the architecture of that size (version 1.1) without weights, for the meta
            device.
        subfolder: where in it the encoder lies.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory.
        architecture: size of the one without weights.
    """
    if weights is not None:
        return load_model(T5EncoderModel, weights, subfolder, variant, dtype)
    return T5EncoderModel(_config(vocab_size=32128, d_kv=64, **_SIZES[architecture]))


@buildable
def build_t5(
    tokenizer: PreTrainedTokenizerBase, hidden_size: int = 32, layers: int = 1, heads: int = 2
) -> T5EncoderModel:
    """A randomly initialised encoder.

    Args:
        tokenizer: gives the vocabulary's size.
        hidden_size: D of the states; a multiple of `heads`.
        layers: transformer blocks.
        heads: attention heads.
    """
    width = {"d_model": hidden_size, "d_kv": hidden_size // heads, "d_ff": 2 * hidden_size}
    return T5EncoderModel(_config(vocab_size=len(tokenizer), num_layers=layers, num_heads=heads, **width))


def _config(**sizes: int) -> T5Config:
    version: Any = {"feed_forward_proj": "gated-gelu", "dropout_rate": 0.0, "tie_word_embeddings": False}
    return T5Config(**sizes, **version)
