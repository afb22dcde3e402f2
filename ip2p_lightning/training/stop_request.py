"""Signals that ask a run to stop: remembered until a step is complete, answered with a checkpoint."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import lightning.pytorch as L
from lightning.pytorch.plugins.environments import SLURMEnvironment

log = logging.getLogger(__name__)

STOPPED = 75
"""Exit code of a run that was asked to stop and can go on (EX_TEMPFAIL: "try again later")."""
INTERRUPTED = 130
"""The same after Ctrl-C."""


class Stopped(SystemExit):
    """A run that ends early because it was asked to; everything it needs to go on is in its checkpoint."""


class StopRequest:
    """The first signal that asks to stop is remembered, a second Ctrl-C interrupts at once.

    Lightning's own handlers save in the middle of whatever the program does when the signal comes, or broadcast from
    inside the handler, which can deadlock; these only take note.

    Args:
        signals: names such as "SIGTERM".
    """

    def __init__(self, signals: Sequence[str]) -> None:
        self.signals = [signal.Signals[name] for name in signals]
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Take over the signals (in the main thread, where alone Python handles them)."""
        self.received = None
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.signals}

    def restore(self) -> None:
        """Give the signals back to whom they were taken from."""
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        self._before = {}

    def asked(self, trainer: L.Trainer) -> bool:
        """True if any rank was asked to stop; every rank must call it. Without signals to heed they tell nothing."""
        return bool(self.signals) and trainer.strategy.reduce_boolean_decision(self.received is not None, all=False)

    def end(self, trainer: L.Trainer, state: str, remedy: str) -> NoReturn:
        """End the run on this rank, and say so on the first.

        Args:
            trainer: of the run.
            state: where it was, and what is saved.
            remedy: how to go on, where SLURM does not do it by itself.

        Raises:
            Stopped: always.
        """
        if trainer.is_global_zero:
            name = self.received.name if self.received else "a signal to another rank"
            log.warning("stopped by %s %s; %s", name, state, requeue_in_slurm(self.received) or remedy)
        raise Stopped(INTERRUPTED if self.received is signal.SIGINT else STOPPED)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is None:
            self.received = signal.Signals(number)
            again = "; once more to stop at once, without a checkpoint" if number == signal.SIGINT else ""
            log.warning("%s: stopping after this step%s", self.received.name, again)


def requeue_in_slurm(received: signal.Signals | None) -> str | None:
    """Ask SLURM to run this job again if it was the one that warned of its end (``--signal=USR1@90``).

    Returns:
        What came of it, for the log; None where there is nothing to do.
    """
    if received is not signal.SIGUSR1 or not SLURMEnvironment.detect():
        return None
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    if shutil.which("scontrol") is None:
        return f"job {job} could not be queued again: there is no scontrol on this node"
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"job {job} could not be queued again: {done.stderr.strip() or done.returncode}"
    return f"queued job {job} again"
