"""How far edits went against how far they should have: counted, drawn, and said where it is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.evaluation.amounts import PART, amounts, amounts_svg, place
from ip2p_lightning.evaluation.limits import limits
from ip2p_lightning.report.curves import Curve
from ip2p_lightning.report.plates import save_plates


def test_kinds_of_an_editor_that_stops_short_and_goes_the_other_way(scene_result: EvaluationResult) -> None:
    """Its noise is not along the true change, and does not count."""
    found = {amount.kind: amount for amount in amounts(scene_result)}
    assert list(found)[-1] == "all kinds"
    for kind, part in (("remove", -0.2), ("replace", 0.05), ("time", 0.9)):
        assert found[kind].middle.estimate == pytest.approx(part, abs=0.06)
        assert found[kind].little.estimate == (part < 0.5)
        assert found[kind].much.estimate == 0
    assert found["remove"].copied is not None
    assert found["all kinds"].lost is not None
    assert len(found["all kinds"].parts) == scene_result.rows.num_rows


def test_verdicts_need_the_whole_interval_and_are_said(scene_result: EvaluationResult) -> None:
    kinds = scene_result.rows.column("kind").to_pylist()
    few = min(set(kinds), key=kinds.count)

    def told(part: float) -> EvaluationResult:
        values = pa.array([part + 0.01 * (row % 3) for row in range(len(kinds))])
        column = scene_result.rows.column_names.index(PART)
        return replace(scene_result, rows=scene_result.rows.set_column(column, PART, values))

    assert {amount.verdict for amount in amounts(told(1.0))} == {""}
    assert amounts(told(0.2))[-1].verdict == "little"
    assert amounts(told(2.0))[-1].verdict == "much"
    scarce = [amount for amount in amounts(told(2.0)) if amount.kind == few and amount.middle.groups < 6]
    assert all(amount.verdict == "" for amount in scarce)
    assert any("Overdoes it: half of its edits make more than 2.0" in limit.what for limit in limits(told(2.0)))


def test_what_was_not_measured_is_not_shown(scene_result: EvaluationResult) -> None:
    without = replace(scene_result, rows=scene_result.rows.drop_columns([PART]))
    assert amounts(without) == []
    unknown = pa.array([None] * scene_result.rows.num_rows, pa.float64())
    column = scene_result.rows.column_names.index(PART)
    assert amounts(replace(scene_result, rows=scene_result.rows.set_column(column, PART, unknown))) == []


def test_the_picture_has_a_dot_an_edit_and_ends(scene_result: EvaluationResult) -> None:
    amount = amounts(scene_result)[-1]
    picture = str(amounts_svg(amount))
    assert picture.count("<circle") == len(amount.parts)
    assert [place(part) for part in (-9, 0, 1, 9)] == pytest.approx([0, 100 / 6, 50, 100])
    many = replace(amount, parts=np.linspace(-5, 5, 1000))
    assert str(amounts_svg(many)).count("<circle") == 160


def test_plates_for_papers_are_the_same_each_time(scene_result: EvaluationResult, tmp_path) -> None:
    curve = Curve("editing loss", (1, 2, 3), (3.0, 2.0, 1.0))
    files = save_plates(scene_result, tmp_path / "a", [curve, replace(curve, held_out=True)])
    names = [f"{name}.{kind}" for name in ("kinds", "amounts", "losses") for kind in ("svg", "png")]
    assert [file.name for file in files] == names
    again = save_plates(scene_result, tmp_path / "b", [curve, replace(curve, held_out=True)])
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    assert save_plates(replace(scene_result, metrics={}, rows=scene_result.rows.drop_columns([PART])), tmp_path) == []
