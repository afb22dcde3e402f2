"""A training by its checkpoints: models whose faults are known, and files of a real run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from factories import WORLD, quiet_trainer, tiny_loader, tiny_module

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.by_checkpoint import by_checkpoint, checkpoints_of
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.provenance import digest
from ip2p_lightning.metrics.strength import ChangeFromInput, TrueChange

pytestmark = pytest.mark.numeric

PAIRS = WorldSource(8, 16)
SETTINGS = {"x": "true", "y": "change", "text_scales": [1.0], "image_scales": [1.0, 1.5], "steps": 2}
METRICS = {"true": TrueChange(), "change": ChangeFromInput()}
FEW = IntervalSettings(resamples=50)


def editor(residual: float) -> TrainedEditor:
    """With zero output beside the residual: 1 copies the original's latents, 0 makes grey of everything."""
    module = tiny_module(WORLD)
    module.denoiser.residual = residual
    module.sampler.guidance = module.sampler.guidance.with_scales(1.0, 1.0)
    return TrainedEditor(module)


def test_a_model_that_copies_and_one_that_does_not_look() -> None:
    editors = {Path("a"): editor(1.0), Path("b"): editor(0.5), Path("c"): editor(0.0)}
    steps = {10: Path("a"), 20: Path("b"), 30: Path("c")}
    done: list[int] = []
    options = {"batch_size": 4, "intervals": FEW, "on_checkpoint": done.append}
    course = by_checkpoint({"a": steps}, editors.__getitem__, PAIRS, METRICS, **SETTINGS, **options).runs["a"]
    copying, half, blind = course.checkpoints
    assert done == [10, 20, 30]
    assert [one.source_dependence.estimate for one in course.checkpoints] == pytest.approx([1.0, 0.5, 0.0], abs=0.02)
    assert copying.copied.estimate == 1
    assert blind.copied.estimate < 1
    assert half.text_dependence.estimate == 0
    assert copying.source_dependence.values == 8


def test_the_best_checkpoint_and_whether_the_last_is_worse(tmp_path: Path) -> None:
    editors = {Path("good"): editor(0.2), Path("late"): editor(1.0)}
    turned = {1: Path("late"), 2: Path("good")}
    both = {"late": {1: Path("good"), 2: Path("late")}, "right": turned}
    courses = by_checkpoint(both, editors.__getitem__, PAIRS, METRICS, **SETTINGS, intervals=FEW)
    late, right = courses.runs.values()
    assert late.best == 1
    assert late.lost is not None
    assert late.lost.estimate < 0
    assert "step 1 is better than the last (step 2)" in late.verdict
    assert (right.best, right.lost) == (2, None)
    assert right.verdict == "the last checkpoint (step 2) is the best of 2"
    courses.save(tmp_path)
    header, *lines = (tmp_path / "checkpoints.csv").read_text().splitlines()
    assert header.startswith('"run","step","dominated","dominated_low"')
    assert len(lines) == 4


def test_runs_are_compared_on_the_same_pairs() -> None:
    editors = {Path("good"): editor(0.2), Path("poor"): editor(1.0), Path("blind"): editor(0.0)}
    runs = {"poor": {5: Path("poor")}, "good": {3: Path("blind"), 7: Path("good")}}
    courses = by_checkpoint(runs, editors.__getitem__, PAIRS, METRICS, **SETTINGS, intervals=FEW)
    poor, good = courses.runs.values()
    assert good.behind is None
    assert poor.behind is not None
    best = next(one for one in good.checkpoints if one.step == good.best)
    expected = poor.checkpoints[0].curve.dominated.estimate - best.curve.dominated.estimate
    assert poor.behind.estimate == pytest.approx(expected)
    assert expected < 0
    ahead, *each = courses.verdicts
    assert ahead.startswith(f"good dominates the largest area, at step {good.best}; the best of poor -")
    assert each == [f"poor: {poor.verdict}", f"good: {good.verdict}"]
    assert courses.provenance["checkpoints"] == {"poor": {"5": "poor"}, "good": {"3": "blind", "7": "good"}}
    alone = by_checkpoint({"good": runs["good"]}, editors.__getitem__, PAIRS, METRICS, **SETTINGS, intervals=FEW)
    assert alone.verdicts == [good.verdict]


def test_no_pair_is_opened_that_is_not_measured() -> None:
    class Counting(WorldSource):
        opened: set[int] = set()

        def __getitem__(self, index: int) -> EditPair:
            self.opened.add(index)
            return super().__getitem__(index)

        def fingerprint(self) -> str:  # the world's looks at a sample of the pairs
            return "counting"

    pairs = Counting(40, 16)
    options = {"count": 4, "batch_size": 4, "intervals": FEW}
    courses = by_checkpoint({"a": {1: Path("a")}}, lambda path: editor(1.0), pairs, METRICS, **SETTINGS, **options)
    assert courses.provenance["pairs"] == len(pairs.opened) == 4
    assert courses.provenance["data"]["fingerprint"] == "counting"
    assert courses.provenance["sha256"] == {"a": {"1": digest(editor(1.0))}}
    assert courses.runs["a"].checkpoints[0].source_dependence.values == 4


def test_checkpoints_of_a_run_are_found_by_step(tmp_path: Path) -> None:
    module = tiny_module(WORLD)
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, tiny_loader(2))
    folder = tmp_path / "checkpoints"
    for name in ("step=000002.ckpt", "last.ckpt"):
        trainer.save_checkpoint(folder / name)
    torch.save({}, folder / "step=000001.ckpt")
    (folder / "._step=000001.ckpt").write_bytes(b"companion of macOS")
    assert checkpoints_of(tmp_path) == {1: folder / "step=000001.ckpt", 2: folder / "step=000002.ckpt"}
    (folder / "step=000002.ckpt").unlink()
    assert checkpoints_of(folder) == {1: folder / "step=000001.ckpt", 2: folder / "last.ckpt"}


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no \.ckpt; give a run folder"):
        checkpoints_of(tmp_path)
    with pytest.raises(ValueError, match="need a checkpoint and two pairs"):
        by_checkpoint({}, lambda path: editor(1.0), PAIRS, METRICS, **SETTINGS)
