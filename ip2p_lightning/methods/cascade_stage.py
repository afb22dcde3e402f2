"""One stage of a cascade: the parts that make an image of a caption, or a larger image of a smaller one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ip2p_lightning.conditioners.base import Conditioning
from ip2p_lightning.conditioners.caption import CaptionConditioner
from ip2p_lightning.diffusion.low_resolution import LowResolution
from ip2p_lightning.diffusion.stage_sampling import StageSampler


class StageParts:
    """Sampling with conditioner, network and sampler; a `torch.nn.Module` inherits it next to its base."""

    conditioner: CaptionConditioner
    network: Any
    sampler: StageSampler
    low_resolution: LowResolution | None

    def hold(
        self,
        conditioner: CaptionConditioner,
        network: Any,
        sampler: StageSampler,
        low_resolution: LowResolution | None,
    ) -> None:
        """Take parts that fit together; see `CascadeModule`."""
        wanted = _text_width(network)
        if wanted is not None and conditioner.embedding_dim != wanted:
            raise ValueError(
                f"the text encoder gives states of width {conditioner.embedding_dim}, the network reads width {wanted};"
                f" set network.text_dim={conditioner.embedding_dim}"
            )
        kind, channels = ("base", 3) if low_resolution is None else ("super-resolution", 6)
        if network.config.in_channels != channels:
            raise ValueError(
                f"the network takes {network.config.in_channels} channels; a {kind} stage needs {channels}: set "
                f"network.in_channels={channels}"
            )
        self.conditioner, self.network, self.sampler, self.low_resolution = (
            conditioner,
            network,
            sampler,
            low_resolution,
        )

    @property
    def side(self) -> int:
        """Side of the stage's images in pixels, as trained."""
        return int(self.network.config.sample_size)

    def predict(
        self, noisy: Tensor, timesteps: Tensor, states: Tensor, low: Tensor | None, levels: Tensor | None
    ) -> Tensor:
        """[B, 3, H, W] from the noised images; what stands behind in the channels (IF's variance) is left out."""
        sample = noisy if low is None else torch.cat([noisy, low], dim=1)
        output = self.network(sample, timesteps, encoder_hidden_states=states, class_labels=levels, return_dict=False)
        return output[0][:, : noisy.shape[1]]

    def sample(
        self,
        captions: Sequence[str] | Conditioning,
        low: Tensor | None = None,
        side: int | None = None,
        **sampling: Any,
    ) -> Tensor:
        """Images [B, 3, H, W] of B captions.

        Args:
            captions: texts, or what the conditioner says of them.
            low: [B, 3, h, w] images of the stage before, in [-1, 1]; needed by super-resolution alone.
            side: of the result; the trained one if None.
            sampling: arguments of `StageSampler.__call__` (settings, generator, start, strength, on_step).

        Raises:
            ValueError: a super-resolution stage without images of the stage before, or a base with them.
        """
        if (low is None) != (self.low_resolution is None):
            kind = "a base stage takes no" if self.low_resolution is None else "a super-resolution stage needs"
            raise ValueError(f"{kind} low-resolution images")
        condition = captions if isinstance(captions, Conditioning) else self.conditioner.encode(captions)
        side = side or self.side
        seen = None if low is None or self.low_resolution is None else (self.low_resolution, low)
        return self.sampler(
            self.predict, condition.embeddings, condition.null_embeddings, (3, side, side), low=seen, **sampling
        )


class CascadeStage(StageParts, nn.Module):
    """A stage that is not trained: opening one needs no Lightning.

    Args:
        conditioner, network, sampler, low_resolution: see `CascadeModule`; weights have the same names.

    Raises:
        ValueError: parts that do not fit together.
    """

    def __init__(
        self,
        conditioner: CaptionConditioner,
        network: nn.Module,
        sampler: StageSampler,
        low_resolution: LowResolution | None = None,
    ) -> None:
        super().__init__()
        self.hold(conditioner, network, sampler, low_resolution)


def _text_width(network: Any) -> int | None:
    config = network.config
    return config.get("text_dim") or config.get("encoder_hid_dim") or config.get("cross_attention_dim")
