"""Folders of results that came from elsewhere, or were cut short, are named in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.evaluation.run_values import read_summary, read_values
from ip2p_lightning.jobs.edit_plan import _rows

CONTENTS = {
    "deep": "[" * 100_000,
    "a list": "[1]",
    "damaged": "{nope",
    "empty": "",
    "other keys": '{"name": "x"}',
    "other types": '{"name": 3, "figures": [1], "kinds": 3, "metrics": [1], "intervals": {}, "examples": 1}',
    "twice": '{"name": "x", "name": "y"}',
}


@pytest.mark.parametrize("what", CONTENTS)
def test_summaries(what: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(CONTENTS[what])
    for read in (EvaluationResult.load, read_values):
        with pytest.raises(ValueError, match=str(tmp_path)) as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)
    if what == "a list":
        with pytest.raises(ValueError, match="no summary of an evaluation"):
            read_summary(tmp_path)


@pytest.mark.parametrize("line", ['{"image":' + "[" * 5000, '{"image": NaN}', '{"image": 1, "image": 2}', "[1]", '"x"'])
def test_tables_of_edits(line: str, tmp_path: Path) -> None:
    file = tmp_path / "edits.jsonl"
    file.write_text(line)
    with pytest.raises(ValueError, match=r"edits\.jsonl, line 1"):
        list(_rows(file))
