"""Files of torch.save as data: weights alone are read, nothing in them is run, and nothing unpacks without bound."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ip2p_lightning.config.budget import Budget
from ip2p_lightning.limits import PICKLE_BYTES, LimitError
from ip2p_lightning.models.folder_files import MissingWeightsError, WeightsError


class _Ignored:
    """Place holder of an object that old trainers stored next to weights; takes any arguments and keeps none."""

    def __new__(cls, *args: Any) -> _Ignored:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


_FOREIGN = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.base.Callback",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)
"""Names in checkpoints of Lightning 1.4, with which CompVis' models were trained: each stands for `_Ignored` here."""


def check_archive(path: str | Path, raises: type[ValueError] = WeightsError) -> None:
    """Refuse what torch would unpack without bound, and say what a file of another kind is.

    Args:
        path: of a file.
        raises: class of the errors.

    Raises:
        LimitError: a pickle beyond the limit; or `raises`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise raises(
                        f"{path}: its member {member.filename[:80]!r} is compressed, which no torch file is; it may "
                        "unpack to any size: have its author save it again"
                    )
                if member.filename.endswith(".pkl"):
                    PICKLE_BYTES.check(member.file_size, f"{path}: {member.filename[:80]}")
    except (raises, LimitError):
        raise
    except Exception as error:  # zipfile raises many types on damaged archives
        with Path(path).open("rb") as file:
            start = file.read(2)
        if start[:1] == b"\x80" or start[:2] in (b"us", b"./"):  # a bare pickle, or torch's tar
            raise raises(
                f"{path}: not readable as a checkpoint: a bare pickle or a torch file from before version 1.6; on a "
                "machine where you trust it, open it with torch.load and save it again with torch.save"
            ) from error
        reason = str(error)[:200] or type(error).__name__
        raise raises(f"{path}: not readable as a checkpoint ({reason}); it may be truncated: copy it again") from error


def read_torch(path: Path) -> dict[str, Any]:
    """The dictionary in a published file of torch.save; its tensors stay on disk until they are used.

    Args:
        path: a .ckpt, .pt or .bin, also one of Lightning 1.4, whose callbacks are ignored.

    Raises:
        WeightsError: damaged, no dictionary, or more than weights and plain values; LimitError beyond the limits.
    """
    if not path.is_file():
        raise MissingWeightsError(f"{path}: no such file; give the published file, or the folder that holds it")
    check_archive(path)
    foreign: list[Any] = [(_Ignored, name) for name in _FOREIGN]
    try:
        with torch.serialization.safe_globals(foreign):
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # torch's own text tells how to run the code in it
        raise WeightsError(f"{path} cannot be opened: it holds more than weights, and nothing else is read") from error
    except Exception as error:  # torch raises many types on damaged and foreign files
        reason = str(error).splitlines()[0][:200].rstrip(".:") if str(error) else type(error).__name__
        raise WeightsError(f"{path} cannot be opened ({reason}); it may be truncated: copy it again") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds a {type(value).__name__}, no weights by name")
    return value


def named_tensors(value: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """The same mapping, if it holds named tensors alone.

    Raises:
        WeightsError: anything else, and tensors that state more numbers than the file holds of them.
    """
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise WeightsError(f"{path}: {str(name)[:80]!r} is a {type(tensor).__name__}, no named tensor")
        if tensor.is_quantized or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {name[:80]} states a shape of more numbers than the file holds; copy it again")
    return dict(value)


def budget_of(tensors: Iterable[Tensor], origin: str) -> Budget:
    """Bound on what is built for tensors: about as large as they are, each storage counted once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return Budget(sum({each.data_ptr(): each.nbytes() for each in storages}.values()), len(storages), origin)
