"""`ip2p quickstart`: render pairs, train on the CPU, edit held-out pictures, leave one page that tells how it went."""

from __future__ import annotations

import json
import os
import platform
import resource
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning import __version__
from ip2p_lightning.config import build, plain
from ip2p_lightning.data import commands
from ip2p_lightning.data.dataset_info import INFO_NAME
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.curves import read_curves
from ip2p_lightning.evaluation.evaluate import Kept
from ip2p_lightning.evaluation.figures import TEXT_EXACT, IntervalSettings
from ip2p_lightning.evaluation.grid import edit_grid
from ip2p_lightning.evaluation.limits import ERROR
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.evaluation.report import Command, Report, TrainingRun, write_report
from ip2p_lightning.evaluation.tables import kinds_table
from ip2p_lightning.evaluation.wording import duration, number, percent, plural
from ip2p_lightning.jobs.evaluate import edit_command, provenance, sentence
from ip2p_lightning.jobs.opening import open_editor
from ip2p_lightning.jobs.phases import Phase, Phases
from ip2p_lightning.jobs.quickstart_training import Way, checkpoint, composed, fit_to_machine, metrics_files, train_run

_NOT_SETTINGS = ("folder", "minutes", "reserve", "workers", "threads")
"""Keys that may change between two attempts in one folder."""
_CURVE_POINTS = 200


def run(config: DictConfig) -> Path:
    """Do all phases that are not done yet in `config.folder`; returns the path of report.html.

    Raises:
        ValueError: the folder was made with other settings.
    """
    console = Console()
    folder = Path(config.folder)
    settings = {key: value for key, value in plain(config).items() if key not in _NOT_SETTINGS}
    phases = Phases(folder, settings, total=3 + len(config.runs), console=console)
    try:
        phases.run("render pairs", lambda _: _render(config, console))
        for name, entry in config.runs.items():
            phases.run(f"train {entry.title}", lambda phase, name=name: _train(config, str(name), phase, phases))
        phases.run("edit and measure", lambda _: _evaluate(config, console))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into an exit
        again = f"ip2p quickstart folder={config.folder}"
        console.print(f"\nstopped; {again} goes on from here", highlight=False, soft_wrap=True)
        raise SystemExit(130) from None
    results = [EvaluationResult.load(folder / "evaluation" / name) for name in config.sets]
    phases.run("write the report", lambda _: _write(config, phases, results), always=True)
    _tell(console, folder, results, phases)
    return folder / "report.html"


def _render(config: DictConfig, console: Console) -> None:
    """Dataset folders are complete or absent, so that a rendered one is not rendered again."""
    for name, entry in config.sets.items():
        path = Path(config.folder) / "pairs" / str(name)
        if not (path / INFO_NAME).is_file():
            sources = {str(split): build(source) for split, source in entry.sources.items()}
            commands.render(sources, path, workers=config.workers, console=console)


def _train(config: DictConfig, name: str, phase: Phase, phases: Phases) -> None:
    """Fit the run to the time that is left, unless an interrupted attempt did so, and train."""
    training = composed(config, config.runs[name], Path(config.folder) / name)
    fitted = phase.facts.get("fitted")
    if fitted is None:
        ahead = list(config.runs)[list(config.runs).index(name) :]
        left = 60 * config.minutes - config.reserve - phases.seconds
        share = config.runs[name].share / sum(config.runs[run].share for run in ahead)
        found = [Way.of(other.facts["fitted"]) for other in phases.all() if "fitted" in other.facts]
        ways = found[:1] or Way.all(plain(config.precisions), config.threads)  # timed once
        training, fitted = fit_to_machine(training, ways, config.calibration_steps, max(left, 1) * share)
        phase.facts["fitted"] = fitted | {"stages": {stage.name: stage.max_steps for stage in training.stages}}
        phases.write()
        _announce(phases.console, phase.facts["fitted"])
    else:
        Way.of(fitted).apply(training)
        for stage in training.stages:
            stage.max_steps = fitted["stages"][stage.name]
    steps = sum(stage.max_steps for stage in training.stages)
    training.trainer.log_every_n_steps = max(1, steps // _CURVE_POINTS)
    phase.facts |= train_run(training)


def _announce(console: Console, fitted: dict[str, Any]) -> None:
    stages = ", ".join(f"{steps:,} steps {name}" for name, steps in fitted["stages"].items())
    less = fitted["share_of_steps"]
    shortened = f" ({percent(less)} of the recipe, to stay within minutes=...)" if less < 1 else ""
    console.print(f"    {stages}{shortened}, {Way.of(fitted)}", highlight=False)


def _evaluate(config: DictConfig, console: Console) -> None:
    """Edit the held-out pairs of each set with the last run's model."""
    path = last_checkpoint(config)
    editor = open_editor(str(path), "cpu", "ema", config.batch_size)
    for name, entry in config.sets.items():
        pairs = ShardDataset(Path(config.folder) / "pairs" / str(name), Selection(split="test"))
        total = len(pairs) * len(config.seeds)
        with edit_progress(console, f"editing {name}", total) as advance:
            result = evaluate(
                editor,
                pairs,
                build(config.metrics),
                name=entry.title,
                seeds=plain(config.seeds),
                batch_size=config.batch_size,
                kept=Kept(entry.show, config.worst, config.kinds, seed=config.seed),
                intervals=IntervalSettings(seed=config.seed),
                provenance=provenance(editor, str(path), "ema"),
                on_progress=advance,
            )
        result.save(Path(config.folder) / "evaluation" / str(name))


def _write(config: DictConfig, phases: Phases, results: list[EvaluationResult]) -> None:
    """report.html, metrics.json and grid.png."""
    folder = Path(config.folder)
    summary = {
        "version": __version__,
        "machine": machine(),
        "phases": [{"name": name, "seconds": round(seconds, 1)} for name, seconds in phases.spent()],
        "training": {phase.name: phase.facts for phase in phases.all() if phase.facts},
        "evaluations": {str(name): result.summary() for name, result in zip(config.sets, results, strict=True)},
    }
    (folder / "metrics.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    shown = [example for result in results for example in result.examples[:6]]
    if shown:
        edit_grid(shown, columns=2).save(folder / "grid.png")
    write_report(page(config, phases, results), folder / "report.html")


def page(config: DictConfig, phases: Phases, results: list[EvaluationResult]) -> Report:
    """The report of a finished quickstart."""
    folder = Path(config.folder)
    facts = {phase.name: phase.facts for phase in phases.all()}
    runs = []
    for name, entry in config.runs.items():
        told = facts[f"train {entry.title}"]
        seconds = dict(phases.spent())[f"train {entry.title}"]
        curves = read_curves(*metrics_files(folder / str(name)))
        runs.append(TrainingRun(entry.title, f"{entry.text} {_run_text(told)}", curves, seconds))
    return Report(
        title=_title(results, phases.seconds),
        lede=_lede(config, phases, results),
        results=results,
        runs=runs,
        phases=phases.spent(),
        machine=machine(),
        settings=_settings(config, facts),
        commands=commands_to_go_on(config),
        kicker="ip2p_lightning quickstart",
    )


def last_checkpoint(config: DictConfig) -> Path:
    """The checkpoint that edits: that of the last run."""
    return checkpoint(Path(config.folder) / str(list(config.runs)[-1]))


def machine() -> str:
    """Cores, processor and memory of this machine, in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{plural(cores, 'core')} of {name}, {memory:.0f} GiB of memory"


def _title(results: list[EvaluationResult], seconds: float) -> str:
    minutes = plural(max(1, round(seconds / 60)), "minute")
    error = results[0].figures.get(ERROR)
    if error is not None and error.verdict == "better":
        return f"It learned to edit pictures in {minutes}"
    return f"What {minutes} of training taught a picture editor"


def _lede(config: DictConfig, phases: Phases, results: list[EvaluationResult]) -> str:
    counts = [
        f"{entry.sources.train.count:,} pairs of {name}"
        for name, entry in config.sets.items()
        if "train" in entry.sources
    ]
    weights = [sum(phase.facts["parameters"].values()) for phase in phases.all() if "parameters" in phase.facts]
    sizes = " and ".join(f"{count / 1e6:.1f}" for count in weights)
    text = (
        f"In {duration(phases.seconds)}, on {machine()}, {plural(len(weights), 'small model')} of {sizes} million "
        f"parameters learned from nothing but {' and '.join(counts)}."
    )
    for result in results:
        error = result.figures.get(ERROR)
        if error is not None and error.copying is not None:
            ours, copying = number(error.ours.estimate, "/255"), number(error.copying.estimate, "/255")
            text += f" On {result.name} ({plural(result.pairs, 'pair')}), the edits are {ours} of 255 grey levels away "
            text += f"from the truth on average; leaving the pictures alone is {copying} away."
    exact = results[0].figures.get(TEXT_EXACT)
    if exact is not None:
        text += " Before it edits, the model writes down what will be visible; it gets "
        text += f"{percent(exact.ours.estimate)} of these sentences right to the word."
    return text


def _run_text(facts: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {count / 1e6:.2f} million" for name, count in facts["parameters"].items())
    steps, stages = f"{facts['steps']:,} steps of {facts['batch_size']} pairs", facts["stages"]
    told = f" ({'; '.join(stages)})" if len(stages) > 1 else ""
    return f"{steps}{told} in {Way.of(facts['fitted'])}. Parameters: {parts}."


def _settings(config: DictConfig, facts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if platform.system() == "Darwin" else 2**20)
    settings: dict[str, Any] = {"seed": config.seed}
    for name, entry in config.sets.items():
        counts = ", ".join(f"{source.count:,} {split}" for split, source in entry.sources.items())
        settings[str(name)] = f"{counts} pairs of {config.size} x {config.size} pixels"
    for entry in config.runs.values():
        way = Way.of(facts[f"train {entry.title}"]["fitted"])
        settings[entry.title] = f"experiment={entry.experiment}, {way}"
    settings["software"] = (
        f"ip2p_lightning {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    )
    settings["largest memory"] = f"{peak:.1f} GiB"
    return settings


def commands_to_go_on(config: DictConfig) -> list[Command]:
    """What the page proposes to do next."""
    path = last_checkpoint(config)
    pairs = Path(config.folder) / "pairs" / str(next(iter(config.sets)))
    again = f"ip2p evaluate checkpoint={path} data=shards data.path={pairs} data.transform.resolution={config.size}"
    return [
        Command("Edit a photograph of your own", edit_command(str(path))),
        Command("Measure again, with other seeds", f"{again} 'seeds=[1,2,3]'"),
        Command("Train six times as long", "ip2p quickstart longer=6 minutes=60 folder=outputs/longer"),
        Command("Train on a world with everything in it", "ip2p train experiment=ip2p/world data.train.level=full"),
    ]


def _tell(console: Console, folder: Path, results: list[EvaluationResult], phases: Phases) -> None:
    """A sentence and a table for each set, the time and the path of the page."""
    for result in results:
        console.print(f"\n[bold]{result.name}[/bold]: {sentence(result)}", highlight=False)
        if ERROR in result.figures:
            console.print(kinds_table(result))
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in phases.spent())
    console.print(f"{duration(phases.seconds)} in all: {spent}", highlight=False)
    console.print(f"[bold]report: {(folder / 'report.html').resolve()}[/bold]", highlight=False, soft_wrap=True)
