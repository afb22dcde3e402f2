"""Checkpoints that are there as a whole or not at all, whatever happens while they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH

from ip2p_lightning.files import whole


class CheckpointWriteError(OSError):
    """A checkpoint that could not be written; the message names it, the reason and what is left."""


class DurableCheckpointIO(TorchCheckpointIO):
    """Write next to the file, force it to the disk, and only then give it the name.

    The older checkpoint of that name stays whole until the newer one is. What a killed writer leaves is
    `.<name>.part`, which the next one overwrites.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Save a checkpoint.

        Raises:
            CheckpointWriteError: the disk is full, or the folder cannot be written to.
        """
        if "://" in str(path) or storage_options is not None:  # object stores put whole objects only
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        save_whole(Path(path), lambda file: torch.save(checkpoint, file), what=f"step {checkpoint.get('global_step')}")


def save_whole(path: Path, write: Callable[[IO[bytes]], object], what: str) -> None:
    """Call `write` with a file that gets the name `path` once everything is on the disk.

    Args:
        path: of the file; its folder is made.
        write: gets the open file.
        what: what errors call the content.

    Raises:
        CheckpointWriteError: nothing, or not everything, could be written; an older file is untouched.
    """
    try:
        with whole(path) as hidden, hidden.open("wb", buffering=0) as file:
            sink = _Sink(file)
            try:
                write(sink)  # type: ignore[arg-type]
            except Exception as error:  # torch's writer hides the system's error behind one of its own
                raise sink.failure or error from error
    except OSError as error:
        left = f"The checkpoint that was there before is untouched: {path}" if path.exists() else "There is none before"
        raise CheckpointWriteError(
            f"{what} could not be saved to {path} ({error.strerror or error}). {left}. Make room or choose another "
            "folder (hydra.run.dir), then go on with ckpt=auto"
        ) from error


class _Sink:
    """A file for torch's writer that remembers why it could not be written to."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):  # unbuffered files may take less than they are given
                done += self._file.write(view[done:])
        except OSError as error:
            self.failure = error
            raise
        return done

    def flush(self) -> None:
        self._file.flush()
