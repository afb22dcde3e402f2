"""Text2LIVE (Bar-Tal et al. 2022): an edit layer for one image, optimised against CLIP, with no training data at all.

A small network paints colours and opacities over the image. What it paints must look like the edited caption (over
the image, and alone over a green screen), must move the image as the captions move, must keep the image's
self-similarities, and should be small. Compact: no relevancy bootstrap, crops and flips in place of warps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.batches import OnBatchStep, fitted, in_batches
from ip2p_lightning.editors.request import Captions, EditRequest, EditResult, OnStep, need_captions

_TEMPLATES = ("{}", "a photo of {}.", "an image of {}.", "{}.")
_SCREENS = ("{} over a green screen.", "{} in front of a green screen.")
_GREEN = (-1.0, 177 / 127.5 - 1, 64 / 127.5 - 1)


class PictureTextEncoder(Protocol):
    """CLIP interface that the losses need; the package's `DualEncoder` has it."""

    clip: Any

    @property
    def image_size(self) -> int: ...

    def to(self, device: Any) -> Any: ...

    def embed_images(self, images: Tensor) -> Tensor: ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor: ...


@dataclass(frozen=True)
class Weights:
    """Weights of the losses; those of the paper's code."""

    composition: float = 1.0
    screen: float = 1.0
    structure: float = 2.0
    sparsity: float = 0.06


class EditLayer(nn.Module):
    """A U-Net from images to an RGBA layer of the same size.

    Args:
        width: channels.
        scales: times that the image is halved.
    """

    def __init__(self, width: int = 32, scales: int = 3) -> None:
        super().__init__()
        self.entry = _block(3, width)
        self.down = nn.ModuleList([_block(width, width, stride=2) for _ in range(scales)])
        self.up = nn.ModuleList([_block(2 * width, width) for _ in range(scales)])
        self.exit = nn.Conv2d(width, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, H, W] in [-1, 1] to colours, likewise, and opacities [B, 1, H, W] in [0, 1]."""
        features = [self.entry(images)]
        for down in self.down:
            features.append(down(features[-1]))
        current = features.pop()
        for up in self.up:
            skipped = features.pop()
            grown = F.interpolate(current, skipped.shape[-2:], mode="bilinear", align_corners=False)
            current = up(torch.cat([grown, skipped], 1))
        colours, opacity = self.exit(current).split([3, 1], 1)
        return colours.tanh(), opacity.sigmoid()


class Text2Live(Editor):
    """Edits one image after another by optimising a layer for each.

    Args:
        encoder: a CLIP: the package's `DualEncoder`, or `OpenClip` around any other.
        steps: of the optimisation; a few hundred, 1000 in the paper.
        learning_rate: of Adam.
        views: random crops of the composite that CLIP looks at in each step, next to the whole.
        width, scales: see `EditLayer`.
        weights: of the losses.
        resolution: longer side in pixels at which PIL images are edited (tensors keep their size).
    """

    def __init__(
        self,
        encoder: PictureTextEncoder,
        steps: int = 300,
        learning_rate: float = 2.5e-3,
        views: int = 4,
        width: int = 32,
        scales: int = 3,
        weights: Weights | None = None,
        resolution: int = 64,
    ) -> None:
        self.encoder, self.steps, self.learning_rate, self.views = encoder, steps, learning_rate, views
        self.width, self.scales, self.resolution = width, scales, resolution
        self.weights = weights or Weights()

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; reads both captions, not the instructions or the scales.

        Raises:
            ValueError: captions that are missing.
        """
        need_captions(self, requests, original=True)

        def change(originals: Tensor, batch: list[EditRequest], on_step: OnBatchStep) -> tuple[Tensor, list[str]]:
            (caption,), (request,) = need_captions(self, batch, original=True), batch
            return self.layer(originals, caption, request.seed, request.sampling.steps, on_step)[0], []

        return in_batches(requests, 1, change, on_step)

    def fit(self, image: Image.Image) -> Image.Image:
        """A PIL RGB image at the size at which it is edited, see `fitted`."""
        return fitted(image, self.resolution, 1)

    def networks(self) -> list[nn.Module]:
        """The encoder."""
        return [self.encoder if isinstance(self.encoder, nn.Module) else self.encoder.clip]

    def to(self, device: str | torch.device) -> Self:
        """Move the encoder, and what it keeps besides its networks."""
        self.encoder.to(device)
        return self

    @torch.enable_grad()
    def layer(
        self,
        original: Tensor,
        captions: Captions,
        seed: int = 0,
        steps: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, list[float]]:
        """Optimise the layer of one image.

        Args:
            original: [1, 3, H, W] in [-1, 1].
            captions: of the original and the edited image.
            seed: of the network's weights and the views.
            steps: overrides the editor's.
            on_step: called with (steps done, steps in all) after each.

        Returns:
            The composite [1, 3, H, W], the layer's colours and opacities, and the loss of each step.
        """
        device = next(self.encoder.clip.parameters()).device
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = EditLayer(self.width, self.scales).to(device)
        original = original.to(device, torch.float32)
        optimizer = torch.optim.Adam(network.parameters(), self.learning_rate)
        losses = _Losses(self.encoder, original, captions, self.weights)
        history = []
        count = self.steps if steps is None else steps
        for number in range(1, count + 1):
            colours, opacity = network(original)
            loss = losses(original, colours, opacity, self.views, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.detach())
            if on_step is not None:
                on_step(number, count)
        with torch.no_grad():
            colours, opacity = network(original)
            composite = original + opacity * (colours - original)
        return composite, colours, opacity, torch.stack(history).tolist() if history else []


class _Losses:
    """The losses of one image; what does not change is embedded once."""

    def __init__(self, encoder: PictureTextEncoder, original: Tensor, captions: Captions, weights: Weights) -> None:
        self.encoder, self.weights = encoder, weights
        with torch.no_grad():
            said, wanted = (
                encoder.embed_texts([template.format(text) for template in _TEMPLATES])
                for text in (captions.original, captions.edited)
            )
            self.wanted = F.normalize(wanted.mean(0, keepdim=True))
            self.direction = F.normalize(wanted.mean(0) - said.mean(0), dim=0)
            screens = encoder.embed_texts([template.format(captions.edited) for template in _SCREENS])
            self.screened = F.normalize(screens.mean(0, keepdim=True))
            self.structure = self_similarity(encoder, original)
        self.green = torch.tensor(_GREEN, device=original.device)[None, :, None, None]

    def __call__(
        self, original: Tensor, colours: Tensor, opacity: Tensor, views: int, generator: torch.Generator
    ) -> Tensor:
        """The weighted sum for one layer."""
        composite = original + opacity * (colours - original)
        screen = self.green + opacity * (colours - self.green)
        before, after, alone = _views((original, composite, screen), views, generator)
        seen, made = self.encoder.embed_images(torch.cat([before, after])).chunk(2)
        moved = 1 - F.cosine_similarity(made - seen.detach(), self.direction[None])
        composition = (spherical(made, self.wanted) + moved).mean()
        screening = spherical(self.encoder.embed_images(alone), self.screened).mean()
        structure = (self_similarity(self.encoder, composite) - self.structure).square().mean()
        # L1, and a smooth count of what is not transparent: half-transparent everywhere is not small.
        sparsity = opacity.mean() + (2 * ((5 * opacity).sigmoid() - 0.5)).mean()
        weights = self.weights
        return (
            weights.composition * composition
            + weights.screen * screening
            + weights.structure * structure
            + weights.sparsity * sparsity
        )


def spherical(a: Tensor, b: Tensor) -> Tensor:
    """Squared great-circle distance of unit vectors [B, D] and [1 or B, D], halved: [B]."""
    return 2 * ((a - b).norm(dim=1) / 2).clamp(max=1 - 1e-6).arcsin().square()


def self_similarity(encoder: PictureTextEncoder, images: Tensor) -> Tensor:
    """Cosines [B, N, N] between the tokens that enter the last block of the encoder's vision transformer."""
    found: list[Tensor] = []
    last = encoder.clip.visual.transformer.resblocks[-1]
    hook = last.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    try:
        encoder.embed_images(images)
    finally:
        hook.remove()
    tokens = F.normalize(found[0].float(), dim=-1)  # open_clip's blocks take [B, N, D]
    return tokens @ tokens.transpose(1, 2)


class OpenClip:
    """Any open_clip model as the losses need it.

    Args:
        clip: the model, put into evaluation mode and frozen.
        tokenizer: B texts to ids [B, L].
        mean, std: of the three channels on [0, 1], for images.
    """

    def __init__(self, clip: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        self.clip, self.tokenizer = clip.eval().requires_grad_(False), tokenizer
        self._mean, self._std = (torch.tensor(list(values))[None, :, None, None] for values in (mean, std))

    @classmethod
    def from_pretrained(cls, name: str, pretrained: str | None = None) -> OpenClip:
        """Open weights by open_clip's names.

        Args:
            name: "ViT-B-32-quickgelu" (with `pretrained`), "hf-hub:OWNER/NAME" or "local-dir:FOLDER".
            pretrained: open_clip's tag, or a file of weights.
        """
        from ip2p_lightning.models.open_clip_weights import load_open_clip

        clip, _, tokenizer = load_open_clip(name, pretrained)
        settings = clip.visual.preprocess_cfg
        return cls(clip, tokenizer, settings["mean"], settings["std"])

    def to(self, device: str | torch.device) -> OpenClip:
        """Put the model on a device; what it is given goes there by itself."""
        self.clip.to(device)
        return self

    @property
    def image_size(self) -> int:
        """Side in pixels at which images are looked at."""
        size = self.clip.visual.image_size
        return size if isinstance(size, int) else size[0]

    def embed_images(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to unit vectors [B, D]."""
        sides = (self.image_size, self.image_size)
        if images.shape[-2:] != sides:
            images = F.interpolate(images, sides, mode="bicubic", antialias=True)
        normal = ((images + 1) / 2 - self._mean.to(images)) / self._std.to(images)
        return self.clip.encode_image(normal, normalize=True)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """B captions to unit vectors [B, D]."""
        ids = self.tokenizer(list(texts)).to(next(self.clip.parameters()).device)
        return self.clip.encode_text(ids, normalize=True)


def _views(pictures: Sequence[Tensor], count: int, generator: torch.Generator) -> list[Tensor]:
    """Each image [1, C, H, W] whole and in `count` crops of 60 to 100%, mirrored half the time, the same for all."""
    height, width = pictures[0].shape[-2:]
    views: list[list[Tensor]] = [[picture] for picture in pictures]
    for _ in range(count):
        share, top, left, mirrored = torch.rand(4, generator=generator).tolist()
        high, wide = (max(1, round(side * (0.6 + 0.4 * share))) for side in (height, width))
        y, x = round(top * (height - high)), round(left * (width - wide))
        for place, picture in enumerate(pictures):
            crop = picture[:, :, y : y + high, x : x + wide]
            grown = F.interpolate(crop, (height, width), mode="bilinear", align_corners=False)
            views[place].append(grown.flip(-1) if mirrored < 0.5 else grown)
    return [torch.cat(each) for each in views]


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, padding_mode="reflect")
    return nn.Sequential(convolution, nn.GroupNorm(4, outputs), nn.LeakyReLU(0.2))
