"""Figures are paired, honest about few pairs, and turn into strict JSON."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.evaluation.figures import Figure, IntervalSettings, MetricInfo, figures_by_kind, table_figures
from ip2p_lightning.metrics import Interval

pytestmark = pytest.mark.numeric

ERROR = {"error": MetricInfo("error", "/255", higher_is_better=False)}


def table(ours: list[float], copying: list[float], kinds: list[str] | None = None) -> pa.Table:
    pairs = [f"p{i}" for i in range(len(ours))]
    columns = {"pair": pairs, "group": ["g"] * len(ours), "kind": kinds or ["add"] * len(ours)}
    return pa.table(columns | {"error": ours, "copying_error": copying})


def test_differences_are_paired() -> None:
    spread = np.linspace(1, 100, 20)
    figure = table_figures(table((spread - 1).tolist(), spread.tolist()), ERROR, IntervalSettings())["error"]
    assert figure.difference is not None
    assert figure.difference.low == pytest.approx(figure.difference.high)  # each pair gains exactly 1
    assert figure.ours.high - figure.ours.low > 20
    assert figure.verdict == "better"


def test_verdict_follows_the_direction_of_the_metric() -> None:
    rows = table([3.0] * 8, [2.0] * 8)
    worse = table_figures(rows, ERROR, IntervalSettings())["error"]
    better = table_figures(rows, {"error": MetricInfo("e", higher_is_better=True)}, IntervalSettings())["error"]
    neither = table_figures(rows, {"error": MetricInfo("e")}, IntervalSettings())["error"]
    assert (worse.verdict, better.verdict, neither.verdict) == ("worse", "better", None)


def test_few_pairs_and_one_group_decide_nothing() -> None:
    few = table_figures(table([3.0] * 5, [2.0] * 5), ERROR, IntervalSettings())["error"]
    assert few.verdict == "undecided"
    grouped = table_figures(table([3.0] * 50, [2.0] * 50), ERROR, IntervalSettings(grouped_by="group"))["error"]
    assert grouped.ours.groups == 1
    assert grouped.verdict == "undecided"


def test_by_kind_splits_the_rows() -> None:
    rows = table([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], ["b", "a", "b"])
    kinds = figures_by_kind(rows, ERROR, IntervalSettings(resamples=50))
    assert list(kinds) == ["a", "b"]
    assert kinds["b"]["error"].ours.estimate == 2
    assert kinds["a"]["error"].ours.values == 1


def test_metrics_without_values_are_left_out_and_nan_becomes_null() -> None:
    assert table_figures(table([float("nan")] * 3, [1.0] * 3), ERROR, IntervalSettings()) == {}
    nothing = Figure(Interval(float("nan"), float("nan"), float("nan"), 0, 0))
    assert json.loads(json.dumps(nothing.plain(), allow_nan=False))["ours"]["estimate"] is None


def test_kinds_of_a_real_evaluation(scene_result: EvaluationResult) -> None:
    assert sum(figures["error"].ours.values for figures in scene_result.kinds.values()) == 40
    assert scene_result.figures["text_exact"].ours.estimate == pytest.approx(
        np.mean([row["text_exact"] for row in scene_result.rows.to_pylist()])
    )
    assert "text_exact" not in {k for k in scene_result.figures if scene_result.figures[k].copying}


def test_differences_of_the_size_of_rounding_decide_nothing() -> None:
    copying = [10.0 + 0.1 * i for i in range(20)]
    figure = table_figures(table([v * (1 - 1e-9) for v in copying], copying), ERROR, IntervalSettings())["error"]
    assert figure.verdict == "undecided"
