"""CLIP through open_clip: a name and weights of its list, a hub name, a folder of it, or the package's dual encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ip2p_lightning import shipped
from ip2p_lightning.metrics.encoders.base import TextEncoder
from ip2p_lightning.metrics.encoders.preparation import Interpolated, Photographed, Preparation
from ip2p_lightning.models.open_clip_weights import FOLDER, HUB, load_open_clip


class OpenClipEncoder(TextEncoder):
    """A CLIP of open_clip.

    Args:
        clip: the model.
        tokenizer: B texts to ids [B, L]; open_clip's cut what is too long.
        preparation: of images.
        weights: see `Encoder`.
    """

    network: Any

    def __init__(
        self, clip: Any, tokenizer: Callable[[list[str]], Tensor], preparation: Preparation, weights: str
    ) -> None:
        super().__init__(clip, preparation, weights)
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        pretrained: str | None = None,
        preparation: Literal["own", "interpolated"] = "own",
        legacy_range: bool = False,
    ) -> OpenClipEncoder:
        """Open weights.

        Args:
            name: "ViT-B-32-quickgelu" (with `pretrained`), "hf-hub:OWNER/NAME", "local-dir:FOLDER", or
                "zoo:dual_encoder", the one that comes with this package.
            pretrained: open_clip's tag ("openai", whose models need the quickgelu names) or a file of weights.
            preparation: "own" for that of the weights, on 8-bit images; "interpolated" for InstructPix2Pix's, which
                squeezes tensors.
            legacy_range: see `Interpolated`; needs "interpolated".

        Raises:
            ValueError: a legacy range of images that are 8-bit.
            As `load_open_clip`.
        """
        if legacy_range and preparation != "interpolated":
            raise ValueError("legacy_range=true is a quirk of preparation=interpolated; 8-bit images have no range")
        clip, own, tokenizer = load_open_clip(name, pretrained)
        weights = name if pretrained is None else f"{name} {pretrained}"
        prepared: Preparation = Photographed(own)
        if preparation == "interpolated":
            visual: Any = clip.visual
            settings, size = visual.preprocess_cfg, visual.image_size
            side = size if isinstance(size, int) else size[0]
            prepared = Interpolated(side, settings["mean"], settings["std"], legacy_range=legacy_range)
        return cls(clip, tokenizer, prepared, weights)

    @classmethod
    def named(cls, name: str) -> OpenClipEncoder:
        """Open weights by one word.

        Args:
            name: a folder that open_clip wrote, a name of `from_pretrained` with its prefix, or "NAME:TAG" of
                open_clip's list.

        Raises:
            As `load_open_clip`.
        """
        if Path(name).is_dir():
            return cls.from_pretrained(f"{FOLDER}{name}")
        if name.startswith((shipped.PREFIX, HUB, FOLDER)):
            return cls.from_pretrained(name)
        model, _, tag = name.partition(":")
        return cls.from_pretrained(model, tag or None)

    def features(self, prepared: Tensor) -> Tensor:
        return self.network.encode_image(prepared)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return self.network.encode_text(self.tokenizer(list(texts)).to(next(self.network.parameters()).device))
