"""The whole quickstart, tiny: its files, its page, and that a second start repeats nothing."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning.config import compose
from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.jobs import quickstart, quickstart_page
from ip2p_lightning.jobs.phases import Phases

TINY = [
    "size=32",
    "training_data.batch_size=4",
    "sets.scenes.sources.train.count=16",
    "sets.scenes.sources.validation.count=4",
    "sets.scenes.sources.test.count=8",
    "sets.scenes.show=3",
    "sets.combinations.sources.test.count=4",
    "sets.photographs.sources.train.count=8",
    "sets.photographs.sources.test.count=6",
    "sets.photographs.show=2",
    "runs.ip2p.experiment=ip2p/tiny",
    "runs.mgie.experiment=mgie/tiny",
    "runs.mgie.overrides=[]",
    "precision=32-true",
    "calibration_steps=2",
    "workers=0",
    "start=nothing",
    "~beside.instruct_pix2pix",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart")
    quickstart.run(compose("quickstart", [*TINY, f"folder={folder}"]))
    return folder


def phases_of(folder: Path, config: DictConfig) -> Phases:
    """What a finished quickstart has recorded."""
    settings = json.loads((folder / "phases.json").read_text())["settings"]
    return Phases(folder, settings, 6, Console(quiet=True))


@pytest.mark.slow
def test_leaves_the_page_the_figures_and_the_grid(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 4 * (3 + 2)
    assert "shipped MGIE" in page
    assert "scenes it has never seen" in page
    assert "instruction loss" in page
    figures = json.loads((folder / "metrics.json").read_text())
    assert [phase["name"] for phase in figures["phases"]][:3] == ["render pairs", "train InstructPix2Pix", "train MGIE"]
    assert figures["training"]["train MGIE"]["steps"] == 8
    assert figures["evaluations"]["scenes"]["pairs"] == 8
    assert (folder / "grid.png").stat().st_size > 1000
    scenes = EvaluationResult.load(folder / "evaluation" / "scenes")
    assert len(scenes.examples) == 3
    assert scenes.provenance["checkpoint"].endswith("mgie/checkpoints/last.ckpt")
    shipped = EvaluationResult.load(folder / "beside" / "mgie" / "scenes")
    assert shipped.rows.column("pair").to_pylist() == scenes.rows.column("pair").to_pylist()
    assert figures["beside"]["scenes"]["shipped MGIE"]["pairs"] == 8


@pytest.mark.slow
def test_a_second_start_repeats_nothing_but_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [*folder.glob("pairs/*/*"), *folder.glob("*/checkpoints/last.ckpt"), *folder.glob("evaluation/*/rows.csv")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert len(before) > 6
    (folder / "report.html").unlink()
    quickstart.run(compose("quickstart", [*TINY, f"folder={folder}", "minutes=3"]))
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert (folder / "report.html").is_file()
    printed = capsys.readouterr().out
    assert printed.count("done before") == 5
    assert 'scene="a yellow tent' in printed
    assert "evaluation/scenes/pictures/examples-000-original.png" in printed


@pytest.mark.slow
def test_another_recipe_is_refused_in_the_same_folder(folder: Path) -> None:
    with pytest.raises(ValueError, match="other settings \\(seed"):
        quickstart.run(compose("quickstart", [*TINY, f"folder={folder}", "seed=5"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [(["start=anew"], "start=anew must be one of shipped"), (["+beside.lion=A lion"], "the zoo has no 'lion'")],
)
def test_what_is_wrong_is_said_before_anything_is_rendered(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quickstart.run(compose("quickstart", [*words, f"folder={tmp_path / 'new'}"]))
    assert not (tmp_path / "new").exists()


def test_the_real_quickstart_composes(tmp_path: Path) -> None:
    config = compose("quickstart", [f"folder={tmp_path}"])
    assert list(config.runs) == ["ip2p", "mgie"]
    assert config.minutes <= 10
    assert str(quickstart_page.last_checkpoint(config)) == f"{tmp_path}/mgie/checkpoints/last.ckpt"
    assert config.runs.mgie.overrides == [f"base={tmp_path}/ip2p/checkpoints/last.ckpt"]


@pytest.mark.slow
def test_the_commands_of_the_page_compose_and_those_that_edit_run(folder: Path, ip2p) -> None:
    config = compose("quickstart", [*TINY, f"folder={folder}"])
    results = [EvaluationResult.load(folder / "evaluation" / name) for name in config.sets]
    edits = quickstart_page.commands_to_edit(config, results)
    for command in [*edits, *quickstart_page.commands_to_go_on(config, phases_of(folder, config))]:
        program, job, *words = shlex.split(command.line)
        assert program == "ip2p"
        compose(job, words)
    for command in edits[:2]:
        ip2p(*shlex.split(command.line)[1:])
    assert {"own.png", "held-out.png"} <= {path.name for path in (folder / "edited").iterdir()}


def test_texts_of_any_kind_come_through_the_shell_and_the_configuration(tmp_path: Path) -> None:
    for text in ("make it winter", "make the dog's ears red, please", 'say "no"', "50 % more (at least)", "a=b"):
        word = quickstart_page.override("instruction", text)
        assert compose("edit", shlex.split(word)).instruction == text


def test_the_machine_in_words() -> None:
    assert "core" in quickstart_page.machine()
    assert quickstart_page.machine().endswith("GiB of memory")


@pytest.mark.slow
def test_more_minutes_train_the_rest_of_a_shortened_recipe(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a machine that had time for half of it: the first run goes on, the second begins again with its weights."""
    place = tmp_path / "quickstart"
    shutil.copytree(folder, place)
    text = (place / "phases.json").read_text().replace(str(folder), str(place))
    record = json.loads(text)
    for phase in record["phases"]:
        if "fitted" in phase["facts"]:
            phase["facts"]["fitted"]["share_of_steps"] = 0.5
            phase["facts"]["fitted"]["stages"] = dict.fromkeys(phase["facts"]["fitted"]["stages"], 4)
    (place / "phases.json").write_text(json.dumps(record))
    config = compose("quickstart", [*TINY, f"folder={place}", "minutes=60", "longer=2"])
    record["settings"]["longer"] = 2
    (place / "phases.json").write_text(json.dumps(record))
    before = quickstart_page.machine_share(config, phases_of(place, config))
    assert before.startswith("This machine had time for 50% of InstructPix2Pix's and 50% of MGIE's training steps; ")
    assert f"folder={place} goes on to all of them" in before
    quickstart.run(config)
    assert "This machine had time for all steps of the recipe." in capsys.readouterr().out
    trained = {phase.name: phase.facts for phase in phases_of(place, config).all()}
    assert [trained[name]["steps"] for name in ("train InstructPix2Pix", "train MGIE")] == [16, 16]
    assert "This machine had time for all steps of the recipe. On scenes" in (place / "report.html").read_text()
    assert len(list((place / "ip2p").glob("metrics*"))) == 2, "the first went on"
    assert len(list((place / "mgie").glob("metrics*"))) == 1, "the second began again"


def test_the_page_of_slower_machines_names_the_figure_of_the_readme(tmp_path: Path) -> None:
    config = compose("quickstart", [f"folder={tmp_path}"])
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert f"| new scenes | 256 | {config.sets.scenes.reached} (" in readme
