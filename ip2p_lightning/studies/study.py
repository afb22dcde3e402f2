"""A study: its runs by size, what is drawn of them, and the command line that does both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ip2p_lightning.evaluation.run_values import Value, read_points, read_values
from ip2p_lightning.report.plotting import save_figure
from ip2p_lightning.studies.execution import execute, needed
from ip2p_lightning.studies.page import write_page
from ip2p_lightning.studies.plan import plan_study
from ip2p_lightning.studies.run import Run
from ip2p_lightning.studies.table import Claim, Row, Table
from ip2p_lightning.studies.wandb_runs import log_rows, read_rows
from ip2p_lightning.terminal import Terminal

SIZES = ("tiny", "world", "paper")


@dataclass
class Options:
    """The command line of a study: `python experiments/<study>.py key=value ...`."""

    size: str = "tiny"  # tiny (seconds, does it run?), world (minutes on a CPU) or paper (GPUs, your own data)
    folder: str = "outputs/studies"  # <folder>/<size>/runs: runs of all studies; <folder>/<size>/<study>: the figure
    processes: int = 0  # runs at once, each in a process of its own; 0 for one after the other in this one
    run: bool = True  # false draws what is there and runs nothing
    plan: bool = False  # true prints commands, hours, memory, disk and what is missing, and does nothing
    pairs: str = ""  # size paper: folder of the general pairs, learnt from and measured on; data/pairs if empty
    unfiltered: str = ""  # size paper, figure 10: folder of pairs drawn at random where `pairs` has the filtered ones
    train: str = ""  # overrides for every training, separated by spaces: "trainer.devices=4"; a run's own stay
    evaluate: str = ""  # overrides for every evaluation, likewise
    base: str = ""  # a trained checkpoint to begin with in place of training one, for studies that take one
    read: str = "disk"  # where results come from: disk, or wandb:ENTITY/PROJECT, or wandb:FOLDER (offline runs)
    log: str = ""  # also write each result to wandb, as a run of this project (WANDB_MODE=offline needs no account)


@dataclass(frozen=True)
class Study:
    """One figure or table of a paper.

    Args:
        name: of its folder.
        help: what it is, for `--help`.
        runs: options -> runs, those of all sizes.
        draw: table -> figures by file name.
        metrics: names of the values in the CSV.
        claims: table -> what the paper says and the runs show.
    """

    name: str
    help: str
    runs: Callable[[Options], Sequence[Run]]
    draw: Callable[[Table], Mapping[str, Figure]]
    metrics: Sequence[str]
    claims: Callable[[Table], Sequence[Claim]] = lambda table: ()

    def main(self, words: Sequence[str] | None = None) -> int:
        """Run, read back, draw; 0, or 1 if results are missing, or 2 after an error of the command line."""
        words = list(sys.argv[1:] if words is None else words)
        if {"-h", "--help"} & set(words):
            print(f"{self.help.strip()}\n\nkeys (key=value):\n{_options_help()}")
            return 0
        try:
            options = parse(words)
            runs = self.runs(options)
        except (OmegaConfBaseException, ValueError) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return 2
        if options.plan:
            print("\n".join(f"ip2p {run.job} {' '.join(run.overrides)}" for run in runs))
            plan = plan_study(runs, (Path(options.folder) / options.size / "runs").resolve())
            Terminal().print(plan.table())
            print("\n".join(plan.lines()))
            return 0
        table = self.table(runs, options)
        for path in self.report(table, Path(options.folder) / options.size / self.name):
            print(path)
        return 1 if table.gaps else 0

    def table(self, runs: Sequence[Run], options: Options) -> Table:
        """Do the runs unless `run=false`, and read the results of those that have labels."""
        folder = (Path(options.folder) / options.size / "runs").resolve()
        shown = [run for run in runs if run.rows]
        runs = needed(runs, shown)
        if options.read.startswith("wandb:"):
            return Table(read_rows(options.read.removeprefix("wandb:"), self.name, shown))
        if options.run:
            execute(runs, folder, options.processes)
        rows = [row for run in shown for row in _rows(run, folder)]
        if options.log:
            log_rows(rows, options.log, self.name, folder.parent)
        return Table(rows)

    def report(self, table: Table, folder: Path) -> list[Path]:
        """Write the figures (SVG and PNG), table.csv, claims.md and report.html."""
        folder.mkdir(parents=True, exist_ok=True)
        gaps = [row.run for row in table.gaps]
        figures = [save_figure(figure, folder / name, gaps) for name, figure in self.draw(table).items()]
        pictures = [path for paths in figures for path in paths]
        claims = list(self.claims(table))
        lines = [claim.line() for claim in claims]
        lines += [f"- **missing**: {row.run}: {row.gap}" for row in table.gaps]
        (folder / "claims.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines))
        page = write_page(self.name, self.help, table, self.metrics, claims, pictures, folder)
        return [*pictures, table.save(folder / "table.csv", self.metrics), folder / "claims.md", page]


def parse(words: Sequence[str]) -> Options:
    """`key=value` words as options.

    Raises:
        ValueError: a word that is no `key=value`, or an unknown key or size.
    """
    known = [field.name for field in fields(Options)]
    for word in words:
        if word.split("=")[0] not in known or "=" not in word:
            raise ValueError(f"{word!r} is no option; write key=value with one of {', '.join(known)}")
    given: Mapping[str, Any] = dict(word.split("=", 1) for word in words)
    options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Options), given))
    assert isinstance(options, Options)
    if options.size not in SIZES:
        raise ValueError(f"size={options.size} does not exist; choose one of {', '.join(SIZES)}")
    return options


def _rows(run: Run, folder: Path) -> list[Row]:
    """The rows of a run's result; without one, each of them is a gap."""
    place, gap = folder / run.name, run.missing(folder)
    found: Sequence[Mapping[str, Value]] = [{} for _ in run.rows]
    if not gap:
        found = read_points(place) if run.points else [read_values(place)]
    if len(found) != len(run.rows):
        gap = f"it measured {len(found)} points, where the study has {len(run.rows)}"
        found = [{} for _ in run.rows]
    return [
        Row(name, labels, values, gap=gap, folder=place)
        for (name, labels), values in zip(run.rows.items(), found, strict=True)
    ]


def _options_help() -> str:
    lines = Path(__file__).read_text(encoding="utf-8").split("class Options:")[1].split("@dataclass")[0].splitlines()
    comments = {line.split(":")[0].strip(): line.split("  # ")[1] for line in lines if "  # " in line}
    return "\n".join(f"  {f'{field.name}={field.default}':<24} {comments[field.name]}" for field in fields(Options))
