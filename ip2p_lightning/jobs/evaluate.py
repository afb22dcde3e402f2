"""`ip2p evaluate`: score a checkpoint on held-out pairs beside copying the input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning.config import build, plain
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.editors.ours import TrainedEditor
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.evaluate import Kept
from ip2p_lightning.evaluation.grid import edit_grid
from ip2p_lightning.evaluation.limits import ERROR
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.evaluation.report import Command, Report, write_report
from ip2p_lightning.evaluation.tables import kinds_table, metrics_table
from ip2p_lightning.evaluation.wording import number, percent, plural, span
from ip2p_lightning.jobs.opening import open_editor


def run(config: DictConfig) -> None:
    """Evaluate, print the tables, and write rows, summary.json, pictures, grid.png and report.html to `output`.

    Raises:
        FileNotFoundError: no such checkpoint or data.
        ValueError: a split that the data does not have, or more pairs asked for than there are.
    """
    console = Console()
    result = evaluate_checkpoint(config, console)
    folder = result.save(config.output)
    if result.examples:
        edit_grid(result.examples).save(folder / "grid.png")
    page = write_report(report(result, config), folder / "report.html")
    console.print(metrics_table(result))
    if ERROR in result.figures:
        console.print(kinds_table(result))
    console.print(f"report: {page}", highlight=False, soft_wrap=True)


def evaluate_checkpoint(config: DictConfig, console: Console) -> EvaluationResult:
    """Evaluate as `conf/evaluate.yaml` describes, with a progress bar."""
    data = build(config.data)
    pairs = _pairs(data.sources(), config.split)
    editor = open_editor(config.checkpoint, config.device, config.weights, config.batch_size)
    sampling = {name: config[name] for name in ("text_scale", "image_scale", "steps") if config[name] is not None}
    total = (config.count or len(pairs)) * len(config.seeds)
    with edit_progress(console, f"editing {plural(total, 'picture')}", total) as advance:
        return evaluate(
            editor,
            pairs,
            build(config.metrics),
            name=f"held-out pairs of {pairs.name}" if config.split != "train" else f"training pairs of {pairs.name}",
            count=config.count,
            seeds=plain(config.seeds),
            batch_size=config.batch_size,
            transform=data.transform.evaluation(),
            sampling=sampling,
            kept=Kept(config.show, config.worst),
            intervals=build(config.intervals),
            provenance=provenance(editor, config.checkpoint, config.weights) | {"split": config.split},
            on_progress=advance,
        )


def provenance(editor: TrainedEditor, checkpoint: str, weights: str) -> dict[str, Any]:
    """Which weights edited, and how they were sampled."""
    sampler = editor.module.sampler
    return {
        "checkpoint": str(checkpoint),
        "weights": weights,
        "sampler": {
            "scheduler": type(sampler.scheduler).__name__,
            "steps": sampler.steps,
            "text_scale": sampler.guidance.text_scale,
            "image_scale": sampler.guidance.image_scale,
            "guidance_interval": [sampler.guidance.start, sampler.guidance.stop],
        },
    }


def report(result: EvaluationResult, config: DictConfig) -> Report:
    """The page about one evaluation."""
    return Report(
        title=f"{Path(config.checkpoint).name} on {result.name}",
        lede=sentence(result),
        results=[result],
        settings={"checkpoint": config.checkpoint, "seeds": ", ".join(map(str, config.seeds)), "split": config.split},
        commands=[Command("Edit a picture with it", edit_command(config.checkpoint))],
        kicker="ip2p_lightning evaluate",
    )


def sentence(result: EvaluationResult) -> str:
    """How the edits stand to the truth and to copying, in plain words."""
    error, nearer = result.figures.get(ERROR), result.figures.get("nearer")
    if error is None or error.copying is None:
        return f"{plural(result.rows.num_rows, 'edit')} of {plural(result.pairs, 'pair')}."
    ours, copying = number(error.ours.estimate, "/255"), number(error.copying.estimate, "/255")
    text = (
        f"On {plural(result.pairs, 'pair')}, the edits are {ours} of 255 grey levels away from the truth on average "
        f"({span(error.ours, '/255')}), where leaving the picture alone is {copying} away"
    )
    if nearer is not None:
        text += f"; {percent(nearer.ours.estimate)} of them come nearer to the truth than the input is"
    return text + "."


def edit_command(checkpoint: str) -> str:
    """The command line that edits a picture with a checkpoint."""
    return f'ip2p edit checkpoint={checkpoint} image=photo.jpg instruction="make it a pencil sketch" output=out.png'


def _pairs(sources: dict[str, PairSource], split: str) -> PairSource:
    if split not in sources:
        raise ValueError(f"the data has no {split} pairs, only {', '.join(sources)}; choose split=... among these")
    return sources[split]
