"""A study from its command line: what it leaves, what it says is missing, where it reads results from."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ip2p_lightning.evaluation.run_values import read_values
from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Run, Study, Table
from ip2p_lightning.studies.drawing import draw_dots
from ip2p_lightning.studies.study import Options, parse

Make = Callable[..., Run]


def draw(table: Table) -> dict[str, Figure]:
    figure, (axes,) = new_figure()
    draw_dots(axes, table, "error", "editor", "seed")
    return {"figure": figure}


@pytest.fixture(scope="module")
def study(evaluation: Make) -> Study:
    def runs(options: Options) -> list[Run]:
        return [evaluation("truth"), evaluation("copy", "copy_input"), evaluation("none", "not_there")]

    def claims(table: Table):
        yield table.compare("the truth is nearer", "error", {"editor": "truth"}, {"editor": "copy_input"})
        yield table.compare("the missing one is nearer", "error", {"editor": "not_there"}, {"editor": "truth"})

    return Study("a_study", "What it is.", runs, draw, ("error",), claims)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


def lines(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "tiny" / "a_study" / "table.csv").open(newline="") as handle:
        return {line["run"]: line for line in csv.DictReader(handle)}


def test_it_runs_draws_and_names_its_gaps(study: Study, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main([f"folder={folder}", "log=project"]) == 1
    told = capsys.readouterr().out
    assert "- **undecided**: the truth is nearer (error: 0 against " in told
    assert "- **not known**: the missing one is nearer" in told
    assert "- **missing**: none: there is no 'editor/not_there'" in told
    found = lines(folder)
    assert (found["truth"]["value"], found["truth"]["gap"]) == ("0", "")
    assert float(found["copy"]["value"]) > 0
    assert found["none"]["value"] == ""
    assert "editor/not_there" in found["none"]["gap"]
    made = sorted(path.name for path in (folder / "tiny" / "a_study").iterdir())
    assert made == ["claims.md", "figure.png", "figure.svg", "report.html", "table.csv"]
    page = (folder / "tiny" / "a_study" / "report.html").read_text()
    assert "What it is" in page
    assert "the truth is nearer (error: 0 against " in page
    assert "there is no &#39;editor/not_there&#39;" in page
    assert page.count("<td>missing</td>") == 1


def test_it_reads_the_same_from_wandb_s_files(study: Study, folder: Path, tmp_path: Path) -> None:
    before = lines(folder)
    assert study.main([f"folder={tmp_path}", f"read=wandb:{folder / 'tiny'}"]) == 1
    after = lines(tmp_path)
    assert not (tmp_path / "tiny" / "runs").exists()
    assert {run: line["value"] for run, line in after.items()} == {run: line["value"] for run, line in before.items()}
    assert "no finished run" in after["none"]["gap"]


def test_it_draws_what_is_there_and_runs_nothing(study: Study, tmp_path: Path) -> None:
    assert study.main([f"folder={tmp_path}", "run=false"]) == 1
    assert [line["gap"] for line in lines(tmp_path).values()][:2] == ["it was never run"] * 2
    assert not (tmp_path / "tiny" / "runs").exists()


def test_it_says_what_it_would_do(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main([f"folder={tmp_path}", "plan=true"]) == 0
    assert capsys.readouterr().out.count("ip2p evaluate ") == 3
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_key(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("What it is.")
    assert all(f"  {name}=" in told for name in vars(Options()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["siez=tiny"], "'siez=tiny' is no option; write key=value with one of size, folder"),
        (["tiny"], "'tiny' is no option"),
        (["size=huge"], "size=huge does not exist; choose one of tiny, world, paper"),
        (["processes=many"], "processes"),
    ],
)
def test_wrong_words_are_answered(
    study: Study, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study.main(words) == 2
    assert message in capsys.readouterr().err


def test_options_have_their_types() -> None:
    options = parse(["processes=2", "run=false", "train=trainer.devices=4 seed=1"])
    assert (options.processes, options.run, options.train) == (2, False, "trainer.devices=4 seed=1")


def test_a_training_s_values_are_its_last(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "metrics.csv").write_text("step,train/loss,val/loss\n1,5,\n2,4,\n2,,3\n")
    found = {name: value.estimate for name, value in read_values(tmp_path).items()}
    assert found == {"step": 2, "train/loss": 4, "val/loss": 3}
    with pytest.raises(FileNotFoundError, match="neither an evaluation"):
        read_values(tmp_path / "metrics")


def test_each_point_of_a_sweep_is_a_row_and_other_points_are_gaps(tmp_path: Path) -> None:
    points = [{"editor": "ours", "setting": 1.0}, {"editor": "ours", "setting": 1.5}]
    run = Run("sweep", "tradeoff", ("checkpoint=none", "data=world_tiny"), points=tuple(points))
    study = Study("a_sweep", "What it is.", lambda options: [run], lambda table: {}, ("error", "kept"))
    never = study.table([run], Options(folder=str(tmp_path), run=False))
    assert [(row.run, row.labels["setting"], row.gap) for row in never.rows] == [
        ("sweep/ours-1.0", 1.0, "it was never run"),
        ("sweep/ours-1.5", 1.5, "it was never run"),
    ]
    folder = tmp_path / "tiny" / "runs"
    run.begin(folder)
    lines = ["sweep,curve,error,error_low,error_high,kept", "ours,ours,3.5,3,4,1", "ours,ours,2,,,1"]
    (folder / "sweep" / "points.csv").write_text("\n".join(lines))
    run.end(folder)
    done = study.table([run], Options(folder=str(tmp_path), run=False))
    assert [row.values["error"].estimate for row in done.rows] == [3.5, 2.0]
    assert (done.rows[0].values["error"].low, math.isnan(done.rows[1].values["error"].low)) == (3.0, True)
    assert not done.gaps
    less = replace(run, points=tuple(points[:1]))
    (gap,) = study.table([less], Options(folder=str(tmp_path), run=False)).gaps
    assert gap.gap == "it measured 2 points, where the study has 1"
