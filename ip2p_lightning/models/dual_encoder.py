"""A small CLIP in open_clip's own classes: images and captions in one space, for filters and scores.

It is no CLIP of the internet: it knows the images it was trained on. A folder that it is saved to is open_clip's:
`open_clip.create_model_and_transforms("local-dir:FOLDER")` opens it, so whatever takes CLIP's weights takes these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerBase

from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.folder_files import read_settings
from ip2p_lightning.models.loading import load_tokenizer, one_line, quiet, weight_budget
from ip2p_lightning.models.weight_files import WeightsError
from ip2p_lightning.rounding import direction_cosine

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
LARGEST_SCALE = math.log(100)
"""CLIP's limit of the logarithmic temperature (Radford et al. 2021, section 2.5)."""


class DualEncoder(nn.Module):
    """An `open_clip.CLIP` with its tokenizer.

    Args:
        tokenizer: gives its largest id to the token that ends a text, since open_clip pools there.
        embed_dim: width of the common space.
        image_size: side in pixels at which images are looked at.
        patch_size: pixels a token covers, per side.
        width, layers, head_width: of the vision transformer.
        text_width, text_layers, text_heads: of the text transformer.
        context_length: tokens a text is padded or cut to.

    Raises:
        ValueError: a tokenizer whose end token has not the largest id.
    """

    clip: Any

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        embed_dim: int = 128,
        image_size: int = 64,
        patch_size: int = 8,
        width: int = 128,
        layers: int = 4,
        head_width: int = 32,
        text_width: int = 128,
        text_layers: int = 2,
        text_heads: int = 4,
        context_length: int = 64,
    ) -> None:
        super().__init__()
        if tokenizer.eos_token_id != len(tokenizer) - 1:
            raise ValueError(
                f"open_clip reads a text's embedding at its largest token id, but the end token is "
                f"{tokenizer.eos_token_id} of {len(tokenizer)}; use a tokenizer whose end token comes last"
            )
        self.model_config: dict[str, Any] = {
            "embed_dim": embed_dim,
            "vision_cfg": {
                "image_size": image_size,
                "patch_size": patch_size,
                "width": width,
                "layers": layers,
                "head_width": head_width,
            },
            "text_cfg": {
                "context_length": context_length,
                "vocab_size": len(tokenizer),
                "hf_tokenizer_name": "tokenizer",  # open_clip then looks in the folder itself
                "width": text_width,
                "layers": text_layers,
                "heads": text_heads,
            },
        }
        self.tokenizer = tokenizer
        self.clip = open_clip.CLIP(**self.model_config)

    @property
    def image_size(self) -> int:
        """Side in pixels at which images are looked at."""
        return self.model_config["vision_cfg"]["image_size"]

    def embed_images(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to unit vectors [B, D]."""
        side = self.image_size
        if images.shape[-2:] != (side, side):
            images = F.interpolate(images, (side, side), mode="bicubic", antialias=True)
        with self._kernel(images):
            return self.clip.encode_image(images, normalize=True)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """B captions to unit vectors [B, D]."""
        ids = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=self.clip.context_length,
            return_tensors="pt",
        ).input_ids
        ids = ids.to(self.clip.positional_embedding.device, non_blocking=True)
        with self._kernel(ids):
            return self.clip.encode_text(ids, normalize=True)

    def scale(self) -> Tensor:
        """The learnt inverse temperature, at most 100."""
        return self.clip.logit_scale.clamp(max=LARGEST_SCALE).exp()

    def save(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> Path:
        """Write a folder of open_clip: configuration, weights and tokenizer.

        Args:
            folder: made if it is not there.
            dtype: of the weights on disk.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
        config = {"model_cfg": self.model_config, "preprocess_cfg": preprocessing}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        weights = {name: tensor.detach().to(dtype).contiguous() for name, tensor in self.clip.state_dict().items()}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        self.tokenizer.save_pretrained(str(folder))
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> DualEncoder:
        """Open a folder written by `save`, in float32 and evaluation mode.

        Raises:
            FileNotFoundError: no such folder, or none of a dual encoder.
            WeightsError: settings or weights that are damaged, or of another architecture.
            LimitError: sizes beyond the limits.
        """
        if not (Path(folder) / CONFIG).is_file():
            raise FileNotFoundError(f"{folder} holds no {CONFIG}; give a folder that `DualEncoder.save` wrote")
        tokenizer = load_tokenizer(folder)  # which checks the whole folder
        config = read_settings(Path(folder) / CONFIG).get("model_cfg")
        try:
            vision, text = config["vision_cfg"], config["text_cfg"]  # type: ignore[index]  # caught
            with weight_budget(Path(folder), str(folder)):
                encoder = cls(
                    tokenizer,
                    embed_dim=config["embed_dim"],  # type: ignore[index]
                    text_width=text["width"],
                    text_layers=text["layers"],
                    text_heads=text["heads"],
                    context_length=text["context_length"],
                    **vision,
                )
        except LimitError:
            raise
        except Exception as error:  # whatever arithmetic on the values of a damaged file raises
            raise WeightsError(f"{folder}: its {CONFIG} describes no dual encoder ({one_line(error)})") from error
        try:
            with quiet():
                open_clip.load_checkpoint(encoder.clip, str(Path(folder) / WEIGHTS), strict=True, weights_only=True)
        except Exception as error:  # torch's, safetensors' and open_clip's own
            raise WeightsError(f"{folder}: damaged weights, or of another configuration ({one_line(error)})") from error
        return encoder.eval()

    @staticmethod
    def _kernel(tensor: Tensor) -> Any:
        # On processors the fused kernel's backward pass is slower than plain matrix products for so few tokens.
        return sdpa_kernel(SDPBackend.MATH) if tensor.device.type == "cpu" else nullcontext()


def directional_similarity(original: Tensor, edited: Tensor, original_text: Tensor, edited_text: Tensor) -> Tensor:
    """Cosine [B] between the change of the images and the change of the captions (StyleGAN-NADA; IP2P 3.1.2).

    Args:
        original: unit vectors [B, D] of the images before the edit.
        edited: those after it.
        original_text: unit vectors [B, D] of the captions before the edit.
        edited_text: those after it.

    Returns:
        [B] in [-1, 1]; 0 where either side does not change but for rounding.
    """
    return direction_cosine(edited - original, edited_text - original_text)
