"""ip2p evaluate on a trained tiny checkpoint: what it leaves, what it prints, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ip2p_lightning.config import compose
from ip2p_lightning.data.sources.world import WorldSource
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
    return [
        f"checkpoint={checkpoint}",
        f"output={output}",
        "data=world_tiny",
        "device=cpu",
        "steps=1",
        "intervals.resamples=100",
        *more,
    ]


def test_leaves_tables_pictures_and_a_page(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "evaluation"
    evaluate.run(compose("evaluate", overrides(checkpoint, output, "seeds=[1,2]", "show=2")))
    names = {path.name for path in output.iterdir()}
    files = {"rows.parquet", "rows.csv", "summary.json", "settings.json", "grid.png", "report.html"}
    assert names == {*files, "pictures", "figures"}
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


def test_other_editors_need_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["data=world_benchmark", "data.test.count=1", "data.test.size=16", "show=1", "device=cpu"]
    base += ["intervals.resamples=50"]
    for editor in ("truth", "copy_input"):
        evaluate.run(compose("evaluate", [f"editor={editor}", f"output={tmp_path / editor}", *base]))
    summaries = {name: json.loads((tmp_path / name / "summary.json").read_text()) for name in ("truth", "copy_input")}
    assert summaries["truth"]["figures"]["error"]["ours"]["estimate"] == 0
    assert summaries["copy_input"]["figures"]["relative"]["ours"]["estimate"] == 1
    assert summaries["truth"]["provenance"]["editor"] == "Truth"
    assert summaries["truth"]["provenance"]["software"]["torch"]
    assert set(summaries["truth"]["probes"]) > {"counting", "places", "needs the image"}
    page = (tmp_path / "truth" / "report.html").read_text()
    assert "Truth on held-out pairs of world benchmark" in page
    assert summaries["truth"]["provenance"]["data"]["fingerprint"] in page
    assert not (tmp_path / "truth" / "unfinished").exists()


def test_outputs_of_another_system_are_scored_with_their_gaps(tmp_path: Path) -> None:
    source = WorldSource(4, size=32, split="test")
    for index in range(3):
        pair = source[index]
        pair.edited_image.save(tmp_path / f"{pair.id}.png")  # type: ignore[union-attr]
    words = ["editor=outputs", f"editor.path={tmp_path}", "data=world_tiny", "device=cpu", f"output={tmp_path / 'out'}"]
    words += ["intervals.resamples=50"]
    with pytest.raises(ValueError, match="1 of 4 pairs have no output"):
        evaluate.run(compose("evaluate", words))
    evaluate.run(compose("evaluate", [*words, "editor.missing=gap"]))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["pairs"] == 3
    assert summary["figures"]["error"]["ours"]["estimate"] == 0
    assert summary["provenance"]["answered"]["gaps"] == [source[3].id]


@pytest.mark.slow
def test_two_processes_write_the_files_of_one(checkpoint: Path, tmp_path: Path) -> None:
    for devices in (1, 2):
        words = overrides(checkpoint, tmp_path / str(devices), f"devices={devices}", "batch_size=1", "show=2")
        evaluate.run(compose("evaluate", words))
    one, two = (tmp_path / name for name in ("1", "2"))
    assert (one / "rows.csv").read_bytes() == (two / "rows.csv").read_bytes()
    assert {path.name for path in two.iterdir()} - {path.name for path in one.iterdir()} == {"rank-1.log"}
    figures = [json.loads((folder / "summary.json").read_text())["figures"] for folder in (one, two)]
    assert figures[0] == figures[1]
    for name in ("examples-000-edited.png", "worst-000-edited.png"):
        assert (one / "pictures" / name).read_bytes() == (two / "pictures" / name).read_bytes()


def test_missing_attributes_are_an_error_or_a_gap(tmp_path: Path) -> None:
    words = ["editor=copy_input", "data=photos", "data.test.count=2", "data.test.size=32", f"output={tmp_path}"]
    words += ["metrics=world", "intervals.resamples=50", "device=cpu"]
    words += [f"metrics.metrics.{name}=null" for name in ("clip_direction", "clip_input", "clip_i", "clip_t")]
    with pytest.raises(ValueError, match=r"attributes.*lack.*missing=gap"):
        evaluate.run(compose("evaluate", words))
    evaluate.run(compose("evaluate", [*words, "missing=gap"]))  # nothing was measured before: the folder is free
    figures = json.loads((tmp_path / "summary.json").read_text())["figures"]
    assert "success" not in figures
    assert figures["error"]["ours"]["values"] == 2


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["count=9"], ValueError, "count=9 but there are 4 pairs"),
        (["split=future"], ValueError, "split=future must be one of train, validation, test"),
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
