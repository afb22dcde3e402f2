"""`ip2p tradeoff`: how much of the edit is done against how much of the input is kept, ours beside other editors."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning.config import build, plain
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.evaluation.sweeps import GuidanceSweep, Sweep
from ip2p_lightning.evaluation.tradeoff import Tradeoff, tradeoff
from ip2p_lightning.jobs.opening import open_editor, place
from ip2p_lightning.jobs.splits import pairs_of


def run(config: DictConfig) -> None:
    """Measure, print the table, and write rows.parquet, points.csv, summary.json and tradeoff.svg/.png to `output`.

    Raises:
        FileNotFoundError: no such checkpoint or data.
        ValueError: a split that the data does not have, or axes that `metrics` does not measure.
    """
    console = Console()
    result = measure(config, console)
    folder = result.save(config.output)
    from ip2p_lightning.evaluation.tradeoff_figure import tradeoff_figure, tradeoff_table  # a second of imports
    from ip2p_lightning.studies.drawing import save_figure

    save_figure(tradeoff_figure(result), Path(folder) / "tradeoff")
    console.print(tradeoff_table(result))
    console.print(f"figure: {folder / 'tradeoff.svg'}", highlight=False, soft_wrap=True)


def measure(config: DictConfig, console: Console) -> Tradeoff:
    """The values at every point, as `conf/tradeoff.yaml` describes."""
    data = build(config.data)
    pairs = pairs_of(data.sources(), config.split)
    editor = open_editor(config.checkpoint, config.device, config.weights, config.batch_size)
    ours = GuidanceSweep(editor, plain(config.text_scales), plain(config.image_scales), config.steps, config.rows)
    sweeps: list[Sweep] = [ours]
    for baseline in build(config.baselines or {}).values():
        for other in baseline.editors:
            place(other, str(editor.module.device))
        sweeps.append(baseline)
    points = sum(len(sweep.points) for sweep in sweeps)
    total = (config.count or len(pairs)) * len(config.seeds) * points
    with edit_progress(console, f"editing at {points} points", total) as advance:
        return tradeoff(
            sweeps,
            pairs,
            build(config.metrics),
            x=config.x,
            y=config.y,
            count=config.count,
            seeds=plain(config.seeds),
            batch_size=config.batch_size,
            transform=data.transform.evaluation(),
            intervals=build(config.intervals),
            provenance={"checkpoint": str(config.checkpoint), "weights": config.weights, "split": config.split},
            on_progress=advance,
        )
