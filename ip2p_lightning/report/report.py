"""One self-contained page about a run: what it can do, what it cannot, how it learned. No scripts, nothing fetched."""

from __future__ import annotations

import base64
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ip2p_lightning import __version__, formatting
from ip2p_lightning.evaluation import comparison
from ip2p_lightning.evaluation.amounts import LITTLE, MUCH, Amount, amounts, amounts_svg, place
from ip2p_lightning.evaluation.figures import ERROR, TEXT_EXACT, Figure
from ip2p_lightning.evaluation.limits import Limit, limits
from ip2p_lightning.evaluation.probes import probes
from ip2p_lightning.evaluation.result import EvaluationResult, Example
from ip2p_lightning.metrics import Interval
from ip2p_lightning.report.curves import Curve, curve_svg

RELATIVE, NEARER = "relative", "closer_than_input"
_LARGEST_SIDE = 384
"""Pixels: larger images are shrunk to this on the page; a row shows them at half of it."""


@dataclass(frozen=True)
class TrainingRun:
    """One run of training, as the page tells it.

    Args:
        name: "InstructPix2Pix".
        text: a sentence on what was trained.
        curves: its losses.
        seconds: wall time.
    """

    name: str
    text: str
    curves: Sequence[Curve]
    seconds: float


@dataclass(frozen=True)
class Command:
    """A way to go on: what it does, and what to type."""

    text: str
    line: str


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Args:
        title: headline.
        lede: one paragraph that sums up, in plain words, with the figures.
        results: evaluations, the most important first.
        runs: training runs in their order.
        phases: name and seconds of each phase of the work.
        machine: where it ran.
        settings: name -> value of what another person needs to get the same.
        commands: how to go on.
        kicker: line above the headline.
        others: name of a result -> other editors on its pairs, whose edits and figures stand next to it.
    """

    title: str
    lede: str
    results: Sequence[EvaluationResult]
    runs: Sequence[TrainingRun] = ()
    phases: Sequence[tuple[str, float]] = ()
    machine: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    commands: Sequence[Command] = ()
    kicker: str = "ip2p_lightning"
    others: Mapping[str, Sequence[comparison.Other]] = field(default_factory=dict)


def write_report(report: Report, file: str | Path) -> Path:
    """Write the page; returns its path."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(report), encoding="utf-8")
    return path


def render_report(report: Report) -> str:
    """The page as one HTML document."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "picture": data_url,
        "duration": formatting.duration,
        "percent": formatting.percent,
        "kind": _kind,
    }
    environment.globals |= {
        "number": formatting.number,
        "span": formatting.span,
        "plural": formatting.plural,
        "words": words,
    }
    folder = resources.files("ip2p_lightning.report") / "templates"
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),  # our own file
        tiles=_tiles(report),
        tables=[_Table.of(result) for result in report.results],
        kinds=[(result, _by_kind(result)) for result in report.results if result.by_kind],
        amounts=[(result, _amounts(result)) for result in report.results if amounts(result)],
        little=LITTLE,
        much=MUCH,
        place=place,
        probes=[(result, found) for result in report.results if (found := probes(result))],
        limits=[(result, limits(result)) for result in report.results],
        charts=[(run, _charts(run)) for run in report.runs],
        beside=[
            _Beside.of(result, others) for result in report.results if (others := report.others.get(result.name, ()))
        ],
        shown=[(result, _edits(result, report)) for result in report.results if result.examples],
        total=sum(seconds for _, seconds in report.phases),
        today=date.today().isoformat(),
        version=__version__,
    )


def data_url(image: Image.Image) -> str:
    """An image as a PNG data URL, shrunk to what the page can show."""
    image = image.convert("RGB")
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def words(written: str, truth: str) -> Markup:
    """The written sentence with the words that the true one does not have marked."""
    ours, theirs = written.split(), truth.split()
    pieces = []
    for operation, start, end, _, _ in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        text = Markup.escape(" ".join(ours[start:end]))
        if text:
            pieces.append(text if operation == "equal" else Markup("<mark>{}</mark>").format(text))
    return Markup(" ").join(pieces)


def _kind(name: str) -> str:
    return name.replace("_", " ")


@dataclass(frozen=True)
class _Tile:
    figure: str
    text: str
    range: str = ""


def _tiles(report: Report) -> list[_Tile]:
    """The headline figures: how the first set stands to copying, the texts, the time."""
    tiles: list[_Tile] = []
    if report.results:
        figures = report.results[0].figures
        main = report.results[0].main
        if main and (figure := figures[main]).copying:
            info = report.results[0].metrics[main]
            what = "of 255 away from the truth" if main == ERROR else info.label
            text = f"{what}; copying the input: {formatting.number(figure.copying.estimate, info.unit)}"
            estimate = formatting.number(figure.ours.estimate, info.unit)
            tiles.append(_Tile(estimate, text, formatting.span(figure.ours, info.unit)))
        for name, text in (
            (NEARER, "of its edits are nearer to the truth than the input"),
            (TEXT_EXACT, "of the sentences it wrote are word for word the true ones"),
        ):
            if figure := figures.get(name):
                interval = formatting.span(figure.ours, "share")
                tiles.append(_Tile(formatting.percent(figure.ours.estimate), text, interval))
    if report.phases:
        total = sum(seconds for _, seconds in report.phases)
        tiles.append(_Tile(formatting.duration(total), f"from the first pair to this page, on {report.machine}"))
    return tiles


@dataclass(frozen=True)
class _Row:
    name: str
    pairs: int
    error: Figure | None
    relative: Interval | None
    nearer: Interval | None
    bar: tuple[float, float, float] | None


@dataclass(frozen=True)
class _Table:
    """A set's figures by kind: how far along the way from the input (1) to the truth (0) its edits come.

    Args:
        result: the set's.
        rows: of the kinds, then of all. Their `error` is the figure of the result's main metric.
        end: of the axis of the bars.
    """

    result: EvaluationResult
    rows: list[_Row]
    end: float

    @classmethod
    def of(cls, result: EvaluationResult) -> _Table:
        sets = [*result.kinds.items(), ("all kinds", result.figures)]
        highs = [figures[RELATIVE].ours.high for _, figures in sets if RELATIVE in figures]
        end = min(3.0, max([1.5, *(high for high in highs if high == high)]))
        rows = [_row(name, figures, end, result.main) for name, figures in sets]
        rows[:-1] = sorted(rows[:-1], key=lambda row: row.relative.estimate if row.relative else 9.0)
        return cls(result, rows, end)


def _row(name: str, figures: dict[str, Figure], end: float, main: str | None) -> _Row:
    relative = figures[RELATIVE].ours if RELATIVE in figures else None
    places = None
    if relative is not None:
        known = relative.low == relative.low
        values = (relative.low, relative.estimate, relative.high) if known else (relative.estimate,) * 3
        low, dot, high = (100 * min(value, end) / end for value in values)
        places = (low, dot, high)
    pairs = max((figure.ours.groups for figure in figures.values()), default=0)
    nearer = figures[NEARER].ours if NEARER in figures else None
    return _Row(name, pairs, figures.get(main or ""), relative, nearer, places)


@dataclass(frozen=True)
class _Beside:
    """A set's figures next to those of other editors: an editor a row, and a kind of edit a row."""

    name: str
    heads: list[str]
    rows: list[comparison.Row]
    editors: list[str]
    kinds: list[comparison.Row]

    @classmethod
    def of(cls, result: EvaluationResult, others: Sequence[comparison.Other]) -> _Beside:
        rows = comparison.rows(result, others)
        heads = [comparison.HEADS[name] for name in comparison.heads(result)]
        return cls(result.name, heads, rows, [row.name for row in rows], comparison.kinds(result, others))


def _edits(result: EvaluationResult, report: Report) -> list[tuple[Example, list[tuple[str, Example]]]]:
    """Each example, and what the other editors made of it."""
    others = report.others.get(result.name, ())
    return [(example, comparison.same_edits(example, others)) for example in result.examples]


def _by_kind(result: EvaluationResult) -> list[tuple[str, list[tuple[str, Example]]]]:
    """Kind -> title and edit: one drawn at random, the best, the worst."""
    titles = {"random": "at random", "best": "best", "worst": "worst"}
    names = dict.fromkeys(example.kind for examples in result.by_kind.values() for example in examples)
    shown = [(titles[title], example) for title in titles for example in result.by_kind.get(title, [])]
    return [(kind, [item for item in shown if item[1].kind == kind]) for kind in names]


def _amounts(result: EvaluationResult) -> list[tuple[Amount, Markup]]:
    return [(amount, amounts_svg(amount)) for amount in amounts(result)]


def _charts(run: TrainingRun) -> list[tuple[str, Markup]]:
    """Caption and image of each training loss, with the held-out loss of the same name."""
    held_out = {curve.name: curve for curve in run.curves if curve.held_out}
    return [(curve.name, curve_svg(curve, held_out.get(curve.name))) for curve in run.curves if not curve.held_out]


__all__ = ["Command", "Limit", "Report", "TrainingRun", "data_url", "render_report", "words", "write_report"]
