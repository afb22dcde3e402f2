"""One edit pair, and a batch of them: the only two shapes in which examples travel through the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

TEXT_FIELDS = ("instruction", "expressive_instruction", "original_caption", "edited_caption", "kind")


@dataclass(frozen=True)
class EditPair:
    """One example. Sources yield PIL images; after `PairTransform` the same fields hold tensors.

    Args:
        id: unique within a dataset; the address of the pair's randomness.
        original_image: before; PIL RGB, or float32 [3, H, W] in [-1, 1].
        edited_image: after; same type and size as ``original_image``.
        instruction: the brief human command.
        expressive_instruction: concise description of what will be visible (MGIE section 3.1); "" if unknown.
        original_caption: what the original shows; "" if unknown.
        edited_caption: what the edited image shows; "" if unknown.
        kind: kind of edit ("recolour", "season", ...); "" if unknown.
        group: pairs of one group (scene, caption, photograph) stay in one split; defaults to the id.
        mask: what may change: PIL "L" (255 = may change) or float32 [1, H, W] in {0, 1}; None if unknown.
        metadata: plain values (scores, seeds, thresholds) stored next to the pair.
        cached: what frozen networks say of this pair, by name, where a cache knows it. Images that are not needed
            any more are then empty, [3, 0, 0].

    Raises:
        ValueError: images of different sizes or types, naming the id.

    Examples:
        >>> from PIL import Image
        >>> day, night = Image.new("RGB", (64, 48), "skyblue"), Image.new("RGB", (64, 48), "navy")
        >>> EditPair("sky-1", day, night, "make it night", kind="time").group
        'sky-1'
    """

    id: str
    original_image: Image.Image | Tensor
    edited_image: Image.Image | Tensor
    instruction: str
    expressive_instruction: str = ""
    original_caption: str = ""
    edited_caption: str = ""
    kind: str = ""
    group: str = ""
    mask: Image.Image | Tensor | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    cached: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.original_image, Tensor) != isinstance(self.edited_image, Tensor):
            raise ValueError(f"pair {self.id!r}: one image is a tensor, the other is not")
        before, after = _size(self.original_image), _size(self.edited_image)
        if before != after:
            raise ValueError(
                f"pair {self.id!r}: original is {before[0]}x{before[1]} (width x height) but edited is "
                f"{after[0]}x{after[1]}; resize one to the other before pairing them"
            )
        if self.mask is not None and _size(self.mask) != before:
            raise ValueError(f"pair {self.id!r}: mask is {_size(self.mask)}, images are {before}")
        if not self.group:
            object.__setattr__(self, "group", self.id)


@dataclass
class PairBatch:
    """A collated batch.

    Args:
        id: B ids.
        original_image: float32 [B, 3, H, W] in [-1, 1].
        edited_image: float32 [B, 3, H, W] in [-1, 1].
        instruction, expressive_instruction, original_caption, edited_caption, kind: B strings each.
        mask: float32 [B, 1, H, W] in {0, 1}, or None where any pair of the batch has none.
        cached: [B, ...] each, by name: what frozen networks say of the pairs, where a cache knows it. The images are
            then [B, 3, 0, 0] unless something else looks at them.
        metadata: B mappings of plain values, or an empty list.

    Raises:
        ValueError: shapes or lengths that do not agree.
    """

    id: list[str]
    original_image: Tensor
    edited_image: Tensor
    instruction: list[str]
    expressive_instruction: list[str]
    original_caption: list[str]
    edited_caption: list[str]
    kind: list[str]
    mask: Tensor | None = None
    cached: dict[str, Tensor] = field(default_factory=dict)
    metadata: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.original_image.shape
        if len(shape) != 4 or shape[1] != 3 or self.edited_image.shape != shape:
            raise ValueError(
                f"images must both be [B, 3, H, W], got {tuple(shape)} and {tuple(self.edited_image.shape)}"
            )
        for name in ("id", *TEXT_FIELDS):
            if len(getattr(self, name)) != shape[0]:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {shape[0]} images")
        if self.metadata and len(self.metadata) != shape[0]:
            raise ValueError(f"metadata has {len(self.metadata)} entries for {shape[0]} images")
        if self.mask is not None and self.mask.shape != (shape[0], 1, *shape[2:]):
            raise ValueError(f"mask must be {(shape[0], 1, *shape[2:])}, got {tuple(self.mask.shape)}")

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def collate(cls, pairs: Sequence[EditPair]) -> PairBatch:
        """Stack transformed pairs; raises ValueError naming the ids if their sizes differ."""
        shapes = {tuple(_tensor(pair.original_image, pair.id).shape) for pair in pairs}
        if len(shapes) != 1:
            raise ValueError(f"pairs {[p.id for p in pairs]} have different sizes {sorted(shapes)}; crop them alike")
        masks = [pair.mask for pair in pairs]
        return cls(
            id=[pair.id for pair in pairs],
            original_image=torch.stack([_tensor(pair.original_image, pair.id) for pair in pairs]),
            edited_image=torch.stack([_tensor(pair.edited_image, pair.id) for pair in pairs]),
            mask=None if any(mask is None for mask in masks) else torch.stack(masks),  # type: ignore[arg-type]
            cached={name: torch.stack([pair.cached[name] for pair in pairs]) for name in pairs[0].cached},
            metadata=[pair.metadata for pair in pairs],
            **{name: [getattr(pair, name) for pair in pairs] for name in TEXT_FIELDS},
        )

    def to(self, *args: Any, **kwargs: Any) -> PairBatch:
        """Move the tensors (Lightning calls this for each batch)."""
        return self._map(lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> PairBatch:
        """Pin the tensors (called by `DataLoader(pin_memory=True)`)."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Any) -> PairBatch:
        tensors = {f.name: change(v) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}
        return replace(self, **tensors, cached={name: change(tensor) for name, tensor in self.cached.items()})


def _size(image: Image.Image | Tensor) -> tuple[int, int]:
    return (image.shape[-1], image.shape[-2]) if isinstance(image, Tensor) else image.size


def _tensor(image: Image.Image | Tensor, id: str) -> Tensor:
    if not isinstance(image, Tensor):
        raise ValueError(f"pair {id!r} still holds a PIL image; apply PairTransform before collating")
    return image
