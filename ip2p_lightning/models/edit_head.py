"""MGIE's edit head (section 3.2): visual tokens of the language model in, cross-attention states of the denoiser out.

A small encoder-decoder transformer: the encoder reads the hidden states of the N [IMG] tokens, the decoder turns K
learned queries into the states that take the place of CLIP's.
"""

from __future__ import annotations

import warnings

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn


class EditHead(ModelMixin, ConfigMixin):
    """Linear in, `torch.nn.Transformer` with learned queries, linear out; names of parameters as in Apple's release.

    The defaults are the paper's: 31,958,784 parameters.

    Args:
        input_dim: width of the language model's hidden states.
        hidden_dim: width of the transformer; a multiple of `heads`.
        output_dim: D, the denoiser's cross-attention width.
        queries: K, number of conditioning states.
        layers: encoder layers, and as many decoder layers.
        heads: attention heads.
        feedforward_dim: width of the feed-forward parts.
        query_std: spread of the initial queries: 1 in the release; smaller where the head is trained from nothing,
            since large queries drown the visual tokens.
    """

    @register_to_config
    def __init__(
        self,
        input_dim: int = 4096,
        hidden_dim: int = 512,
        output_dim: int = 768,
        queries: int = 77,
        layers: int = 4,
        heads: int = 4,
        feedforward_dim: int = 2048,
        query_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.llm2hid = nn.Linear(input_dim, hidden_dim)
        self.query = nn.Parameter(query_std * torch.randn(1, queries, hidden_dim))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor")  # torch says that norm_first does without them
            self.mapper = nn.Transformer(
                hidden_dim, heads, layers, layers, feedforward_dim, dropout=0.0, norm_first=True, batch_first=True
            )
        self.hid2feat = nn.Linear(hidden_dim, output_dim)

    def forward(self, states: Tensor, token_embeddings: Tensor) -> Tensor:
        """Map visual tokens to conditioning.

        Args:
            states: [B, N, input_dim] last hidden states (after the final norm) that predict the [IMG] tokens; zeros
                give the null condition.
            token_embeddings: [N, input_dim] input embeddings of the [IMG] tokens, added to every row.

        Returns:
            [B, K, output_dim].
        """
        hidden = self.llm2hid(states + token_embeddings)
        return self.hid2feat(self.mapper(hidden, self.query.expand(len(states), -1, -1)))
