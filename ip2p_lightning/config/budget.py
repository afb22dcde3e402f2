"""Bound on the size of networks while they are built: about as large as the weights that there are for them.

A stored configuration may state any width and any number of layers. What it builds is watched: a tensor is measured
before it is allocated, parameters and layers are counted as they are registered.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ip2p_lightning.limits import LimitError

_SLACK_NUMBERS, _SLACK_TENSORS = 2**22, 4_096
"""Elements that are not among the weights: tables of positions, layers that are replaced, adapters."""


class Budget:
    """A context, to be entered around each call that builds something; what is counted adds up.

    Args:
        numbers: numbers in the weights that are there.
        tensors: how many tensors these are.
        origin: file that they are in, for messages.
    """

    def __init__(self, numbers: int, tensors: int, origin: str) -> None:
        self.numbers, self.tensors = 2 * numbers + _SLACK_NUMBERS, 2 * tensors + _SLACK_TENSORS
        self.origin = origin
        self._seen = {"numbers": 0, "parameters": 0, "layers": 0}

    def __enter__(self) -> Budget:
        self._thread = threading.get_ident()
        self._stack = ExitStack()
        register = (
            hooks.register_module_parameter_registration_hook(self._tensor),
            hooks.register_module_buffer_registration_hook(self._tensor),
            hooks.register_module_module_registration_hook(self._layer),
        )
        for handle in register:
            self._stack.callback(handle.remove)
        self._stack.enter_context(_Measure(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def allow(self, numbers: int) -> None:
        """Raise if a tensor of so many numbers is more than there can be a use for."""
        if numbers > self.numbers:
            self._refuse(f"a tensor of {numbers:,} numbers")

    def _tensor(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is None or threading.get_ident() != self._thread:
            return
        self._seen["numbers"] += tensor.numel()
        self._seen["parameters"] += 1
        if self._seen["numbers"] > self.numbers or self._seen["parameters"] > self.tensors:
            self._refuse(f"more than {self._seen['numbers']:,} numbers in {self._seen['parameters']:,} tensors")

    def _layer(self, module: nn.Module, name: str, layer: nn.Module | None) -> None:
        if threading.get_ident() == self._thread:
            self._seen["layers"] += 1
            if self._seen["layers"] > 8 * self.tensors:
                self._refuse(f"more than {self._seen['layers']:,} layers")

    def _refuse(self, stated: str) -> None:
        raise LimitError(
            f"{self.origin}: its configuration states a network with {stated}, more than there are weights "
            "for; configuration and weights are not of one model"
        )


class _Measure(TorchDispatchMode):
    """Works out on the meta device how large the result of each operation will be."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not func._schema.is_mutable:  # what works in place is as large as it was
            self.budget.allow(_numbers(func, args, kwargs))
        return func(*args, **kwargs)


def _numbers(func: Any, args: Any, kwargs: Any) -> int:
    try:
        args, kwargs = tree_map_only(Tensor, lambda tensor: tensor.to("meta"), (args, kwargs))
        results = func(*args, **{**kwargs, **({"device": "meta"} if "device" in kwargs or _makes(func) else {})})
    except Exception:  # it reads values, or is wrong: then the operation itself says so
        return 0
    return sum(leaf.numel() for leaf in tree_leaves(results) if isinstance(leaf, torch.Tensor))


def _makes(func: Any) -> bool:
    """True if an operation makes tensors from nothing."""
    arguments = func._schema.arguments
    return any(argument.name == "device" for argument in arguments)
