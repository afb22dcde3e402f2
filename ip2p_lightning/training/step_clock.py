"""Start times of the parts of a step, on the device's own clock and without waiting for it."""

from __future__ import annotations

import time
from itertools import pairwise

import torch


class StepClock:
    """Marks in time, read later.

    On CUDA a mark is an event in the stream, so that work is timed where it is done and the host runs on; elsewhere it
    is the host's clock.

    Args:
        device: where the step runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[tuple[str, torch.cuda.Event | float]] = []

    def mark(self, phase: str) -> None:
        """A phase begins, and the one before it ends."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append((phase, event))
        else:
            self._marks.append((phase, time.perf_counter()))

    def read(self) -> dict[str, float]:
        """Seconds spent in each phase since the last reading; waits for the last mark, so read seldom."""
        marks, self._marks = self._marks, self._marks[-1:]
        spent: dict[str, float] = {}
        if self._cuda and marks:
            marks[-1][1].synchronize()  # type: ignore[union-attr]
        for (phase, begin), (_, end) in pairwise(marks):
            spent[phase] = spent.get(phase, 0.0) + _seconds(begin, end)
        return spent


def _seconds(begin: torch.cuda.Event | float, end: torch.cuda.Event | float) -> float:
    if isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        return begin.elapsed_time(end) / 1e3
    assert isinstance(begin, float)
    assert isinstance(end, float)
    return end - begin
