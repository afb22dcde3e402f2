"""`ip2p compare`: runs or whole sweeps in one table, by the settings in which they differ."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ip2p_lightning.config import plain
from ip2p_lightning.formatting import plural
from ip2p_lightning.report.comparison import Comparison, compare
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Print the table, and write comparison.csv and comparison.html to `output`.

    Raises:
        FileNotFoundError: a path that is neither a run nor a sweep.
        ValueError: nothing to compare, or a metric that no run has.
    """
    runs = plain(config.runs)
    comparison = compare([runs] if isinstance(runs, str) else runs, plain(config.get("values")))
    show(comparison, Path(config.output))


def show(comparison: Comparison, output: Path, terminal: Terminal | None = None) -> None:
    """Print a comparison, and write it as CSV and as a page."""
    terminal = terminal or Terminal()
    table = comparison.table()
    file = comparison.save(output)
    varied = f"They differ in {', '.join(comparison.settings)}. " if comparison.settings else ""
    page = FigurePage(
        title=f"{plural(len(comparison.runs), 'run')} compared",
        lede=f"{varied}The first run is the reference: where evaluations share pairs, the paired difference to it "
        "follows each figure, with its interval.",
        figures={},
        tables=[Grid.of(table)],
        provenance={"runs": [str(run.folder) for run in comparison.runs]},
        kicker="ip2p_lightning compare",
    )
    written = write_figure_page(page, output / "comparison.html")
    terminal.print(table)
    terminal.print(f"{file}\n{written}", highlight=False, soft_wrap=True)
