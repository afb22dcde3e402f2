"""Results that were written with other names of metrics are read with today's."""

import json

import pyarrow.parquet as pq
import pytest

from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.evaluation.evaluate import ExampleSelection, evaluate
from ip2p_lightning.evaluation.metric_names import OLD_NAMES, current_name, current_names
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.evaluation.run_values import read_points, read_values
from ip2p_lightning.metrics import CloserThanInput, CopyRate

OLD = {new: old for old, new in OLD_NAMES.items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nearer", "closer_than_input"),
        ("copying_nearer", "copying_closer_than_input"),
        ("truth_brought_about", "truth_edit_success"),
        ("recolour/halved", "recolour/error_halved"),
        ("copied_low", "copy_rate_low"),
        ("copied_files", "copied_files"),
        ("error", "error"),
    ],
)
def test_names(old: str, new: str):
    assert current_name(old) == new
    assert current_name(new) == new
    assert current_names({old: 1}) == {new: 1}


def test_an_older_result_is_the_same_result(scenes, tmp_path):
    metrics = {"closer_than_input": CloserThanInput(), "copy_rate": CopyRate()}
    result = evaluate(CopyInput(), scenes, metrics, kept=ExampleSelection(1, 1))
    new = result.save(tmp_path / "new")
    old = result.save(tmp_path / "old")
    text = (old / "summary.json").read_text()
    for name in metrics:
        text = text.replace(f'"{name}"', f'"{OLD[name]}"')
    assert json.loads(text)["figures"].keys() == {"nearer", "copied"}
    (old / "summary.json").write_text(text)
    columns = [
        next((c.replace(name, OLD[name]) for name in metrics if c.endswith(name)), c) for c in result.rows.column_names
    ]
    assert columns != result.rows.column_names
    pq.write_table(result.rows.rename_columns(columns), old / "rows.parquet")
    assert read_values(old) == read_values(new)
    reread = EvaluationResult.load(old)
    assert reread.rows.equals(result.rows)
    assert reread.summary() == EvaluationResult.load(new).summary()
    assert [example.values for example in reread.examples] == [example.values for example in result.examples]


def test_points_of_an_older_sweep(tmp_path):
    (tmp_path / "points.csv").write_text("text_scale,halved,halved_low,halved_high\n1,0.5,0.25,0.75\n")
    assert read_points(tmp_path)[0]["error_halved"].low == 0.25
