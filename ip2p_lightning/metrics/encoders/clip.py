"""CLIP through open_clip: a name and weights of its list, a hub name, a folder of it, or the package's dual encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import open_clip
from torch import Tensor

from ip2p_lightning import shipped
from ip2p_lightning.metrics.encoders.base import TextEncoder
from ip2p_lightning.metrics.encoders.preparation import Interpolated, Photographed, Preparation

_FOLDER = "local-dir:"


class OpenClipEncoder(TextEncoder):
    """A CLIP of open_clip.

    Args:
        clip: the model.
        tokenizer: B texts to ids [B, L]; open_clip's cut what is too long.
        preparation: of pictures.
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
            preparation: "own" for that of the weights, on 8-bit pictures; "interpolated" for InstructPix2Pix's, which
                squeezes tensors.
            legacy_range: see `Interpolated`; needs "interpolated".

        Raises:
            ValueError: a name without weights, or a legacy range of pictures that are 8-bit.
            FileNotFoundError: no such folder, no weights of the zoo, or none that can be fetched.
        """
        if legacy_range and preparation != "interpolated":
            raise ValueError("legacy_range=true is a quirk of preparation=interpolated; 8-bit pictures have no range")
        source = f"{_FOLDER}{shipped.path(name)}" if name.startswith(shipped.PREFIX) else name
        folder = Path(source.removeprefix(_FOLDER))
        if source.startswith(_FOLDER) and not folder.is_dir():
            raise FileNotFoundError(f"{name}: there is no folder {folder}; give one that open_clip wrote")
        if ":" not in source and not pretrained:
            raise ValueError(
                f"open_clip's {name!r} needs weights: give pretrained=openai, a file, or another of its tags"
            )
        try:
            clip, _, own = open_clip.create_model_and_transforms(source, pretrained=pretrained)
        except RuntimeError as error:  # which open_clip makes of a file or a hub that it cannot reach
            if isinstance(error.__context__, OSError):
                raise FileNotFoundError(f"{error}; give a local file of weights by pretrained=FILE") from error
            raise
        weights = name if pretrained is None else f"{name} {pretrained}"
        prepared: Preparation = Photographed(own)  # type: ignore[arg-type]
        if preparation == "interpolated":
            visual: Any = clip.visual
            settings, size = visual.preprocess_cfg, visual.image_size
            side = size if isinstance(size, int) else size[0]
            prepared = Interpolated(side, settings["mean"], settings["std"], legacy_range=legacy_range)
        return cls(clip, open_clip.get_tokenizer(source), prepared, weights)

    def features(self, prepared: Tensor) -> Tensor:
        return self.network.encode_image(prepared)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return self.network.encode_text(self.tokenizer(list(texts)).to(next(self.network.parameters()).device))
