"""A study as one page: its figures, what they say of the paper, every run's values, and where these come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ip2p_lightning.evaluation.run_values import read_summary
from ip2p_lightning.formatting import number
from ip2p_lightning.report.figure_page import FigurePage, Grid, write_figure_page
from ip2p_lightning.studies.table import Claim, Row, Table

_TOLD = ("editor", "sha256", "weights", "data", "draw", "seeds", "software")


def write_page(
    name: str,
    help: str,
    table: Table,
    metrics: Sequence[str],
    claims: Sequence[Claim],
    pictures: Sequence[Path],
    folder: Path,
) -> Path:
    """Write `report.html`; returns its path.

    Args:
        name: of the study.
        help: what it is; its first line is the headline, the rest the text below.
        table: its rows.
        metrics: names of the values; those that no run has are left out.
        claims: what the paper says, and what the runs say of it.
        pictures: its figures, of which the SVG files are shown.
        folder: of the study.
    """
    title, _, rest = help.strip().partition("\n")
    findings = [(claim.verdict, f"{claim.text} ({claim.evidence})") for claim in claims]
    findings += [("missing", f"{row.run}: {row.gap}") for row in table.gaps]
    page = FigurePage(
        title=title.rstrip("."),
        lede=" ".join(rest.split()),
        figures={path.stem.replace("_", " "): path for path in pictures if path.suffix == ".svg"},
        tables=[_grid(table, table.measured(metrics))],
        findings=findings,
        provenance={"runs": dict(_origins(table.rows))},
        kicker=f"ip2p_lightning, study {name}",
    )
    return write_figure_page(page, folder / "report.html")


def _grid(table: Table, metrics: Sequence[str]) -> Grid:
    """A row for each run: its labels and values; one without a result says why."""
    labels = list(dict.fromkeys(name for row in table.rows for name in row.labels))
    rows = []
    for row in table.rows:
        named = [str(row.labels.get(name, "")) for name in labels]
        none = "missing" if row.gap else ""
        rows.append([*named, *(number(row.values[name].estimate) if name in row.values else none for name in metrics)])
    return Grid("", [*labels, *metrics], rows)


def _origins(rows: Sequence[Row]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each run on disk, what its evaluation says of weights, pairs and versions."""
    for row in rows:
        if row.folder is not None and not row.gap and (row.folder / "summary.json").is_file():
            facts = read_summary(row.folder)["provenance"]
            yield row.run, {key: facts[key] for key in _TOLD if key in facts}
