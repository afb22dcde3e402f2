"""Runs side by side: the settings in which they differ, against what they logged or what an evaluation found."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf
from rich.table import Table

from ip2p_lightning.csv_table import write_csv
from ip2p_lightning.evaluation.metric_names import current_name, current_names
from ip2p_lightning.evaluation.run_values import FAILURE, Value, logged_rows, read_summary, read_values
from ip2p_lightning.formatting import NOTHING, number, plural, short_names
from ip2p_lightning.metrics import Interval, bootstrap_interval

_MAIN = ("error", "closer_than_input", "error_halved", "success", "clip_direction", "clip_input")
_LOGGED = re.compile(r"val/.*loss|train/loss|val/.*")
_EXECUTION = re.compile(r"(hydra\.|output|output_dir$|threads$|device|data\.workers$|trainer\.(devices|num_nodes)$)")
_COLUMNS = 6


@dataclass(frozen=True)
class Run:
    """One training or evaluation.

    Args:
        name: the shortest end of its folder that tells it from the others.
        folder: of the run.
        settings: key -> value, as they were given on the command line.
        values: what it measured; see `read_values`.
        problem: why there are no values; "" if there are.
    """

    name: str
    folder: Path
    settings: Mapping[str, str]
    values: Mapping[str, Value]
    problem: str = ""


@dataclass
class Comparison:
    """Several runs.

    Args:
        runs: in the order given.
        metrics: names of the values that tables show.
        against_first: (run, metric) -> its paired difference to the first run, for evaluations of the same pairs.
    """

    runs: list[Run]
    metrics: list[str]
    against_first: dict[tuple[str, str], Interval] = field(default_factory=dict)

    @property
    def settings(self) -> list[str]:
        """Keys in which the runs differ."""
        keys = dict.fromkeys(key for run in self.runs for key in run.settings)
        return [key for key in keys if len({run.settings.get(key) for run in self.runs}) > 1]

    def table(self) -> Table:
        """A row a run, for the terminal and the page; intervals and differences to the first where there are any."""
        table = Table(title=f"{plural(len(self.runs), 'run')} compared", title_justify="left")
        table.add_column("run")
        for name in (*self.settings, *self.metrics):
            table.add_column(name, justify="right" if name in self.metrics else "left")
        for run in self.runs:
            cells = [self._cell(run, metric) for metric in self.metrics]
            if run.problem and cells:
                cells[0] = run.problem
            table.add_row(run.name, *(run.settings.get(key, NOTHING) for key in self.settings), *cells)
        return table

    def rows(self) -> pa.Table:
        """A row a run with every value that any of them has, in full precision."""
        names = dict.fromkeys(name for run in self.runs for name in run.values)
        columns: dict[str, list[Any]] = {"run": [run.name for run in self.runs]}
        columns["folder"] = [str(run.folder) for run in self.runs]
        columns |= {key: [run.settings.get(key, "") for run in self.runs] for key in self.settings}
        for name in names:
            found = [run.values.get(name) for run in self.runs]
            columns[name] = [None if value is None else value.estimate for value in found]
            if any(value is not None and not math.isnan(value.low) for value in found):
                columns[f"{name}_low"] = [None if value is None else value.low for value in found]
                columns[f"{name}_high"] = [None if value is None else value.high for value in found]
        columns["problem"] = [run.problem for run in self.runs]
        return pa.table(columns)

    def save(self, folder: str | Path) -> Path:
        """Write `comparison.csv`; returns its path."""
        path = Path(folder) / "comparison.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(self.rows(), path)
        return path

    def _cell(self, run: Run, metric: str) -> str:
        value = run.values.get(metric)
        if value is None:
            return NOTHING
        text = number(value.estimate)
        if not math.isnan(value.low):
            text += f" ({number(value.low)}\u2013{number(value.high)})"
        if (apart := self.against_first.get((run.name, metric))) is not None:
            text += f", {apart.estimate:+.3g} ({number(apart.low)} to {number(apart.high)})"
        return text


def compare(paths: Sequence[str | Path], metrics: Sequence[str] | None = None) -> Comparison:
    """Read runs and compare them.

    Args:
        paths: run folders of `ip2p train`, output folders of `ip2p evaluate`, or sweeps, which stand for their runs.
        metrics: names of the values that tables show; None for the ones that say most.

    Raises:
        FileNotFoundError: a path that is no run, with what is there instead.
        ValueError: no runs, or a metric that none of them has.
    """
    folders = list(dict.fromkeys(folder for path in paths for folder in runs_of(Path(path))))
    if not folders:
        raise ValueError("there is nothing to compare: give runs=[RUN,RUN2] or the folder of a sweep")
    runs = [_read(folder, name) for folder, name in zip(folders, short_names(list(map(str, folders))), strict=True)]
    known = list(dict.fromkeys(name for run in runs for name in run.values))
    if unknown := [name for name in metrics or () if name not in known]:
        raise ValueError(f"values={list(metrics or ())}: no run has {', '.join(unknown)}; they have {', '.join(known)}")
    chosen = list(metrics or _say_most(known))
    return Comparison(runs, chosen, _against_first(runs, chosen))


def runs_of(path: Path) -> list[Path]:
    """The runs that a path stands for: itself, or the numbered jobs of a sweep in their order.

    Raises:
        FileNotFoundError: neither.
    """
    if _is_run(path):
        return [path]
    inside = [child for child in path.iterdir() if child.is_dir()] if path.is_dir() else []
    jobs = [child for child in inside if child.name.isdecimal() or _is_run(child)]
    jobs.sort(key=lambda child: (not child.name.isdecimal(), child.name.zfill(9)))
    if not jobs:
        there = f"; there are {', '.join(sorted(child.name for child in inside)[:5])}" if inside else ""
        raise FileNotFoundError(
            f"{path} is no run of ip2p train, no output of ip2p evaluate and no sweep of such runs{there}"
        )
    return jobs


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in ("summary.json", "metrics/metrics.csv", FAILURE))


def _read(folder: Path, name: str) -> Run:
    settings, problem = dict(_settings(folder)), ""
    if (folder / FAILURE).is_file():
        problem = f"failed: {(folder / FAILURE).read_text(encoding='utf-8').splitlines()[0]}"
    try:
        values = read_values(folder)
        if (folder / "metrics" / "metrics.csv").is_file():
            values |= _best(folder / "metrics" / "metrics.csv")
    except FileNotFoundError:
        values, problem = {}, problem or "nothing measured yet"
    return Run(name, folder, settings, values, problem)


def _settings(folder: Path) -> Iterator[tuple[str, str]]:
    """Command-line overrides of a run; for an evaluation, its editor."""
    overrides = folder / ".hydra" / "overrides.yaml"
    if overrides.is_file():
        for word in OmegaConf.load(overrides):  # data: a list of words
            key, _, value = str(word).partition("=")
            if not _EXECUTION.match(key.lstrip("+~")):
                yield key.lstrip("+"), value
    elif (folder / "summary.json").is_file():
        provenance = read_summary(folder).get("provenance", {})
        for key in ("checkpoint", "editor", "weights"):
            if provenance.get(key):
                yield key, str(provenance[key])


def _best(path: Path) -> dict[str, Value]:
    """The least of each validation loss and its step, as "best val/loss" and "step of best val/loss"."""
    best: dict[str, tuple[float, float]] = {}
    for row in logged_rows(path):
        for name, value in row.items():
            if name.startswith("val/") and "loss" in name:
                best[name] = min(best.get(name, (math.inf, math.nan)), (value, row.get("step", math.nan)))
    found = {f"best {name}": Value(value) for name, (value, _) in best.items()}
    return found | {f"step of best {name}": Value(step) for name, (_, step) in best.items()}


def _say_most(known: Sequence[str]) -> list[str]:
    """The columns of tables where none are named: an evaluation's main figures, or a training's losses."""
    main = [name for name in _MAIN if name in known]
    if main:
        return main[:_COLUMNS]
    logged = [name for name in known if name.startswith("best ") or _LOGGED.fullmatch(name)]
    logged.sort(key=lambda name: (not name.startswith("best"), "loss" not in name))
    return (logged or list(known))[:_COLUMNS]


def _against_first(runs: Sequence[Run], metrics: Sequence[str]) -> dict[tuple[str, str], Interval]:
    """Paired differences to the first run over the edits (pair and seed) that both have, with intervals over pairs."""
    tables = [run.folder / "rows.parquet" for run in runs]
    if len(runs) < 2 or not all(path.is_file() for path in tables):
        return {}
    first, *others = [_values_by_edit(path, metrics) for path in tables]
    found: dict[tuple[str, str], Interval] = {}
    for run, own in zip(runs[1:], others, strict=True):
        for metric in set(first) & set(own):
            shared = sorted(set(first[metric]) & set(own[metric]))
            if len({pair for pair, _ in shared}) > 1:
                apart = [own[metric][edit] - first[metric][edit] for edit in shared]
                found[run.name, metric] = bootstrap_interval(apart, [pair for pair, _ in shared])
    return found


def _values_by_edit(path: Path, metrics: Sequence[str]) -> dict[str, dict[tuple[str, int], float]]:
    """Metric -> (pair, seed) -> value, for those with a value."""
    stored = {current_name(column): column for column in pq.read_schema(path).names}
    there = [name for name in metrics if name in stored]
    table = current_names(pq.read_table(path, columns=["pair", "seed", *(stored[name] for name in there)]).to_pydict())
    found: dict[str, dict[tuple[str, int], float]] = {name: {} for name in there}
    for name in there:
        for pair, seed, value in zip(table["pair"], table["seed"], table[name], strict=True):
            if value is not None and not math.isnan(value):
                found[name][pair, seed] = value
    return found
