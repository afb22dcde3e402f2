"""Time of an edit: the editor's own, without drawing pairs, measuring and writing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class EditClock:
    """Adds up the time that the editor takes in this process, batch by batch.

    An accelerator works on after a call has come back: it is waited for before and after each edit.
    """

    _seconds: list[float] = field(default_factory=list)
    _edits: list[int] = field(default_factory=list)

    def next_batch(self) -> None:
        """Begin timing another batch."""
        self._seconds.append(0.0)
        self._edits.append(0)

    @contextmanager
    def editing(self, edits: int) -> Iterator[None]:
        """Time what is inside, which makes so many edits of the batch that `next_batch` began."""
        _wait()
        begun = time.perf_counter()
        yield
        _wait()
        self._seconds[-1] += time.perf_counter() - begun
        self._edits[-1] += edits

    def over(self, pictures: Iterator[Tensor]) -> Iterator[Tensor]:
        """Batches of edited images [B, 3, H, W] as they come, of which the making alone is timed."""
        while True:
            with self.editing(0):
                images = next(pictures, None)
            if images is None:
                return
            self._edits[-1] += len(images)
            yield images

    @property
    def seconds_per_edit(self) -> float | None:
        """Seconds for each edit; None without any.

        The first batch is left out where there are more: it pays for what is done once (kernels that are chosen or
        compiled, memory that is taken, files that are read).
        """
        first = 1 if len(self._edits) > 1 else 0
        edits = sum(self._edits[first:])
        return round(sum(self._seconds[first:]) / edits, 6) if edits else None


def _wait() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
