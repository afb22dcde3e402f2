"""Every study of `experiments/`: small, documented, composed at each size, run at size tiny."""

from __future__ import annotations

import csv
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from ip2p_lightning.studies import Study
from ip2p_lightning.studies.execution import needed, ordered
from ip2p_lightning.studies.study import SIZES, Options

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "experiments").glob("*.py"))}


@cache
def study(name: str) -> Study:
    return runpy.run_path(str(FILES[name]))["STUDY"]


def options(size: str) -> Options:
    return Options(size=size, train="data.path=pairs" if size == "paper" else "", base="")


def test_all_that_the_papers_show_is_there() -> None:
    assert set(FILES) == {
        *("ip2p_figure4", "ip2p_figure8", "ip2p_figure9", "ip2p_figure10", "ip2p_conditioning_dropout"),
        *("mgie_zero_shot", "mgie_fine_tuned", "mgie_expressive", "mgie_visual_tokens", "mgie_latency", "lgie_mgie"),
        "zoo_choices",  # ours
    }


@pytest.mark.parametrize("name", FILES)
def test_a_study_is_a_small_file_and_told_of(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    assert study(name).name == name
    assert f"experiments/{name}.py" in (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", SIZES)
def test_names_are_unique_and_labels_tell_runs_apart(name: str, size: str) -> None:
    runs = ordered(list(study(name).runs(options(size))))
    shown = [run for run in runs if run.rows]
    assert shown
    rows = [str(sorted(labels.items())) for run in shown for labels in run.rows.values()]
    assert len(set(rows)) == len(rows) == len({name for run in shown for name in run.rows})
    assert len(needed(runs, shown)) >= len(shown)


def test_one_name_is_one_run_in_all_studies() -> None:
    for size in SIZES:
        known: dict[str, tuple[str, ...]] = {}
        for name in FILES:
            for run in study(name).runs(options(size)):
                assert known.setdefault(run.name, run.overrides) == run.overrides, run.name


@pytest.mark.slow  # a third of a second each
@pytest.mark.parametrize("name", FILES)
def test_every_form_of_run_composes_at_every_size(name: str, tmp_path: Path) -> None:
    for size in SIZES:
        seen = set()
        for run in study(name).runs(options(size)):
            form = (run.job, *(re.sub(r"=(.*/)?[\d.]+$|<.*>", "", word) for word in run.overrides))
            if form not in seen:
                assert run.fault(tmp_path) == "", run.name
            seen.add(form)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all studies, which share runs."""
    return tmp_path_factory.mktemp("studies")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
@pytest.mark.parametrize("name", FILES)
def test_a_study_runs_at_size_tiny(name: str, shared_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = study(name).main([f"folder={shared_folder}"])
    with (shared_folder / "tiny" / name / "table.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    gaps = {row["run"] for row in rows if row["gap"] and not row["gap"].startswith("the run did not measure")}
    assert not gaps, capsys.readouterr().out
    assert code == 0
    assert any(row["value"] for row in rows)
    assert list((shared_folder / "tiny" / name).glob("*.svg"))
