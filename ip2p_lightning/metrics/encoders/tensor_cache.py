"""Memoised encoder outputs by tensor identity, so that metrics which share an encoder run it once a batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class TensorCache(Generic[Value]):
    """Results by the tensor they were made from: the object itself, as long as it lives and is not written to.

    Tensors of `torch.inference_mode` do not tell when they are written to, and are never remembered.

    Args:
        limit: results kept at once; the oldest go first.
    """

    def __init__(self, limit: int = 8) -> None:
        self.limit = limit
        self._kept: dict[int, tuple[weakref.ref[Tensor], int, Value]] = {}

    def get(self, tensor: Tensor, compute: Callable[[Tensor], Value]) -> Value:
        """The result for a tensor, computed unless it is remembered."""
        if tensor.is_inference():
            return compute(tensor)
        found = self._kept.get(id(tensor))
        if found is not None and found[0]() is tensor and found[1] == tensor._version:
            return found[2]
        value = compute(tensor)
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0]() is not None and key != id(tensor)}
        while len(self._kept) >= self.limit:
            self._kept.pop(next(iter(self._kept)))
        self._kept[id(tensor)] = (weakref.ref(tensor), tensor._version, value)
        return value

    def __getstate__(self) -> dict[str, Any]:  # copies and other processes begin with nothing
        return {"limit": self.limit, "_kept": {}}
