"""An editor beside others: the same pairs, the same figures, in tables, on the page and in the grid."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.comparison import COPYING, OURS, Other, comparison_table, kinds, rows, same_edits
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.formatting import NOTHING
from ip2p_lightning.report.grid import edit_grid
from ip2p_lightning.report.report import Report, render_report


@pytest.fixture(scope="module")
def others(scenes: WorldSource, part_way, metrics) -> list[Other]:
    editor = part_way(scenes, 0.95, noise=0.0, texts=False)
    return [Other("shipped <one>", evaluate(editor, scenes, metrics(), name="x", kept=ExampleSelection(8, 0)))]


def test_every_editor_has_a_row_and_what_it_lacks_a_dash(scene_result: EvaluationResult, others: list[Other]) -> None:
    ours, other, copying = rows(scene_result, others)
    assert [row.name for row in (ours, other, copying)] == [OURS, "shipped <one>", COPYING]
    error = scene_result.figures["error"]
    assert ours.cells[0].figure == f"{error.ours.estimate:.1f}"
    assert copying.cells[0].figure == f"{error.copying.estimate:.1f}"
    assert float(other.cells[0].figure) < float(ours.cells[0].figure)
    assert (ours.cells[-1].figure.endswith("%"), other.cells[-1].figure) == (True, NOTHING)  # writes no texts
    assert {row.name for row in kinds(scene_result, others)} == set(scene_result.kinds)


def test_edits_are_those_of_the_same_pair(scene_result: EvaluationResult, others: list[Other]) -> None:
    for example in scene_result.examples:
        ((name, edit),) = same_edits(example, others)
        assert (name, edit.pair) == ("shipped <one>", example.pair)
        assert np.array_equal(np.asarray(edit.truth), np.asarray(example.truth))
    assert same_edits(replace(example, pair="another"), others) == []


def test_the_page_shows_them(scene_result: EvaluationResult, others: list[Other]) -> None:
    report = Report("Title", "Lede.", [scene_result])
    alone, page = render_report(report), render_report(replace(report, others={scene_result.name: others}))
    assert page.count("data:image/png") == alone.count("data:image/png") + len(scene_result.examples)
    assert "Next to the shipped editors" in page
    assert "Next to the shipped editors" not in alone
    assert "shipped &lt;one&gt;" in page
    assert "shipped <one>" not in page


def test_the_table_of_the_terminal_fits(scene_result: EvaluationResult, others: list[Other]) -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(comparison_table(scene_result, others))
    assert "shipped <one>" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_grid_shows_them_before_the_truth(scene_result: EvaluationResult, others: list[Other]) -> None:
    examples = scene_result.examples[:2]
    edits = [same_edits(example, others)[0][1].edited for example in examples]
    grid = edit_grid(examples, side=64, text_width=120, others={"another": edits})
    left = 20 + 2 * 64 + 120 + 3 * 14
    for row, image in enumerate(edits):
        assert np.array_equal(
            np.asarray(grid.crop((left, 54 + row * 78, left + 64, 118 + row * 78))), np.asarray(image)
        )
    with pytest.raises(ValueError, match="another has 1 edits for 2 examples"):
        edit_grid(examples, others={"another": [Image.new("RGB", (8, 8))]})
