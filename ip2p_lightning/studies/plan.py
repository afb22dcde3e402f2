"""Plan of a study: trainings with hours, memory and disk, measurements, and what is missing before it starts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from ip2p_lightning.config import compose, plain
from ip2p_lightning.formatting import NOTHING
from ip2p_lightning.jobs.train_plan import plan as plan_training
from ip2p_lightning.models.weight_files import MissingWeightsError, WeightsError, cached_folder, local_folder
from ip2p_lightning.studies.run import Run
from ip2p_lightning.training.plan import UNKNOWN, TrainingPlan, gigabytes, hours_of


@dataclass
class StudyPlan:
    """Cost of a study, and what it lacks.

    Args:
        trainings: experiment, plan, and how many runs have that plan.
        measurements: runs that measure.
        edits: edits of those that have a `count`.
        uncounted: those that have none, and measure all of their pairs.
        missing: what has to be there before it starts -> the command that gets it.
        faults: runs that cannot be composed -> why.
    """

    trainings: list[tuple[str, TrainingPlan, int]] = field(default_factory=list)
    measurements: int = 0
    edits: int = 0
    uncounted: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def table(self) -> Table:
        """For the terminal: a row for the trainings of each kind."""
        table = Table(title="the plan of the study", title_justify="left")
        columns = ("training", "runs", "steps each", "device hours each", "GB a device", "GB of checkpoints each")
        for column in columns:
            table.add_column(column, justify="left" if column == "training" else "right", no_wrap=True)
        for name, plan, count in self.trainings:
            device_hours = UNKNOWN if plan.cost is None else hours_of(plan.cost.device_hours)
            steps = UNKNOWN if plan.steps is None else f"{plan.steps:,}"
            memory = sum(value or 0 for value in plan.memory.values())
            table.add_row(name, str(count), steps, device_hours, f"{memory / 1e9:,.3g}", _disk(plan))
        return table

    def lines(self) -> Iterable[str]:
        """Sums and what is missing, a line each."""
        runs = sum(count for _, _, count in self.trainings)
        known = [plan.cost.device_hours * count for _, plan, count in self.trainings if plan.cost]
        without = sum(count for _, plan, count in self.trainings if plan.cost is None)
        more = f"; of unknown hours (no rate, or no pairs to count): {without}" if without else ""
        yield f"{runs} trainings: {hours_of(sum(known))} device hours{more}; memory without activations"
        disk = [plan.checkpoint_bytes for _, plan, count in self.trainings for _ in range(count)]
        yield f"checkpoints: {gigabytes(None if None in disk else sum(size or 0 for size in disk))}"
        rest = f", and {self.uncounted} of all pairs, however many there are" if self.uncounted else ""
        yield f"measurements: {self.measurements} with {self.edits:,} edits{rest}; their hours are not computed"
        yield from (f"cannot run: {name}: {why}" for name, why in self.faults.items())
        yield from (f"missing: {what}: {command}" for what, command in self.missing.items())
        if not self.missing:
            yield "nothing is missing"


def plan_study(runs: Sequence[Run], folder: Path) -> StudyPlan:
    """Plan all runs of a study; nothing is run, read from the hub, or written.

    Args:
        runs: of the study.
        folder: that will hold the folders of the runs.
    """
    found = StudyPlan()
    known: dict[str, TrainingPlan] = {}
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for run in runs:
        if fault := run.fault(folder):
            found.faults[run.name] = fault
            continue
        config = compose(run.job, run.words(folder))
        settings: dict[str, Any] = plain(config)
        found.missing |= _missing(settings, folder)
        if run.job != "train":
            found.measurements += 1
            edits = edits_of(settings)
            found.uncounted += edits is None
            found.edits += (edits or 0) * max(1, len(run.points))
            continue
        told = ("method", "trainer", "data", "callbacks", "rate", "rates_from")
        key = json.dumps(_without_seeds({name: settings.get(name) for name in told}), sort_keys=True, default=str)
        if key not in known:
            known[key] = plan_training(config)
            names[key] = _experiment(run)
        counts[key] = counts.get(key, 0) + 1
        for part in known[key].parts:
            found.missing |= _missing_weights(part.weights)
    merged: dict[tuple[str, TrainingPlan], int] = {}
    for key, plan in known.items():
        row = (names[key], plan)
        merged[row] = merged.get(row, 0) + counts[key]
    found.trainings = [(name, plan, count) for (name, plan), count in merged.items()]
    return found


def edits_of(settings: dict[str, Any]) -> int | None:
    """Edits of a point of an evaluation or trade-off, by its `count` and seeds; None where it has no `count`."""
    seeds, count = settings.get("seeds"), settings.get("count")
    return None if count is None else int(count) * (len(seeds) if isinstance(seeds, list) and seeds else 1)


def _missing(settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """Datasets of a run that are not there, and the command that makes one."""
    paths = (settings.get("data") or {}).get("path")
    wanted = [paths] if isinstance(paths, str) else paths if isinstance(paths, list) else []
    gone = [path for path in wanted if "://" not in path and not Path(path).exists()]
    return {
        f"pairs at {path}": f"ip2p data import format=... path=... output={shlex.quote(path)}"
        for path in gone
        if not Path(path).is_relative_to(folder)
    }


def _missing_weights(weights: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in weights:
        try:
            if local_folder(name) is None:
                cached_folder(name)
        except MissingWeightsError:
            found[f"weights {name}"] = f"hf download {shlex.quote(name)}"
        except (WeightsError, ModuleNotFoundError):  # a file, or a package, which its loader judges
            continue
    return found


def _experiment(run: Run) -> str:
    return next((word.partition("=")[2] for word in run.overrides if word.startswith("experiment=")), run.name)


def _without_seeds(value: Any) -> Any:
    """A configuration without its seeds and folders, on which no plan depends."""
    if isinstance(value, dict):
        left = ("seed", "selection_seed", "dirpath", "save_dir")
        return {key: _without_seeds(child) for key, child in value.items() if key not in left}
    return [_without_seeds(child) for child in value] if isinstance(value, list) else value


def _disk(plan: TrainingPlan) -> str:
    return NOTHING if plan.checkpoint_bytes is None else f"{plan.checkpoint_bytes / 1e9:,.3g}"
