"""Runs in one table: what differs, what was measured, what failed; and paired differences of evaluations."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ip2p_lightning.evaluation.run_values import FAILURE
from ip2p_lightning.formatting import short_names
from ip2p_lightning.report.comparison import compare, runs_of
from ip2p_lightning.terminal import Terminal


def training(folder: Path, overrides: list[str], losses: list[float] | None) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {json.dumps(word)}\n" for word in overrides))
    if losses is None:
        (folder / FAILURE).write_text("lower data.size to 92\n(--debug shows the traceback)\n")
        return folder
    (folder / "metrics").mkdir()
    with (folder / "metrics" / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "train/loss", "val/editing_loss"])
        writer.writerows([10 * n, loss + 1, loss] for n, loss in enumerate(losses, 1))
    return folder


def evaluation(folder: Path, errors: dict[str, float]) -> Path:
    folder.mkdir(parents=True)
    interval = {"estimate": sum(errors.values()) / len(errors), "low": 1.0, "high": 2.0}
    figures = {"error": {"ours": interval, "copying": None}}
    summary = {
        "figures": figures,
        "kinds": {},
        "pairs": len(errors),
        "provenance": {"checkpoint": str(folder / "x.ckpt")},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    pq.write_table(
        pa.table({"pair": list(errors), "seed": [0] * len(errors), "error": list(errors.values())}),
        folder / "rows.parquet",
    )
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "sweep"
    common = ["experiment=ip2p/tiny", "hydra.run.dir=x", "threads=1"]
    training(folder / "0", [*common, "data.size=20", "seed=1"], [3.0, 1.0, 2.0])
    training(folder / "1", [*common, "data.size=60", "seed=1"], [2.0, 1.5])
    training(folder / "2", [*common, "data.size=3130", "seed=1"], None)
    training(folder / "10", [*common, "data.size=90", "seed=1", "+extra=[1,2]"], [0.5])
    return folder


def test_a_sweep_stands_for_its_jobs_in_their_order(sweep: Path):
    assert [path.name for path in runs_of(sweep)] == ["0", "1", "2", "10"]
    assert runs_of(sweep / "1") == [sweep / "1"]


def test_a_table_has_what_differs_and_the_best_losses(sweep: Path):
    found = compare([sweep])
    assert found.settings == ["data.size", "extra"]
    assert found.metrics[0] == "best val/editing_loss"
    rows = found.rows().to_pylist()
    assert [row["data.size"] for row in rows] == ["20", "60", "3130", "90"]
    assert [row["best val/editing_loss"] for row in rows] == [1.0, 1.5, None, 0.5]
    assert rows[0]["step of best val/editing_loss"] == 20
    assert rows[0]["val/editing_loss"] == 2.0  # the last one
    assert rows[2]["problem"] == "failed: lower data.size to 92"
    file = io.StringIO()
    Terminal(file=file, width=30).print(found.table())
    assert "failed: lower data.size to 92" in file.getvalue()
    assert "…" not in file.getvalue()


def test_the_csv_keeps_full_precision(sweep: Path, tmp_path: Path):
    training(tmp_path / "other", ["seed=2"], [0.123456789012])
    path = compare([sweep, tmp_path / "other"]).save(tmp_path / "out")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["val/editing_loss"]) == 0.123456789012
    assert [row["run"] for row in rows] == ["0", "1", "2", "10", "other"]


def test_evaluations_are_compared_pair_by_pair(tmp_path: Path):
    pairs = [f"p{number}" for number in range(50)]
    first = evaluation(tmp_path / "a", {pair: 10.0 + n for n, pair in enumerate(pairs)})
    second = evaluation(tmp_path / "b", {pair: 9.0 + n + 0.01 * (n % 3) for n, pair in enumerate(pairs[5:], 5)})
    found = compare([first, second])
    apart = found.against_first["b", "error"]
    assert -1.0 <= apart.low <= apart.estimate <= apart.high < -0.95  # the pairs' own spread cancels
    assert "checkpoint" in found.settings


def test_a_value_that_no_run_has(sweep: Path):
    with pytest.raises(ValueError, match=r"no run has val/typo; they have .*train/loss"):
        compare([sweep], ["val/typo"])


def test_what_is_no_run(tmp_path: Path):
    (tmp_path / "somewhere").mkdir()
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="is no run of ip2p train"):
            compare([path])
    with pytest.raises(ValueError, match="nothing to compare"):
        compare([])


def test_names_are_as_short_as_they_can_be():
    assert short_names(["/a/x/0", "/a/y/0", "/a/y/1"]) == ["x/0", "y/0", "y/1"]
    assert short_names(["/a/x/0"]) == ["0"]
    assert short_names(["/a/x/c/last.ckpt", "/a/y/c/last.ckpt"]) == ["x", "y"]
    assert short_names(["a", "a"]) == ["a", "a"]
    assert short_names([]) == []
