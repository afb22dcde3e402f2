"""`ip2p evaluate`: score an editor on held-out pairs compared with copying the input, in one process or several."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning.config import build, plain
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import AnswersSome, Described, Editor
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.evaluation.evaluate import Evaluation, ExampleSelection
from ip2p_lightning.evaluation.figures import ERROR
from ip2p_lightning.evaluation.journal import SETTINGS, UNFINISHED
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.evaluation.provenance import editor_facts, sampler_facts, settings
from ip2p_lightning.evaluation.work import HandOut
from ip2p_lightning.files import write_whole
from ip2p_lightning.formatting import number, percent, plural, span
from ip2p_lightning.jobs.compare import show
from ip2p_lightning.jobs.models import models_of
from ip2p_lightning.jobs.processes import by_executor, device_of, to_write
from ip2p_lightning.jobs.splits import pairs_of
from ip2p_lightning.report.comparison import compare
from ip2p_lightning.report.grid import edit_grid
from ip2p_lightning.report.report import Command, Report, write_report
from ip2p_lightning.report.tables import kinds_table, metrics_table, probes_table
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Evaluate, print the tables, and write rows, summary.json, images, figures and report.html to `output`.

    Raises:
        FileNotFoundError: no such checkpoint or data.
        ValueError: a split that the data does not have, more pairs asked for than there are, a metric that needs what
            pairs lack, or an `output` in which another evaluation was stopped.
        ChildProcessError: another process died; names it, its last words and its log.
    """
    models = {} if config.checkpoint is None else models_of(config.checkpoint)  # other editors have none
    if len(models) < 2:
        _run(config, Terminal())
        return
    if len(set(map(_file_name, models))) < len(models):
        raise ValueError(f"checkpoint={list(models.values())}: their names, {', '.join(models)}, give one folder twice")
    for name, path in models.items():
        own = config.copy()
        own.checkpoint, own.output = path, str(Path(config.output) / _file_name(name))
        _run(own, Terminal())
    if int(os.environ.get("RANK", 0)) == 0:
        folders = [Path(config.output) / _file_name(name) for name in models]
        show(compare(folders), Path(config.output))


def _file_name(model: str) -> str:
    """The folder of one of several models."""
    return re.sub(r"[^\w.=-]+", "-", model).strip("-.") or "model"


def _run(config: DictConfig, console: Console) -> None:
    result = evaluate(config, console)
    if result is None:
        return
    with to_write(config):
        _save(result, config, console)


def _save(result: EvaluationResult, config: DictConfig, console: Console) -> None:
    folder = result.save(config.output)
    if result.examples:
        edit_grid(result.examples).save(folder / "grid.png")
    from ip2p_lightning.report.plates import save_plates  # a second of imports

    save_plates(result, folder / "figures")
    page = write_report(report(result, config), folder / "report.html")
    settings_of_rows = (folder / UNFINISHED / SETTINGS).read_bytes()
    write_whole(folder / SETTINGS, settings_of_rows)  # by which a later evaluation knows it for its own
    if config.executor != "array":  # whose other members may be reading the rows
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    console.print(metrics_table(result))
    if result.main:
        console.print(kinds_table(result))
    if result.probes and result.figures:
        main = "edit_success" if "edit_success" in result.figures else next(iter(result.figures))
        console.print(probes_table(result, main))
    console.print(f"report: {page}", highlight=False, soft_wrap=True)


def evaluate(config: DictConfig, console: Console | None = None) -> EvaluationResult | None:
    """Evaluate as `conf/evaluate.yaml` describes, with a progress bar.

    Returns:
        The result; None in all but the first of several processes.
    """
    console = console or Terminal()
    return by_executor(config, "evaluate", lambda own, hand_out: _evaluate(own, console, hand_out), _evaluation)


def _evaluate(config: DictConfig, console: Console, hand_out: HandOut | None) -> EvaluationResult:
    _check_output(Path(config.output), config.overwrite)
    evaluation = _evaluation(config)
    total = (config.count or len(evaluation.pairs)) * len(config.seeds)
    with edit_progress(console, f"editing {plural(total, 'picture')}", total) as advance:
        return evaluation.run(build(config.intervals), advance, hand_out)


def _evaluation(config: DictConfig) -> Evaluation:
    """Everything that rows depend on."""
    data = build(config.data)
    pairs = pairs_of(data.sources(), config.split)
    device = device_of(config)
    editor: Editor = build(config.editor).to(device)
    if isinstance(editor, AnswersSome):
        pairs = editor.answered(pairs)
    return Evaluation(
        pairs,
        build(config.metrics),
        editor=editor,
        name=f"{'training' if config.split == 'train' else 'held-out'} pairs of {pairs.name}",
        count=config.count,
        seeds=plain(config.seeds),
        batch_size=config.batch_size,
        transform=data.transform.evaluation(),
        sampling=SamplingSettings.read(config),
        kept=ExampleSelection(config.show, config.worst, config.kinds),
        provenance={**editor_facts(editor, plain(config.editor)), **_described(pairs), "split": config.split},
        device=device,
        journal=Path(config.output) / UNFINISHED,
    )


def _check_output(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with the result of an evaluation whose settings are not known; the journal compares others."""
    if overwrite:
        (folder / SETTINGS).unlink(missing_ok=True)
    elif (folder / "summary.json").is_file() and not any(
        (place / SETTINGS).is_file() for place in (folder, folder / UNFINISHED)
    ):
        raise ValueError(f"{folder} holds an evaluation already; choose another output=..., or overwrite=true")


def _described(pairs: PairSource) -> dict[str, Any]:
    return {"answered": pairs.describe()} if isinstance(pairs, Described) else {}


def provenance(editor: TrainedEditor, checkpoint: str, weights: str) -> dict[str, Any]:
    """Weights of the editor and its sampling settings."""
    return {"checkpoint": str(checkpoint), "weights": weights, "sampler": sampler_facts(editor)}


def report(result: EvaluationResult, config: DictConfig) -> Report:
    """The page about one evaluation."""
    checkpoint = result.provenance.get("checkpoint")
    editor = Path(checkpoint).name if checkpoint else result.provenance["editor"]
    return Report(
        title=f"{editor} on {result.name}",
        lede=sentence(result),
        results=[result],
        settings=settings(result),
        commands=[Command("Edit an image with it", edit_command(checkpoint))] if checkpoint else [],
        kicker="ip2p_lightning evaluate",
    )


def sentence(result: EvaluationResult) -> str:
    """Summary of the edits against the truth and against copying, in plain words."""
    error, nearer = result.figures.get(ERROR), result.figures.get("closer_than_input")
    if error is None or error.copying is None:
        text = f"{plural(result.rows.num_rows, 'edit')} of {plural(result.pairs, 'pair')}"
        if result.main and (figure := result.figures[result.main]).copying:
            info = result.metrics[result.main]
            ours, copying = (number(part.estimate, info.unit) for part in (figure.ours, figure.copying))
            text += f": {info.label} {ours} ({span(figure.ours, info.unit)}), for leaving the image alone {copying}"
        return text + "."
    ours, copying = number(error.ours.estimate, "/255"), number(error.copying.estimate, "/255")
    text = (
        f"On {plural(result.pairs, 'pair')}, the edits are {ours} of 255 grey levels away from the truth on average "
        f"({span(error.ours, '/255')}), where leaving the image alone is {copying} away"
    )
    if nearer is not None:
        text += f"; {percent(nearer.ours.estimate)} of them come nearer to the truth than the input is"
    return text + "."


def edit_command(checkpoint: str) -> str:
    """The command line that edits an image with a checkpoint."""
    return f'ip2p edit checkpoint={checkpoint} image=photo.jpg instruction="make it a pencil sketch" output=out.png'
