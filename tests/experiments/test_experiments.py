"""Every study of `experiments/`: small, documented, composed at each size, run at size tiny."""

from __future__ import annotations

import csv
import re
import runpy
from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig

from ip2p_lightning.config import compose
from ip2p_lightning.studies import Run, Study
from ip2p_lightning.studies.execution import needed, ordered
from ip2p_lightning.studies.recipes import PAPER_SIDE
from ip2p_lightning.studies.study import SIZES, Options
from ip2p_lightning.studies.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "experiments").glob("*.py"))}


@cache
def study(name: str) -> Study:
    return runpy.run_path(str(FILES[name]))["STUDY"]


def options(size: str) -> Options:
    return Options(size=size)


def test_all_that_the_papers_show_is_there() -> None:
    assert set(FILES) == {
        *("ip2p_figure4", "ip2p_figure8", "ip2p_figure9", "ip2p_figure10", "ip2p_conditioning_dropout"),
        *("mgie_zero_shot", "mgie_fine_tuned", "mgie_expressive", "mgie_visual_tokens", "mgie_latency", "lgie_mgie"),
        "zoo_choices",  # ours
    }


@pytest.mark.parametrize("name", FILES)
def test_a_study_is_a_small_file_and_told_of(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) < 125
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


def composed(run: Run) -> DictConfig:
    words = [re.sub(r"<.*>", "x", word) for word in run.overrides]
    return compose(run.job, words)


@pytest.mark.slow
def test_tuning_and_measuring_take_the_task_s_own_pairs_at_size_paper() -> None:
    """Whatever the options for all runs say, also by the way that used to name the general pairs."""
    given = Options(
        size="paper", pairs="general", train="data.path=other trainer.devices=8", evaluate="data.path=other"
    )
    general = set()
    for run in {
        run.name: run for name in ("mgie_fine_tuned", "mgie_zero_shot") for run in study(name).runs(given)
    }.values():
        if "-0" not in run.name:
            continue  # one seed is like another
        config = composed(run)
        task = next((task for task in TASKS if run.name.endswith(f"/{task.title}")), None)
        if task is None:
            general.add(config.data.path)
            continue
        assert config.data.path == list(task.folders), run.name
        if run.job == "evaluate":
            assert (config.data.transform.resolution, config.data.transform.fit) == (512, "centre_crop")
        else:
            assert config.trainer.devices == 8
    assert general == {"other"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_all_measuring_at_size_paper_is_at_512_px(name: str) -> None:
    seen = set()
    for run in study(name).runs(Options(size="paper", pairs="general")):
        form = re.sub(r"\d", "", run.name)
        if run.job in ("evaluate", "tradeoff") and form not in seen:
            seen.add(form)
            config = composed(run)
            assert config.data.transform.resolution == PAPER_SIDE == 512
            assert config.data.path != "???"


@pytest.mark.slow
def test_the_arms_of_figure_10_learn_from_different_data_and_are_swept() -> None:
    runs = study("ip2p_figure10").runs(Options(size="paper", pairs="filtered", unfiltered="random"))
    trained = {run.name: composed(run) for run in runs if run.job == "train" and run.name.endswith("-0")}
    assert {config.data.path for name, config in trained.items() if "filtered" in name} == {"filtered"}
    assert {config.data.path for name, config in trained.items() if "-all-" in name} == {"random"}
    assert {config.data["size"] for config in trained.values()} == {0.01, 0.1, 1.0}
    assert {(config.data.min_scores, config.data.size_of) for config in trained.values()} == {(None, "group")}
    curve = composed(next(run for run in runs if run.job == "tradeoff"))
    assert (curve.x, curve.y) == ("clip_direction", "clip_input")
    assert curve.metrics.shared.clip.name == "ViT-L-14-quickgelu"
    assert list(curve.image_scales) == [1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2]
    assert curve.data.path == "filtered"


@pytest.mark.slow
def test_figure_9_paints_with_the_published_text2live_at_size_paper() -> None:
    runs = study("ip2p_figure9").runs(Options(size="paper"))
    editor = composed(next(run for run in runs if run.name.endswith("text2live"))).editor
    assert (editor.steps, editor.views, editor.width, editor.scales, editor.resolution) == (1000, 16, 128, 7, 512)
    assert editor.encoder == {
        "_target_": "ip2p_lightning.editors.text2live.OpenClip.from_pretrained",
        "name": "ViT-B-32-quickgelu",
        "pretrained": "openai",
    }


@pytest.mark.slow
def test_tuning_at_size_paper_is_not_the_whole_recipe() -> None:
    runs = {run.name: run for run in study("mgie_fine_tuned").runs(Options(size="paper"))}
    ip2p, mgie = (composed(runs[f"train/tuned/{family}-0/objects"]) for family in ("ip2p", "mgie"))
    assert (ip2p.stages[0].max_steps, ip2p.stages[0].warmup) == (2000, 1000)
    assert ip2p.stages[0].trainable["denoiser.*"].lr == 5e-5
    assert mgie.trainer.max_epochs == 4


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
