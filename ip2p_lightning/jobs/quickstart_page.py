"""The quickstart's page: what was trained, how far it got next to the shipped editors, and how to go on."""

from __future__ import annotations

import math
import os
import platform
import re
import resource
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from ip2p_lightning import __version__
from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.evaluation.comparison import Other
from ip2p_lightning.evaluation.limits import ERROR
from ip2p_lightning.formatting import number, percent, plural
from ip2p_lightning.jobs.evaluate import edit_command
from ip2p_lightning.jobs.phases import Phases
from ip2p_lightning.jobs.quickstart_training import SHIPPED, ExecutionSettings, checkpoint, whole_seconds
from ip2p_lightning.report.curves import log_files, read_curves
from ip2p_lightning.report.report import Command, Report, TrainingRun

_OWN_SCENE = "a yellow tent on the left by the sea on a clear summer day"
_OWN_INSTRUCTION = "turn the tent into a red castle"
_PLAIN = re.compile(r"[\w .-]+")
"""Texts that need no quotes but the shell's."""


def page(
    config: DictConfig, phases: Phases, results: list[EvaluationResult], others: Mapping[str, Sequence[Other]]
) -> Report:
    """The report of a finished quickstart; `others` are the shipped editors on the same pairs, by name of the set."""
    folder = Path(config.folder)
    facts = {phase.name: phase.facts for phase in phases.all()}
    runs = []
    for name, entry in config.runs.items():
        told = facts[f"train {entry.title}"]
        seconds = dict(phases.spent())[f"train {entry.title}"]
        curves = read_curves(*log_files(folder / str(name)))
        begun = f" {entry.start_text}" if config.start == SHIPPED and "start_text" in entry else ""
        runs.append(TrainingRun(entry.title, f"{entry.text}{begun} {_run_text(told)}", curves, seconds))
    return Report(
        title=_title(results, phases.seconds),
        lede=_lede(config, phases, results),
        results=results,
        runs=runs,
        phases=phases.spent(),
        machine=machine(),
        settings=_settings(config, facts),
        commands=[*commands_to_edit(config, results), *commands_to_go_on(config, phases)],
        kicker="ip2p_lightning quickstart",
        others=others,
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
        return f"It learned to edit images in {minutes}"
    return f"What {minutes} of training taught an image editor"


def machine_share(config: DictConfig, phases: Phases) -> str:
    """Share of the recipe that this machine had time for, and how to train the rest."""
    fitted = _fitted(config, phases)
    if all(found["share_of_steps"] >= 1 for found in fitted.values()):
        return "This machine had time for all steps of the recipe."
    shares = " and ".join(f"{percent(found['share_of_steps'])} of {title}'s" for title, found in fitted.items())
    return f"This machine had time for {shares} training steps; {_rest_line(config, phases)} goes on to all of them."


def _fitted(config: DictConfig, phases: Phases) -> dict[str, dict[str, Any]]:
    """Title -> how a run was fitted to the machine."""
    facts = {phase.name: phase.facts for phase in phases.all()}
    return {entry.title: facts[f"train {entry.title}"]["fitted"] for entry in config.runs.values()}


def _rest_line(config: DictConfig, phases: Phases) -> str:
    """The command that trains what is left of the recipe, with minutes that suffice."""
    seconds = phases.seconds + config.reserve + sum(map(whole_seconds, _fitted(config, phases).values()))
    return f"ip2p quickstart minutes={5 * math.ceil(seconds / 300)} folder={config.folder}"


def _lede(config: DictConfig, phases: Phases, results: list[EvaluationResult]) -> str:
    """The share of the recipe, and how far that came on the first set; the other figures have tables of their own."""
    text, error = machine_share(config, phases), results[0].figures.get(ERROR)
    if error is not None and error.copying is not None:
        ours, copying = number(error.ours.estimate, "/255"), number(error.copying.estimate, "/255")
        text += (
            f" On {results[0].name}, its edits are {ours} of 255 grey levels away from the truth; the originals are "
        )
        text += f"{copying} away."
        reached = next(iter(config.sets.values())).get("reached")
        if reached and min(found["share_of_steps"] for found in _fitted(config, phases).values()) < 1:
            text += f" Two cores of an Intel Xeon reach {reached} in ten minutes."
    return text


def _run_text(facts: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {count / 1e6:.2f} million" for name, count in facts["parameters"].items())
    steps, stages = f"{facts['steps']:,} steps of {facts['batch_size']} pairs", facts["stages"]
    told = f" ({'; '.join(stages)})" if len(stages) > 1 else ""
    return f"{steps}{told} in {ExecutionSettings.of(facts['fitted'])}. Parameters: {parts}."


def _settings(config: DictConfig, facts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if platform.system() == "Darwin" else 2**20)
    settings: dict[str, Any] = {"seed": config.seed, "start": config.start}
    for name, entry in config.sets.items():
        counts = ", ".join(f"{source.count:,} {split}" for split, source in entry.sources.items())
        settings[str(name)] = f"{counts} pairs of {config.size} x {config.size} pixels"
    for entry in config.runs.values():
        execution = ExecutionSettings.of(facts[f"train {entry.title}"]["fitted"])
        settings[entry.title] = f"experiment={entry.experiment}, {execution}"
    settings["software"] = (
        f"ip2p_lightning {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    )
    settings["largest memory"] = f"{peak:.1f} GiB"
    return settings


def commands_to_edit(config: DictConfig, results: Sequence[EvaluationResult]) -> list[Command]:
    """Commands for a first edit with the trained model: your own scene, a held-out one, and a photograph."""
    path, folder = str(last_checkpoint(config)), Path(config.folder)
    own = _edit_line(path, "scene", _OWN_SCENE, _OWN_INSTRUCTION, folder / "edited" / "own.png")
    found = [Command("Edit a scene of your own, in words", own)]
    name, result = next(iter(config.sets)), results[0]
    if result.examples:
        picture = folder / "evaluation" / str(name) / "pictures" / "examples-000-original.png"
        text = result.examples[0].instruction
        line = _edit_line(path, "image", str(picture), text, folder / "edited" / "held-out.png")
        found.append(Command("Edit a held-out scene; change the instruction", line))
    if config.beside:
        shipped = str(list(config.beside)[-1])
        line = _edit_line(shipped, "scene", _OWN_SCENE, _OWN_INSTRUCTION, folder / "edited" / f"{shipped}.png")
        found.append(Command("Let the shipped editor do it", line))
    return [*found, Command("Edit a photograph of your own", edit_command(path))]


def _edit_line(checkpoint: str, source: str, what: str, instruction: str, output: Path) -> str:
    words = {"checkpoint": checkpoint, source: what, "instruction": instruction, "output": str(output)}
    return " ".join(["ip2p edit", *(override(key, value) for key, value in words.items()), "overwrite=true"])


def override(key: str, value: str) -> str:
    """An override in the shell's quotes, and in the configuration's where the text has signs that mean something."""
    if re.fullmatch(r"[\w./-]+", value):
        return f"{key}={value}"
    if _PLAIN.fullmatch(value):
        return f'{key}="{value}"'
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')


def commands_to_go_on(config: DictConfig, phases: Phases) -> list[Command]:
    """Further commands that the page proposes."""
    path = last_checkpoint(config)
    pairs = Path(config.folder) / "pairs" / str(next(iter(config.sets)))
    again = f"ip2p evaluate checkpoint={path} data=shards data.path={pairs} data.transform.resolution={config.size}"
    short = any(found["share_of_steps"] < 1 for found in _fitted(config, phases).values())
    rest = [Command("Train the rest of the recipe", _rest_line(config, phases))] if short else []
    return [
        *rest,
        Command("Measure again, with other seeds", f"{again} 'seeds=[1,2,3]'"),
        Command("Train six times as long", "ip2p quickstart longer=6 minutes=60 folder=outputs/longer"),
        Command("Train with no weights but random ones", "ip2p quickstart start=nothing folder=outputs/from_nothing"),
        Command("Train on a world with everything in it", "ip2p train experiment=ip2p/world data.train.level=full"),
    ]
