"""States of a text or of visual tokens: what a conditioner gives, guidance batches and a denoiser attends to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class States:
    """One condition of B samples; rows are taken, joined and exchanged together.

    Args:
        embeddings: [B, K, D] states that the denoiser attends to.
        mask: bool [B, K], True where a token is real and not padding; None: all of them are.
        pooled: [B, P] one vector for the whole condition; None: there is none.
    """

    embeddings: Tensor
    mask: Tensor | None = None
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, rows: Any) -> States:
        return self._map(lambda tensor: tensor[rows])

    def expand(self, count: int) -> States:
        """A single row, `count` times."""
        return self._map(lambda tensor: tensor.expand(count, *tensor.shape[1:]))

    def where(self, chosen: Tensor, other: States) -> States:
        """The other's rows where bool [B] `chosen` is set, these elsewhere."""
        return self._with(other, lambda a, b: torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), b, a))

    @staticmethod
    def cat(parts: Sequence[States]) -> States:
        """The rows of several conditions, which all have a mask or pooled vectors, or none."""
        joined = [[getattr(part, name) for part in parts] for name in ("embeddings", "mask", "pooled")]
        return States(*(None if tensors[0] is None else torch.cat(tensors) for tensors in joined))  # type: ignore[arg-type]

    def _map(self, change: Callable[[Tensor], Tensor]) -> States:
        return self._with(self, lambda tensor, _: change(tensor))

    def _with(self, other: States, combine: Callable[[Tensor, Tensor], Tensor]) -> States:
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("embeddings", "mask", "pooled")]
        return States(*(None if a is None or b is None else combine(a, b) for a, b in pairs))  # type: ignore[arg-type]
