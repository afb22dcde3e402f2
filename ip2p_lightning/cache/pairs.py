"""Training pairs out of a cache, in the place of their source and their transform."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ip2p_lightning.cache.store import Store
from ip2p_lightning.cache.views import Views
from ip2p_lightning.data.pair import TEXT_FIELDS, EditPair
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.transforms import PairTransform

FIELDS = ("id", *TEXT_FIELDS, "group")
"""Fields of a pair that are kept next to its latents; its images are not."""
_TEXTS, _ENDS, _INDEX = "texts", "ends", "cache_index"


def pack_texts(pairs: Sequence[EditPair]) -> dict[str, Tensor]:
    """Ids and texts of pairs as tensors: JSON in UTF-8, and where each pair's ends."""
    lines = [json.dumps([getattr(pair, name) for name in FIELDS], ensure_ascii=False).encode() for pair in pairs]
    ends = torch.tensor([len(line) for line in lines]).cumsum(0)
    return {_TEXTS: torch.frombuffer(bytearray(b"".join(lines)), dtype=torch.uint8), _ENDS: ends}


def unpack_texts(tensors: Mapping[str, Tensor], row: int) -> EditPair:
    """The pair in a row of what `pack_texts` returned, with empty images."""
    start, end = int(tensors[_ENDS][row - 1]) if row else 0, int(tensors[_ENDS][row])
    values = json.loads(tensors[_TEXTS][start:end].numpy().tobytes())
    return without_pictures(dict(zip(FIELDS, values, strict=True)))


def without_pictures(texts: Mapping[str, str]) -> EditPair:
    """A pair of texts with images of no pixels, [3, 0, 0]."""
    empty = torch.empty(3, 0, 0)
    fields: dict[str, Any] = {name: texts[name] for name in FIELDS}
    return EditPair(original_image=empty, edited_image=empty, **fields)


class CachedSource:
    """A source whose images are not read, because a cache knows all that is asked of them.

    Args:
        source: what was cached.
        texts: where its texts are.
        pictures: read the images all the same, for what else looks at them.
    """

    def __init__(self, source: PairSource, texts: Store, pictures: bool = False) -> None:
        self.source, self.texts, self.pictures = source, texts, pictures
        self.name, self.licence = source.name, source.licence

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        if name == "source":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.source, name)

    def __getitem__(self, index: int) -> EditPair:
        if self.pictures:
            pair = self.source[index]
        else:
            part, row = divmod(index, self.texts.part_pairs)
            pair = unpack_texts(self.texts.tensors(part), row)
        return replace(pair, metadata={**pair.metadata, _INDEX: index})

    def fingerprint(self) -> str:
        return self.source.fingerprint()


@dataclass(frozen=True)
class Recall:
    """Stands for the transform of training pairs: adds what the cache knows of the view that an epoch takes.

    Args:
        views: the views that are there.
        stores: where they are.
        dtype: of the tensors in a batch; None for as they are stored.
    """

    views: Views
    stores: tuple[Store, ...]
    dtype: torch.dtype | None = None

    @property
    def seed(self) -> int:
        """Of the dataset's randomness."""
        return self.views.transform.seed

    def evaluation(self) -> PairTransform:
        """The transform of validation and test pairs, which are not cached."""
        return self.views.transform.evaluation()

    def __call__(self, pair: EditPair, epoch: int = 0) -> EditPair:
        """The pair with `cached`, and with tensors of its images if it has any."""
        view, index = self.views.index(pair, epoch), pair.metadata[_INDEX]
        known = {name: tensor for store in self.stores for name, tensor in store.read(index, view).items()}
        if self.dtype is not None:
            known = {name: tensor.to(self.dtype) for name, tensor in known.items()}
        seen = pair if isinstance(pair.original_image, Tensor) else self.views.see(pair, view)
        return replace(seen, cached=known, metadata={k: v for k, v in pair.metadata.items() if k != _INDEX})
