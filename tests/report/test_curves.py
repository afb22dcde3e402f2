"""Loss curves from files as Lightning writes them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger

from ip2p_lightning.report.curves import Curve, curve_svg, read_curves, smoothed

pytestmark = pytest.mark.numeric


@pytest.fixture
def metrics_csv(tmp_path: Path) -> Path:
    logger = CSVLogger(tmp_path, name="", version="")
    for step in range(0, 100, 10):
        logger.log_metrics({"train/loss": 3.0, "train/editing_loss": 1 / (step + 1), "lr": 0.1}, step)
        if step % 50 == 0:
            logger.log_metrics({"val/editing_loss": 0.5}, step)
    logger.log_metrics({"train/editing_loss": float("nan")}, 100)
    logger.save()
    return tmp_path / "metrics.csv"


def test_losses_are_found_and_the_sum_left_out(metrics_csv: Path) -> None:
    train, held_out = read_curves(metrics_csv)
    assert (train.name, train.held_out, len(train.steps)) == ("editing loss", False, 10)
    assert train.values[0] == 1
    assert (held_out.name, held_out.held_out, held_out.steps) == ("editing loss", True, (0, 50))


def test_a_resumed_run_is_one_curve(metrics_csv: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.csv"
    later.write_text("step,train/editing_loss\n60,0.9\n110,0.8\n")
    train = read_curves(metrics_csv, later)[0]
    assert train.steps == (0, 10, 20, 30, 40, 50, 60, 110)
    assert train.values[-2:] == (0.9, 0.8)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="logger=csv"):
        read_curves(tmp_path / "metrics.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column 'step'"):
        read_curves(tmp_path / "other.csv")


def test_smoothing_keeps_constants_lines_and_length() -> None:
    assert np.allclose(smoothed([2.0] * 7, 3), 2)
    line = np.arange(20.0)
    assert np.allclose(smoothed(line.tolist(), 5)[2:-2], line[2:-2])
    assert len(smoothed([1.0], 9)) == 1


@pytest.mark.parametrize("values", [(1.0, 0.1, 0.01, 0.001), (1.0, 0.0, -1.0, 2.0), (0.5,) * 4, (1e-9, 1e3, 1.0, 5.0)])
def test_svg_is_well_formed_and_stays_inside(values: tuple[float, ...]) -> None:
    picture = curve_svg(Curve("a <loss> & more", (0, 10, 20, 30), values), Curve("b", (15, 30), (0.4, 0.3), True))
    root = ET.fromstring(str(picture))
    assert "a <loss> & more" in (root.findtext("title") or "")
    for path in root.iter("path"):
        points = np.array([[float(x) for x in point.split(",")] for point in path.attrib["d"][1:].split("L")])
        assert np.isfinite(points).all()
        assert (points >= 0).all()
        assert (points <= [420, 190]).all()
    assert len(list(root.iter("circle"))) == 2
