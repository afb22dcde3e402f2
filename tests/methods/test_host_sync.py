"""No step asks a tensor for its value: on an accelerator that would stop the host until the device has caught up."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
import pytest
import torch
from factories import IP2P, WORLD, quiet_trainer, stage, tiny_batch, tiny_loader, tiny_module
from torch.utils._python_dispatch import TorchDispatchMode

ASKING = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "unique")


class Asked(TorchDispatchMode):
    """Remembers operations whose result the host must wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in ASKING or name.startswith("unique"):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


class Watched(L.Callback):
    """Watches each batch, from its start to its end, but for the first, in which constants move to the device."""

    def __init__(self) -> None:
        self.asked = Asked()
        self.batches = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if batch_idx:
            self.batches += 1
            self.asked.__enter__()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if batch_idx:
            self.asked.__exit__(None, None, None)


def test_the_watch_sees_what_it_looks_for():
    with Asked() as asked:
        assert torch.ones(()).item() == 1
        torch.ones(3).nonzero()
    assert asked.names == ["_local_scalar_dense", "nonzero"]


FROZEN = stage(trainable={"denoiser.*": {"lr": 1e-3}}, warmup=2, max_steps=3)


@pytest.mark.parametrize("config", [IP2P, WORLD], ids=["ip2p", "world"])
@pytest.mark.parametrize("trained", [FROZEN, stage(trainable={"*": {"lr": 1e-3}})], ids=["frozen_text", "all"])
def test_a_step_with_clipping_and_optimizer_asks_nothing(config, trained):
    fused = {"_target_": "torch.optim.AdamW", "_partial_": True, "fused": True}
    module, watched = tiny_module(config, stages=[trained], optimizer=fused), Watched()
    quiet_trainer(max_steps=3, gradient_clip_val=1.0, callbacks=[watched]).fit(module, tiny_loader(3))
    assert watched.batches == 2
    assert watched.asked.names == []


def test_channels_last_gives_the_same_numbers():
    module, batch = tiny_module(), tiny_batch()
    plain = module(batch, module.step_generator("a"))["editing_loss"]
    module.to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(batch, module.step_generator("a"))["editing_loss"], plain)
