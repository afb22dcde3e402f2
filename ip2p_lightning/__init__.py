"""Instruction-based image editing in PyTorch Lightning: from edit pairs to edited images.

Names of the front door are imported when they are first used, so that `import ip2p_lightning` costs nothing.

    >>> import ip2p_lightning as ip2p
    >>> "load_editor" in dir(ip2p)
    True
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ip2p_lightning import metrics
    from ip2p_lightning.config import compose
    from ip2p_lightning.data.datamodule import EditDataModule
    from ip2p_lightning.data.pair import EditPair
    from ip2p_lightning.editors.base import Editor
    from ip2p_lightning.editors.conversation import Conversation
    from ip2p_lightning.editors.opening import load_editor
    from ip2p_lightning.editors.request import EditRequest, EditResult
    from ip2p_lightning.interop.folder import load_pipeline
    from ip2p_lightning.methods.editing import EditingModule

try:
    __version__ = version("ip2p-lightning")
except PackageNotFoundError:  # a source folder on the path, not installed
    __version__ = "0+unknown"

_HOMES = {
    "Conversation": "editors.conversation",
    "EditDataModule": "data.datamodule",
    "EditPair": "data.pair",
    "EditRequest": "editors.request",
    "EditResult": "editors.request",
    "EditingModule": "methods.editing",
    "Editor": "editors.base",
    "compose": "config",
    "load_editor": "editors.opening",
    "load_pipeline": "interop.folder",
    "metrics": "metrics",
}
"""Name -> module that holds it, or the module itself."""

__all__ = [
    "Conversation", "EditDataModule", "EditPair", "EditRequest", "EditResult", "EditingModule", "Editor", "compose",
    "load_editor", "load_pipeline", "metrics",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ip2p_lightning' has no attribute {name!r}; it has {', '.join(__all__)}")
    module = import_module(f"ip2p_lightning.{_HOMES[name]}")
    globals()[name] = found = module if _HOMES[name] == name else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
