"""`ip2p drift`: what becomes of images that are edited again and again, and which part of the model is to blame."""

from __future__ import annotations

import json
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ip2p_lightning.config import build, plain
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.evaluation.drift import Drift, drift
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.evaluation.provenance import editor_facts
from ip2p_lightning.formatting import number
from ip2p_lightning.jobs.splits import pairs_of
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Run the chains, print the errors; write rows.parquet, turns.csv, provenance.json, drift.svg/.png, report.html.

    Raises:
        FileNotFoundError: no such checkpoint or data.
        ValueError: chains or a split that cannot be run.
    """
    console = Terminal()
    result = measure(config, console)
    folder = result.save(config.output)
    (folder / "provenance.json").write_text(json.dumps(result.provenance, indent=2) + "\n", encoding="utf-8")
    from ip2p_lightning.report.drift_figure import drift_figure  # a second of imports
    from ip2p_lightning.report.plotting import save_figure

    figure, _ = save_figure(drift_figure(result), folder / "drift")
    tables = [_table(result), _table(result, "moved", "displacement from the original (px, median) by turn")]
    page = FigurePage(
        title="What becomes of images that are edited again and again",
        lede="The mean error of each turn, in grey levels: of chains that go through pixels, as files are passed on, "
        "through latents, without the autoencoder, and through the autoencoder alone, without the denoiser; also, "
        "by band of spatial frequency.",
        figures={"Drift": figure},
        tables=[Grid.of(table) for table in tables],
        provenance=result.provenance,
        kicker="ip2p_lightning drift",
    )
    written = write_figure_page(page, folder / "report.html")
    for table in tables:
        console.print(table)
    console.print(f"report: {written}", highlight=False, soft_wrap=True)


def measure(config: DictConfig, console: Console) -> Drift:
    """The values of every turn, as `conf/drift.yaml` describes."""
    data = build(config.data)
    pairs = pairs_of(data.sources(), config.split)
    options = {"trust": config.trust, "precision": config.precision}
    editor = load_editor(config.checkpoint, config.device, config.weights, config.batch_size, **options)
    sampling = SamplingSettings.read(config)
    chains, ways = build(config.chains), [way for way in config.through if way != "autoencoder"]
    edits = len(chains) * len(ways) * len(config.seeds) + ("autoencoder" in config.through)
    total = (config.count or len(pairs)) * config.turns * edits
    with edit_progress(console, f"editing in {config.turns} turns", total) as advance:
        result = drift(
            editor,
            pairs,
            chains,
            config.turns,
            through=plain(config.through),
            count=config.count,
            seeds=plain(config.seeds),
            batch_size=config.batch_size,
            transform=data.transform.evaluation(),
            sampling=sampling,
            intervals=build(config.intervals),
            on_progress=advance,
        )
    named = {"checkpoint": str(config.checkpoint), "weights": config.weights}
    result.provenance |= {**editor_facts(editor, named), "split": config.split}
    return result


def _table(result: Drift, name: str = "error", title: str = "mean error (/255) by turn") -> Table:
    rows = result.by_turn().to_pylist()
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["chain"], row["through"]), []).append(row)
    table = Table("chain", "through", title=title, title_justify="left")
    for turn in sorted({row["turn"] for row in rows} - {0}):
        table.add_column(str(turn), justify="right")
    for (chain, through), found in lines.items():
        table.add_row(chain, through, *(number(row[name], "/255") for row in found if row["turn"]))
    return table
