"""ip2p evaluate on a trained tiny checkpoint: what it leaves, what it prints, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ip2p_lightning.config import compose
from ip2p_lightning.jobs import evaluate
from ip2p_lightning.jobs.train import train


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    config = compose(
        "train", ["experiment=ip2p/tiny", f"output_dir={folder}", "~callbacks.pictures", "~callbacks.summary"]
    )
    trained = train(config)
    assert trained.checkpoint is not None
    return trained.checkpoint


def overrides(checkpoint: Path, output: Path, *more: str) -> list[str]:
    return [f"checkpoint={checkpoint}", f"output={output}", "data=world_tiny", "device=cpu", "steps=1", *more]


def test_leaves_tables_pictures_and_a_page(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "evaluation"
    evaluate.run(compose("evaluate", overrides(checkpoint, output, "seeds=[1,2]", "show=2")))
    names = {path.name for path in output.iterdir()}
    assert names == {"rows.parquet", "rows.csv", "summary.json", "pictures", "grid.png", "report.html"}
    summary = json.loads((output / "summary.json").read_text())
    assert summary["provenance"]["checkpoint"] == str(checkpoint)
    assert summary["provenance"]["sampling"] == {"steps": 1}
    assert summary["provenance"]["seeds"] == [1, 2]
    assert (summary["pairs"], summary["rows"]) == (4, 8)
    with (output / "rows.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    printed = capsys.readouterr().out
    assert "4 pairs, 8 edits" in printed
    assert "report.html" in printed


def test_the_result_does_not_depend_on_the_batch_size(checkpoint: Path, tmp_path: Path) -> None:
    for size in (1, 4):
        evaluate.run(compose("evaluate", overrides(checkpoint, tmp_path / str(size), f"batch_size={size}", "show=0")))
    one, four = (json.loads((tmp_path / str(size) / "summary.json").read_text())["figures"] for size in (1, 4))
    assert one["error"]["ours"]["estimate"] == pytest.approx(four["error"]["ours"]["estimate"], abs=0.02)
    assert one["error"]["copying"] == four["error"]["copying"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["count=9"], ValueError, "count=9 but there are 4 pairs"),
        (["split=future"], ValueError, "no future pairs, only train, validation, test"),
        (["seeds=[]"], ValueError, "seeds"),
        (["checkpoint=missing.ckpt"], FileNotFoundError, "missing.ckpt"),
        (["data=shards", "data.path=nowhere"], FileNotFoundError, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_named(
    checkpoint: Path, tmp_path: Path, words: list[str], error: type[Exception], message: str
) -> None:
    base = [
        word for word in overrides(checkpoint, tmp_path) if word.split("=")[0] not in {w.split("=")[0] for w in words}
    ]
    with pytest.raises(Exception, match=message) as caught:
        evaluate.run(compose("evaluate", [*base, *words]))
    assert isinstance(caught.value, error) or isinstance(caught.value.__cause__, error)
    assert not any(tmp_path.iterdir())
