"""A page around figures that are drawn for papers: what was measured, the figure, its table, where it comes from.

One file in the style of `report.html`: it fetches nothing and runs no script.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import rich.table
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ip2p_lightning import __version__

_PIXELS = 96 / 72
"""Of a point, the unit of matplotlib's SVG."""
_SHOWN = ("editor", "checkpoint", "sha256", "weights", "split", "seeds", "seed", "x", "y", "processes")


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Args:
        title: above it.
        heads: of its columns.
        rows: a text for each column.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, table: rich.table.Table) -> Grid:
        """A table that was made for the terminal."""
        columns = [[str(cell) for cell in column.cells] for column in table.columns]
        heads = [str(column.header) for column in table.columns]
        return cls(str(table.title or ""), heads, list(zip(*columns, strict=True)))


@dataclass(frozen=True)
class FigurePage:
    """Everything on the page.

    Args:
        title: headline.
        lede: a paragraph of plain words.
        figures: title and SVG file of each.
        tables: below the figures.
        findings: verdict and sentence of each, such as a study's claims.
        provenance: where the figures come from, JSON values.
        kicker: line above the headline.
    """

    title: str
    lede: str
    figures: Mapping[str, Path]
    tables: Sequence[Grid] = ()
    findings: Sequence[tuple[str, str]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    kicker: str = "ip2p_lightning"


def write_figure_page(page: FigurePage, file: str | Path) -> Path:
    """Write the page; returns its path.

    Raises:
        FileNotFoundError: a figure that was not drawn.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    folder = resources.files("ip2p_lightning.report") / "templates"
    template = environment.from_string((folder / "figures.html.j2").read_text(encoding="utf-8"))
    text = template.render(
        page=page,
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),  # our own file
        plates=[_plate(title, path) for title, path in page.figures.items()],
        settings=settings(page.provenance),
        today=date.today().isoformat(),
        version=__version__,
    )
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def settings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Settings needed to reproduce the figures, one line for each short entry of the provenance."""
    lines = {name: _words(facts[name]) for name in _SHOWN if facts.get(name) not in (None, "", [])}
    if data := facts.get("data"):
        draw = facts.get("draw")
        lines["pairs"] = data["name"] + (f", {draw['count']} of {draw['of']}" if draw else "")
        lines["fingerprint of the pairs"] = data["fingerprint"]
    if software := facts.get("software"):
        lines["software"] = ", ".join(f"{name} {version}" for name, version in software.items())
    return lines


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class _Plate:
    title: str
    url: str
    width: int
    height: int


def _plate(title: str, path: Path) -> _Plate:
    """An SVG file as a data URL, in which its identifiers are its own, with its size in pixels."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width, height = (float(side) * _PIXELS for side in (found.groups() if found else ("480", "360")))
    code = base64.b64encode(text.encode()).decode("ascii")
    return _Plate(title, f"data:image/svg+xml;base64,{code}", round(width), round(height))
