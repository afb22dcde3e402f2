"""`ip2p checkpoints`: figures of each checkpoint of one run or several; was it trained too long, which is ahead?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ip2p_lightning.config import build, plain
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.evaluation.by_checkpoint import Courses, by_checkpoint, checkpoints_of
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.formatting import number, plural
from ip2p_lightning.jobs.axes import metrics_and_axes
from ip2p_lightning.jobs.models import runs_of
from ip2p_lightning.jobs.splits import pairs_of
from ip2p_lightning.precision import choose
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.terminal import Terminal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "dominated": "area dominated",
    "copy_rate": "left as they were",
    "source_dependence": "dependence on the image",
    "text_dependence": "dependence on the text (/255)",
}


def run(config: DictConfig) -> None:
    """Measure, print the table and the verdict, and write checkpoints.csv and .svg/.png, provenance.json, report.html.

    Raises:
        FileNotFoundError: a run without checkpoints, or no data.
        ValueError: a split that the data does not have, or axes that `metrics` does not measure.
    """
    console = Terminal()
    courses = measure(config, console)
    folder = courses.save(config.output)
    facts = courses.provenance | {"verdicts": courses.verdicts}
    (folder / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    from ip2p_lightning.report.plotting import save_figure  # a second of imports

    rows = courses.table().to_pylist()
    figure, _ = save_figure(_figure(rows), folder / "checkpoints")
    several = len(courses.runs) > 1
    title = plural(len(rows), "checkpoint") + (f" of {len(courses.runs)} runs" if several else "")
    table = Table(*(["run"] if several else []), "step", *PANELS.values(), title=title, title_justify="left")
    for row in rows:
        first = [row["run"]] if several else []
        table.add_row(*first, f"{row['step']:,}", *(number(row[name]) for name in PANELS))
    verdict = ". ".join(courses.verdicts)
    page = FigurePage(
        title="Was it trained too long?",
        lede=f"{verdict[0].upper()}{verdict[1:]}. Each checkpoint by the area that its trade-off curve "
        "dominates, how often it leaves images as they were, and how much its results depend on image and text.",
        figures={"Checkpoints": figure},
        tables=[Grid.of(table)],
        provenance=facts,
        kicker="ip2p_lightning checkpoints",
    )
    write_figure_page(page, folder / "report.html")
    console.print(table)
    for sentence in courses.verdicts:
        console.print(sentence, highlight=False, soft_wrap=True)


def measure(config: DictConfig, console: Console) -> Courses:
    """All checkpoints of all runs, as `conf/checkpoints.yaml` describes."""
    data = build(config.data)
    files = {name: checkpoints_of(run) for name, run in runs_of(config.run).items()}
    total = sum(map(len, files.values()))
    pairs = pairs_of(data.sources(), config.split)
    metrics, x, y = metrics_and_axes(config, "checkpoints", pairs, console)
    options = {"trust": config.trust, "precision": choose(config.precision, config.device)}
    with edit_progress(console, f"measuring {plural(total, 'checkpoint')}", total) as advance:
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
    """A panel for each figure, over the steps: a line for each run, with its interval as a band."""
    from ip2p_lightning.report.plotting import COLOURS, MARKERS, new_figure

    figure, axes = new_figure(columns=len(PANELS), width=3.2, height=2.6)
    names = list(dict.fromkeys(row["run"] for row in rows))
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        for place, run in enumerate(names):
            own = [row for row in rows if row["run"] == run]
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            steps = [row["step"] for row in own]
            values, low, high = ([row[f"{name}{end}"] for row in own] for end in ("", "_low", "_high"))
            axis.plot(steps, values, marker=marker, markersize=3, color=colour, label=run)
            axis.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step")
        axis.grid(color="0.9", linewidth=0.6)
    if len(names) > 1:
        axes[0].legend(frameon=False, fontsize=8)
    return figure
