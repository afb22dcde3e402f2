"""Long jobs in phases: each is timed, reported on the terminal, and not repeated when the job is run again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from ip2p_lightning.files import write_whole
from ip2p_lightning.formatting import duration
from ip2p_lightning.store import differences

FILE = "phases.json"


@dataclass
class Phase:
    """One phase as it is recorded.

    Args:
        name: shown on the terminal and in the report.
        seconds: wall time so far, over all attempts.
        done: whether it came to its end.
        facts: what it leaves for later phases, JSON values.
    """

    name: str
    seconds: float = 0.0
    done: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class Phases:
    """The phases of a job in a folder.

    Args:
        folder: where `phases.json` and everything else of the job goes.
        settings: what the phases depend on; a folder made with others is refused.
        total: number of phases, for the terminal.
        console: where to print.

    Raises:
        ValueError: the folder was made with other settings; names them.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], total: int, console: Console) -> None:
        self.folder, self.total, self.console = folder, total, console
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self._phases: dict[str, Phase] = {}
        self._begun = 0
        self._read()

    def run(self, name: str, work: Callable[[Phase], None], always: bool = False) -> Phase:
        """Do `work` unless it was done before; its time counts even if it is interrupted.

        Args:
            name: of the phase, unique in the job.
            work: does it, and may leave facts in the phase.
            always: do it again even if it was done before; then the last time counts.
        """
        self._begun += 1
        phase = self._phases.setdefault(name, Phase(name))
        title = f"{self._begun}/{self.total} {name}"
        if phase.done and not always:
            self.console.print(f"{title}  done before, in {duration(phase.seconds)}", highlight=False)
            return phase
        self.console.print(title, style="bold", highlight=False)
        before, started = 0.0 if always else phase.seconds, time.monotonic()
        try:
            work(phase)
            phase.done = True
        finally:
            phase.seconds = before + time.monotonic() - started
            self.write()
        self.console.print(f"    done in {duration(phase.seconds)}", highlight=False, style="green")
        return phase

    def reopen(self, names: Iterable[str]) -> None:
        """Let phases be done again; what they took so far still counts.

        Args:
            names: of phases that are done.
        """
        for name in names:
            self._phases[name].done = False
        self.write()

    @property
    def seconds(self) -> float:
        """Wall time of all phases together."""
        return sum(phase.seconds for phase in self.all())

    def all(self) -> list[Phase]:
        """The phases in their order."""
        return list(self._phases.values())

    def spent(self) -> list[tuple[str, float]]:
        """Name and seconds of each phase that took time, in their order."""
        return [(phase.name, phase.seconds) for phase in self.all() if phase.seconds]

    def write(self) -> None:
        """Record everything so far."""
        content = {"settings": self.settings, "phases": [asdict(phase) for phase in self.all()]}
        write_whole(self.folder / FILE, json.dumps(content, indent=2) + "\n")

    def _read(self) -> None:
        file = self.folder / FILE
        if not file.is_file():
            return
        content = json.loads(file.read_text(encoding="utf-8"))
        if found := differences(content["settings"], self.settings):
            raise ValueError(
                f"{self.folder} was made with other settings ({', '.join(sorted(found))}); choose another folder=..., "
                "or remove this one"
            )
        self._phases = {phase["name"]: Phase(**phase) for phase in content["phases"]}
