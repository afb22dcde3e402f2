"""`ip2p quickstart`: render pairs, train on the CPU, edit held-out images, leave one page that tells how it went."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.text import Text

from ip2p_lightning import __version__, zoo
from ip2p_lightning.config import build, plain
from ip2p_lightning.data.dataset_info import INFO_NAME
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.comparison import Other, comparison_table, same_edits
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.limits import ERROR
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.formatting import duration, percent
from ip2p_lightning.jobs import data_commands
from ip2p_lightning.jobs.evaluate import provenance, sentence
from ip2p_lightning.jobs.phases import Phase, Phases
from ip2p_lightning.jobs.quickstart_page import commands_to_edit, last_checkpoint, machine, machine_share, page
from ip2p_lightning.jobs.quickstart_training import ExecutionSettings, check_start, composed, fit_to_machine, train_run
from ip2p_lightning.precision import choose
from ip2p_lightning.report.grid import edit_grid
from ip2p_lightning.report.report import write_report
from ip2p_lightning.report.tables import kinds_table
from ip2p_lightning.terminal import Terminal

_NOT_SETTINGS = ("folder", "minutes", "reserve", "workers", "threads")
"""Keys that may change between two attempts in one folder."""
_SHOWN = 6
"""Edits of each set in grid.png."""


def run(config: DictConfig) -> Path:
    """Do all phases that are not done yet in `config.folder`; returns the path of report.html.

    Raises:
        ValueError: the folder was made with other settings, or an unknown `start`.
        FileNotFoundError: a shipped model whose weights are not there.
    """
    console = Terminal()
    folder = Path(config.folder)
    check_start(config)
    beside = {str(name): zoo.path(str(name)) for name in config.beside or {}}
    settings = {key: value for key, value in plain(config).items() if key not in _NOT_SETTINGS}
    phases = Phases(folder, settings, total=3 + len(config.runs) + bool(beside), console=console)
    _go_on(config, phases)
    try:
        phases.run("render pairs", lambda _: _render(config, console))
        for name, entry in config.runs.items():
            phases.run(f"train {entry.title}", lambda phase, name=name: _train(config, str(name), phase, phases))
        phases.run("edit and measure", lambda _: _evaluate(config, last_checkpoint(config), "evaluation", console))
        if beside:
            phases.run("measure the shipped editors", lambda _: _evaluate_others(config, beside, console))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into an exit
        again = f"ip2p quickstart folder={config.folder}"
        console.print(f"\nstopped; {again} goes on from here", highlight=False, soft_wrap=True)
        raise SystemExit(130) from None
    results = [EvaluationResult.load(folder / "evaluation" / name) for name in config.sets]
    others = {
        result.name: [
            Other(title, EvaluationResult.load(folder / "beside" / str(editor) / str(name)))
            for editor, title in (config.beside or {}).items()
        ]
        for name, result in zip(config.sets, results, strict=True)
    }
    phases.run("write the report", lambda _: _write(config, phases, results, others), always=True)
    _tell(config, console, results, others, phases)
    return folder / "report.html"


def _go_on(config: DictConfig, phases: Phases) -> None:
    """Train on where a recipe was shortened and `minutes` now leaves at least as long again as training took.

    A run of one stage goes on from its checkpoint; those after it begin again, since they begin with its weights.
    """
    names = [f"train {entry.title}" for entry in config.runs.values()]
    facts = {phase.name: phase.facts.get("fitted") for phase in phases.all() if phase.done}
    fitted = [found for name in names if (found := facts.get(name))]
    left = 60 * config.minutes - config.reserve - phases.seconds
    if len(fitted) < len(names) or left < sum(seconds for name, seconds in phases.spent() if name in names):
        return
    short = next((place for place, found in enumerate(fitted) if found["share_of_steps"] < 1), None)
    if short is None:
        return
    for place, run in list(enumerate(config.runs))[short:]:
        phase = next(phase for phase in phases.all() if phase.name == names[place])
        stages = phase.facts.pop("fitted")["stages"]
        if place == short and len(stages) == 1:
            phase.facts["taken"] = stages
        else:
            shutil.rmtree(Path(config.folder) / str(run))
    shutil.rmtree(Path(config.folder) / "evaluation", ignore_errors=True)
    phases.reopen([*names[short:], *({"edit and measure"} & facts.keys())])


def _render(config: DictConfig, console: Console) -> None:
    """Dataset folders are complete or absent, so that a rendered one is not rendered again."""
    for name, entry in config.sets.items():
        path = Path(config.folder) / "pairs" / str(name)
        if not (path / INFO_NAME).is_file():
            sources = {str(split): build(source) for split, source in entry.sources.items()}
            data_commands.render(sources, path, workers=config.workers, console=console)


def _train(config: DictConfig, name: str, phase: Phase, phases: Phases) -> None:
    """Fit the run to the time that is left, unless an interrupted attempt did so, and train."""
    training = composed(config, config.runs[name], Path(config.folder) / name)
    fitted = phase.facts.get("fitted")
    if fitted is None:
        ahead = list(config.runs)[list(config.runs).index(name) :]
        left = 60 * config.minutes - config.reserve - phases.seconds
        share = config.runs[name].share / sum(config.runs[run].share for run in ahead)
        found = [ExecutionSettings.of(other.facts["fitted"]) for other in phases.all() if "fitted" in other.facts]
        choices = found[:1] or ExecutionSettings.all(choose(config.precision, "cpu"), config.threads)  # timed once
        training, fitted = fit_to_machine(
            training, choices, config.calibration_steps, max(left, 1) * share, phase.facts.get("taken")
        )
        phase.facts["fitted"] = fitted | {"stages": {stage.name: stage.max_steps for stage in training.stages}}
        phases.write()
        _announce(phases.console, phase.facts["fitted"])
    else:
        ExecutionSettings.of(fitted).apply(training)
        for stage in training.stages:
            stage.max_steps = fitted["stages"][stage.name]
    phase.facts |= train_run(training)


def _announce(console: Console, fitted: dict[str, Any]) -> None:
    stages = ", ".join(f"{steps:,} steps {name}" for name, steps in fitted["stages"].items())
    less = fitted["share_of_steps"]
    shortened = f" ({percent(less)} of the recipe, to stay within minutes=...)" if less < 1 else ""
    console.print(f"    {stages}{shortened}, {ExecutionSettings.of(fitted)}", highlight=False)


def _evaluate(config: DictConfig, model: Path, folder: str, console: Console) -> None:
    """Edit the held-out pairs of each set with a checkpoint or a folder; results go below `folder`."""
    editor = load_editor(model, "cpu", "ema", config.batch_size, precision=config.precision)
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
                kept=ExampleSelection(entry.show, config.worst, config.kinds, seed=config.seed),
                intervals=IntervalSettings(seed=config.seed),
                provenance=provenance(editor, str(model), "ema"),
                on_progress=advance,
            )
        result.save(Path(config.folder) / folder / str(name))


def _evaluate_others(config: DictConfig, beside: Mapping[str, Path], console: Console) -> None:
    for name, path in beside.items():
        _evaluate(config, path, f"beside/{name}", console)


def _write(
    config: DictConfig, phases: Phases, results: list[EvaluationResult], others: Mapping[str, Sequence[Other]]
) -> None:
    """report.html, metrics.json and grid.png."""
    folder = Path(config.folder)
    names = [str(name) for name in config.sets]
    summary = {
        "version": __version__,
        "machine": machine(),
        "phases": [{"name": name, "seconds": round(seconds, 1)} for name, seconds in phases.spent()],
        "training": {phase.name: phase.facts for phase in phases.all() if phase.facts},
        "evaluations": {name: result.summary() for name, result in zip(names, results, strict=True)},
        "beside": {
            name: {other.name: other.result.summary() for other in others[result.name]}
            for name, result in zip(names, results, strict=True)
        },
    }
    (folder / "metrics.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    shown = [(example, others[result.name]) for result in results for example in result.examples[:_SHOWN]]
    if shown:
        edits = [dict(same_edits(example, editors)) for example, editors in shown]
        beside = {name: [edit[name].edited for edit in edits] for name in edits[0]}
        edit_grid([example for example, _ in shown], side=112, text_width=200, columns=2, others=beside).save(
            folder / "grid.png"
        )
    write_report(page(config, phases, results, others), folder / "report.html")


def _tell(
    config: DictConfig,
    console: Console,
    results: list[EvaluationResult],
    others: Mapping[str, Sequence[Other]],
    phases: Phases,
) -> None:
    """A sentence and tables for each set, the time, how to edit at once, and the path of the page."""
    for result in results:
        console.print(Text.assemble("\n", (result.name, "bold"), f": {sentence(result)}"))
        if ERROR in result.figures:
            console.print(kinds_table(result))
        if others[result.name]:
            console.print(comparison_table(result, others[result.name]))
    console.print(f"\n{machine_share(config, phases)}", highlight=False)
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in phases.spent())
    console.print(f"{duration(phases.seconds)} in all: {spent}\n", highlight=False)
    for command in commands_to_edit(config, results):
        console.print(Text.assemble((command.text, "bold"), f"\n  {command.line}"), soft_wrap=True)
    page = (Path(config.folder) / "report.html").resolve()
    console.print(f"\nreport: {page}", style="bold", highlight=False, soft_wrap=True)
