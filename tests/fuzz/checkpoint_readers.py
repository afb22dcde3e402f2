"""Checkpoints: a sound one with some values of its configuration replaced, and one with damaged bytes."""

from __future__ import annotations

import copy
import io
from functools import cache
from pathlib import Path
from typing import Any

import torch
from factories import IP2P, LGIE, WORLD, tiny_module
from hypothesis import strategies as st

from fuzz.harness import Reader
from fuzz.inputs import damaged
from ip2p_lightning.config import TrustError
from ip2p_lightning.limits import LimitError
from ip2p_lightning.methods.checkpoint import CheckpointError, load_module


@cache
def _sound() -> dict[str, Any]:
    """A small checkpoint of each method's way of being configured, without optimizer and loops."""
    modules = {name: tiny_module(config) for name, config in (("ip2p", IP2P), ("lgie", LGIE), ("world", WORLD))}
    return {
        name: {"config": module.config, "state_dict": dict(module.state_dict()), "stage": "joint", "pretrained": {}}
        for name, module in modules.items()
    }


_WORDS = (
    "os.system", "torch.load", "numpy.savetxt", "builtins.open", "subprocess.Popen", "functools.partial",
    "antigravity.x", "transformers.AutoTokenizer.from_pretrained", "transformers.LlavaConfig",
    "transformers.CLIPTextConfig", "diffusers.UNet2DConditionModel", "diffusers.DDIMScheduler",
    "torch.optim.SGD", "ip2p_lightning.models.judge.AttributeJudge",
    "ip2p_lightning.models.text_encoder.load_text_encoder", "ip2p_lightning.models.patch_pca.fitted_patch_pca",
    "ip2p_lightning.diffusion.weights.MinSNR", "ip2p_lightning.models.dual_encoder.DualEncoder", "/etc/passwd",
    "a/b", "..", "package:antigravity.x", "${oc.env:HOME}", "scaled_linear", "\n", "",
)  # fmt: skip
_KEYS = ("_target_", "_args_", "_partial_", "_convert_", "weights", "config", "layers", "attn_implementation", "trust")
_NUMBERS = (-1, 0, 1, 2, 3, 16, 10**4, 10**6, 10**9, 10**12, 2**63, -(10**6))
_plain = st.one_of(
    st.none(), st.booleans(), st.sampled_from(_NUMBERS), st.floats(), st.sampled_from(_WORDS), st.text(max_size=8)
)
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=6), inner),
    max_leaves=8,
)


@st.composite
def changed_checkpoints(draw: st.DrawFn) -> dict[str, Any]:
    """A sound checkpoint with some values anywhere in it replaced, removed or added."""
    stored = draw(st.sampled_from(sorted(_sound())))
    checkpoint = _sound()[stored] | {"config": copy.deepcopy(_sound()[stored]["config"])}
    for _ in range(draw(st.integers(1, 3))):
        node, key = checkpoint, draw(st.sampled_from([*["config"] * 6, *checkpoint]))
        while isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 5)):
            node = node[key]
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        if node is checkpoint["state_dict"] or node is checkpoint:
            checkpoint = {**checkpoint, key: draw(_values)} if node is checkpoint else checkpoint
        elif draw(st.booleans()) or isinstance(node, list):
            node[key] = draw(_values)
        else:
            node[draw(st.sampled_from(_KEYS))] = draw(_values)
    return checkpoint


def _open_checkpoint(checkpoint: dict[str, Any], folder: Path) -> None:
    torch.save(checkpoint, folder / "x.ckpt")
    load_module(folder / "x.ckpt")


def _open_damaged(data: bytes, folder: Path) -> None:
    (folder / "y.ckpt").write_bytes(data)
    load_module(folder / "y.ckpt")


def _file() -> list[bytes]:
    torch.save(_sound()["ip2p"], buffer := io.BytesIO())
    return [buffer.getvalue()]


_REFUSALS = (CheckpointError, TrustError, LimitError)
CHECKPOINT_READERS = {
    "checkpoint": Reader(changed_checkpoints(), _open_checkpoint, _REFUSALS),
    "checkpoint-bytes": Reader(st.deferred(lambda: damaged(_file())), _open_damaged, _REFUSALS),
}
