"""`ip2p tradeoff`: the edit done against the input kept, for our models and other editors."""

from __future__ import annotations

import shutil
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning.config import build, plain
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.evaluation.journal import UNFINISHED
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.evaluation.provenance import editor_facts
from ip2p_lightning.evaluation.sweeps import GuidanceSweep, Sweep
from ip2p_lightning.evaluation.tradeoff import TradeoffMeasurement
from ip2p_lightning.evaluation.tradeoff_result import Tradeoff
from ip2p_lightning.evaluation.work import HandOut
from ip2p_lightning.formatting import plural
from ip2p_lightning.jobs.axes import metrics_and_axes
from ip2p_lightning.jobs.models import models_of
from ip2p_lightning.jobs.processes import by_executor, device_of, to_write
from ip2p_lightning.jobs.splits import pairs_of
from ip2p_lightning.precision import choose
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Measure, print the table, and write rows.parquet, points.csv, summary.json, tradeoff.svg/.png and report.html.

    Raises:
        FileNotFoundError: no such checkpoint or data.
        ValueError: a split that the data does not have, axes that `metrics` does not measure, or an `output` in which
            another sweep was stopped.
        ChildProcessError: another process died; names it, its last words and its log.
    """
    console = Terminal()
    result = tradeoff(config, console)
    if result is None:
        return
    with to_write(config):
        _save(result, config, console)


def _save(result: Tradeoff, config: DictConfig, console: Console) -> None:
    folder = result.save(config.output)
    from ip2p_lightning.report.plotting import save_figure
    from ip2p_lightning.report.tradeoff_figure import tradeoff_figure, tradeoff_table  # a second of imports

    figure, _ = save_figure(tradeoff_figure(result), Path(folder) / "tradeoff")
    table, kept = tradeoff_table(result), result.metrics[result.y].label
    page = FigurePage(
        title=f"{kept[0].upper()}{kept[1:]} against {result.metrics[result.x].label}",
        lede=f"{plural(result.pairs, 'pair')}, edited at {plural(len(result.places), 'point')} under the same seeds. "
        "To the right: how much of the edit is done; upwards: how much of the input is kept, or lost. Crosses are "
        "intervals over pairs; the band is the range that all curves share.",
        figures={"Trade-off": figure},
        tables=[Grid.of(table)],
        provenance={"x": result.x, "y": result.y, **result.provenance},
        kicker="ip2p_lightning tradeoff",
    )
    written = write_figure_page(page, folder / "report.html")
    if config.executor != "array":  # whose other members may be reading the rows
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    console.print(table)
    console.print(f"report: {written}", highlight=False, soft_wrap=True)


def tradeoff(config: DictConfig, console: Console | None = None) -> Tradeoff | None:
    """The values at every point, as `conf/tradeoff.yaml` describes, with a progress bar.

    Returns:
        The values; None in all but the first of several processes.
    """
    console = console or Terminal()
    return by_executor(config, "tradeoff", lambda own, hand_out: _tradeoff(own, console, hand_out), _measurement)


def _tradeoff(config: DictConfig, console: Console, hand_out: HandOut | None) -> Tradeoff:
    measurement = _measurement(config, console)
    points = sum(len(sweep.points) for sweep in measurement.sweeps)
    total = (config.count or len(measurement.pairs)) * len(config.seeds) * points
    with edit_progress(console, f"editing at {points} points", total) as advance:
        return measurement.run(build(config.intervals), advance, hand_out)


def _measurement(config: DictConfig, console: Console | None = None) -> TradeoffMeasurement:
    """Everything that rows depend on."""
    data, device = build(config.data), device_of(config)
    pairs = pairs_of(data.sources(), config.split)
    metrics, x, y = metrics_and_axes(config, "tradeoff", pairs, console or Terminal())
    models = models_of(config.checkpoint)
    options = {"batch_size": config.batch_size, "trust": config.trust, "precision": choose(config.precision, device)}
    editors = {name: load_editor(path, device, config.weights, **options) for name, path in models.items()}
    scales = plain(config.text_scales), plain(config.image_scales)
    sweeps: list[Sweep] = [
        GuidanceSweep(editor, *scales, config.steps, config.rows, name) for name, editor in editors.items()
    ]
    baselines = config.get("baselines") or {}  # baselines=[] leaves no such key
    for baseline in build(baselines).values():
        for other in baseline.editors:
            other.to(device)
        sweeps.append(baseline)
    first = next(iter(models))
    facts = editor_facts(editors[first], {"checkpoint": models[first], "weights": config.weights})
    facts |= {"models": models} if len(models) > 1 else {}
    return TradeoffMeasurement(
        pairs,
        metrics,
        sweeps=sweeps,
        x=x,
        y=y,
        count=config.count,
        seeds=plain(config.seeds),
        batch_size=config.batch_size,
        transform=data.transform.evaluation(),
        provenance={**facts, "baselines": plain(baselines), "split": config.split},
        show=config.show,
        device=device,
        journal=Path(config.output) / UNFINISHED,
    )
