"""`ip2p checkpoints`: how a run's editor changes from checkpoint to checkpoint; was it trained too long?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ip2p_lightning.config import build, plain
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.evaluation.by_checkpoint import Course, by_checkpoint, checkpoints_of
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.formatting import number
from ip2p_lightning.jobs.axes import metrics_and_axes
from ip2p_lightning.jobs.splits import pairs_of
from ip2p_lightning.precision import choose
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.terminal import Terminal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "dominated": "area dominated",
    "copied": "left as they were",
    "source_dependence": "dependence on the picture",
    "text_dependence": "dependence on the text (/255)",
}


def run(config: DictConfig) -> None:
    """Measure, print the table and the verdict, and write checkpoints.csv and .svg/.png, provenance.json, report.html.

    Raises:
        FileNotFoundError: a run without checkpoints, or no data.
        ValueError: a split that the data does not have, or axes that `metrics` does not measure.
    """
    console = Terminal()
    course = measure(config, console)
    folder = course.save(config.output)
    facts = course.provenance | {"verdict": course.verdict}
    (folder / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    from ip2p_lightning.report.plotting import save_figure  # a second of imports

    rows = course.table().to_pylist()
    figure, _ = save_figure(_figure(rows), folder / "checkpoints")
    table = Table("step", *PANELS.values(), title=f"{len(rows)} checkpoints", title_justify="left")
    for row in rows:
        table.add_row(f"{row['step']:,}", *(number(row[name]) for name in PANELS))
    page = FigurePage(
        title="Was it trained too long?",
        lede=f"{course.verdict[0].upper()}{course.verdict[1:]}. Each checkpoint by the area that its trade-off curve "
        "dominates, how often it leaves pictures as they were, and how much its results depend on picture and text.",
        figures={"Checkpoints": figure},
        tables=[Grid.of(table)],
        provenance=facts,
        kicker="ip2p_lightning checkpoints",
    )
    write_figure_page(page, folder / "report.html")
    console.print(table)
    console.print(course.verdict, highlight=False)


def measure(config: DictConfig, console: Console) -> Course:
    """All checkpoints, as `conf/checkpoints.yaml` describes."""
    data = build(config.data)
    files, pairs = checkpoints_of(config.run), pairs_of(data.sources(), config.split)
    metrics, x, y = metrics_and_axes(config, "checkpoints", pairs, console)
    options = {"trust": config.trust, "precision": choose(config.precision, config.device)}
    with edit_progress(console, f"measuring {len(files)} checkpoints", len(files)) as advance:
        return by_checkpoint(
            files,
            lambda path: load_editor(Path(path), config.device, config.weights, config.batch_size, **options),
            pairs,
            metrics,
            x=x,
            y=y,
            text_scales=plain(config.text_scales),
            image_scales=plain(config.image_scales),
            steps=config.steps,
            count=config.count,
            batch_size=config.batch_size,
            seed=config.seed,
            transform=data.transform.evaluation(),
            intervals=build(config.intervals),
            on_checkpoint=lambda step: advance(1),
        )


def _figure(rows: list[dict[str, Any]]) -> Figure:
    """A panel for each figure, over the steps, with its interval as a band."""
    from ip2p_lightning.report.plotting import COLOURS, new_figure

    figure, axes = new_figure(columns=len(PANELS), width=3.2, height=2.6)
    steps = [row["step"] for row in rows]
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        axis.plot(steps, [row[name] for row in rows], marker="o", markersize=3, color=COLOURS[0])
        low, high = ([row[f"{name}_{end}"] for row in rows] for end in ("low", "high"))
        axis.fill_between(steps, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step")
        axis.grid(color="0.9", linewidth=0.6)
    return figure
