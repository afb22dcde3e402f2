"""Saving and loading an evaluation is a round trip; what it leaves can be read by others."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ip2p_lightning.evaluation import EvaluationResult


def test_round_trip(scene_result: EvaluationResult, tmp_path: Path) -> None:
    loaded = EvaluationResult.load(scene_result.save(tmp_path / "scenes"))
    assert loaded.rows.equals(scene_result.rows)
    assert loaded.summary() == scene_result.summary()
    for before, after in zip(
        [*scene_result.examples, *scene_result.worst], [*loaded.examples, *loaded.worst], strict=True
    ):
        assert (before.pair, before.seed, before.text_exact) == (after.pair, after.seed, after.text_exact)
        assert before.values == after.values
        for name in ("original", "edited", "truth"):
            assert np.array_equal(np.asarray(getattr(before, name)), np.asarray(getattr(after, name)))


def test_files_are_plain(photo_result: EvaluationResult, tmp_path: Path) -> None:
    folder = photo_result.save(tmp_path)
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert summary["figures"]["error"]["ours"]["values"] == summary["rows"] == 16
    assert "kept" not in summary["figures"]  # nothing has to stay in a whole-picture edit
    with (folder / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert float(rows[0]["error"]) == pytest.approx(photo_result.rows.column("error")[0].as_py())


def test_missing_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no evaluation"):
        EvaluationResult.load(tmp_path)
