"""Results through wandb without a server: written as offline runs, read back from their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wandb.apis.public import Run as PublicRun

from ip2p_lightning.evaluation.run_values import Value
from ip2p_lightning.studies.run import Run
from ip2p_lightning.studies.table import Row
from ip2p_lightning.studies.wandb_runs import log_rows, offline_runs, read_rows, server_run

LABELS = {"pairs": 100, "filtered": True, "seed": 0}
LONG = {f"kind-{number}/error": Value(float(number)) for number in range(3000)}  # more than one block of the file


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wandb")
    rows = [Row("a", LABELS, {"error": Value(3.5, 3.0, 4.0), **LONG}), Row("gone", {"seed": 1}, gap="it was never run")]
    log_rows(rows, "project", "study", folder)
    return folder


def test_what_is_written_is_read_back(logged: Path) -> None:
    runs = [Run("a", "evaluate", (), LABELS), Run("gone", "evaluate", (), {"seed": 1})]
    first, second = read_rows(str(logged), "study", runs)
    assert not first.gap
    assert first.values["error"] == Value(3.5, 3.0, 4.0)
    assert first.values["kind-2999/error"].estimate == 2999
    assert (second.values, second.gap) == ({}, f"no finished run of this name in {logged}")


def test_other_studies_and_other_labels_are_gaps(logged: Path) -> None:
    run = Run("a", "evaluate", (), LABELS | {"pairs": 200})
    assert "other labels" in read_rows(str(logged), "study", [run])[0].gap
    assert "no finished run" in read_rows(str(logged), "another", [Run("a", "evaluate", (), LABELS)])[0].gap


def test_a_result_is_written_once(logged: Path) -> None:
    log_rows([Row("a", LABELS, {"error": Value(3.5)})], "project", "study", logged)
    assert len(offline_runs(logged)) == 1


def test_a_run_that_was_killed_is_no_result(logged: Path, tmp_path: Path) -> None:
    (file,) = logged.glob("wandb/offline-run-*/*.wandb")
    copy = tmp_path / file.parent.name / file.name
    copy.parent.mkdir()
    data = file.read_bytes()
    for length in (len(data) - 3, len(data) // 2, 60):
        copy.write_bytes(data[:length])
        assert "no finished run" in read_rows(str(tmp_path), "study", [Run("a", "evaluate", (), LABELS)])[0].gap
    copy.write_bytes(b"something else")
    with pytest.raises(ValueError, match="no file of wandb"):
        offline_runs(tmp_path)


def test_the_server_s_runs_have_the_same_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    attributes = {
        "name": "abc",
        "displayName": "a",
        "group": "study",
        "state": "finished",
        "config": json.dumps({"labels": {"value": LABELS}}),
        "systemMetrics": "{}",
        "summaryMetrics": json.dumps({"error": 3.5, "error:low": 3.0}),
        "user": {"username": "x", "name": "x"},
    }
    run = PublicRun(None, "entity", "project", "abc", attrs=attributes, lazy=False)  # type: ignore[arg-type]
    assert server_run(run) == {
        "name": "a",
        "group": "study",
        "state": "finished",
        "config": {"labels": LABELS},
        "summary": {"error": 3.5, "error:low": 3.0},
    }
