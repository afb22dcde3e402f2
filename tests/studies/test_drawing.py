"""Figures say what is missing, and are the same bytes for the same results."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ip2p_lightning.evaluation.run_values import Value
from ip2p_lightning.report.plotting import new_figure, picture_grid, save_figure
from ip2p_lightning.studies.drawing import draw_curves, draw_dots, draw_lines
from ip2p_lightning.studies.table import Row, Table


def table(*, lacking: tuple[tuple[int, int], ...] = ()) -> Table:
    rows = []
    for pairs in (100, 1000):
        for seed in (0, 1, 2):
            gone = (pairs, seed) in lacking
            values = {} if gone else {"error": Value(seed + 1000 / pairs), "kept": Value(seed)}
            labels = {"pairs": pairs, "kind": "ours", "seed": seed}
            rows.append(Row(f"{pairs}-{seed}", labels, values, "it was never run" if gone else ""))
    return Table(rows)


def texts(figure: Figure) -> list[str]:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    legends = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    return [*found, *legends]


def drawn(rows: Table) -> Figure:
    figure, (axes,) = new_figure()
    draw_lines(axes, rows, "pairs", "error", "kind", names={"ours": "Ours"}, logarithmic=True)
    return figure


def test_lines_say_how_many_runs_there_are() -> None:
    assert texts(drawn(table())) == ["Ours"]
    assert "2 of 3" in texts(drawn(table(lacking=((100, 1),))))
    whole = drawn(table(lacking=tuple((100, seed) for seed in range(3))))
    assert [line.get_marker() for line in whole.axes[0].lines].count("x") == 1


def test_curves_and_dots_say_what_is_missing() -> None:
    lacking = tuple((100, seed) for seed in range(3))
    figure, axes = new_figure(columns=2)
    draw_curves(axes[0], table(lacking=lacking), "error", "kept", "kind", "pairs")
    draw_dots(axes[1], table(lacking=lacking), "error", "pairs", "kind")
    assert "ours (3 missing)" in texts(figure)
    assert "missing" in texts(figure)
    assert "1000" in texts(figure)


def test_dots_tell_a_missing_run_from_one_without_the_value() -> None:
    figure, (axes,) = new_figure()
    draw_dots(axes, table(), "text_exact", "pairs", "kind")
    assert "n/a" in texts(figure)
    assert "missing" not in texts(figure)


def test_pictures_that_are_missing_say_so() -> None:
    figure = picture_grid(["a"], ["b", "c"], lambda i, j: Image.new("RGB", (4, 4)) if j else None)
    assert texts(figure) == ["missing"]
    assert len(figure.axes[1].images) == 1


@pytest.mark.parametrize("lacking", [(), ((100, 1),)])
def test_files_are_the_same_for_the_same_results(tmp_path: Path, lacking: tuple[tuple[int, int], ...]) -> None:
    rows = table(lacking=lacking)
    first = save_figure(drawn(rows), tmp_path / "first", [row.run for row in rows.gaps])
    second = save_figure(drawn(rows), tmp_path / "second", [row.run for row in rows.gaps])
    assert [path.suffix for path in first] == [".svg", ".png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_gaps_are_named_below_the_figure(tmp_path: Path) -> None:
    rows = table(lacking=((100, 1),))
    figure = drawn(rows)
    save_figure(figure, tmp_path / "f", [row.run for row in rows.gaps])
    assert figure.get_supxlabel() == "1 missing: 100-1"
