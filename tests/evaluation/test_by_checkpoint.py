"""A training by its checkpoints: models whose faults are known, and files of a real run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from factories import WORLD, quiet_trainer, tiny_loader, tiny_module

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.ours import TrainedEditor
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
    course = by_checkpoint(
        steps, editors.__getitem__, PAIRS, METRICS, **SETTINGS, batch_size=4, intervals=FEW, on_checkpoint=done.append
    )
    copying, half, blind = course.checkpoints
    assert done == [10, 20, 30]
    assert [one.source_dependence.estimate for one in course.checkpoints] == pytest.approx([1.0, 0.5, 0.0], abs=0.02)
    assert copying.copied.estimate == 1
    assert blind.copied.estimate < 1
    assert half.text_dependence.estimate == 0
    assert copying.source_dependence.values == 8


def test_the_best_checkpoint_and_whether_the_last_is_worse(tmp_path: Path) -> None:
    editors = {Path("good"): editor(0.2), Path("late"): editor(1.0)}
    late = by_checkpoint(
        {1: Path("good"), 2: Path("late")}, editors.__getitem__, PAIRS, METRICS, **SETTINGS, intervals=FEW
    )
    assert late.best == 1
    assert late.lost is not None
    assert late.lost.estimate < 0
    assert "step 1 is better than the last (step 2)" in late.verdict
    right = by_checkpoint(
        {1: Path("late"), 2: Path("good")}, editors.__getitem__, PAIRS, METRICS, **SETTINGS, intervals=FEW
    )
    assert (right.best, right.lost) == (2, None)
    assert right.verdict == "the last checkpoint (step 2) is the best of 2"
    right.save(tmp_path)
    header, *lines = (tmp_path / "checkpoints.csv").read_text().splitlines()
    assert header.startswith('"step","dominated","dominated_low"')
    assert len(lines) == 2


def test_no_pair_is_opened_that_is_not_measured() -> None:
    class Counting(WorldSource):
        opened: set[int] = set()

        def __getitem__(self, index: int) -> EditPair:
            self.opened.add(index)
            return super().__getitem__(index)

        def fingerprint(self) -> str:  # the world's looks at a sample of the pairs
            return "counting"

    pairs = Counting(40, 16)
    course = by_checkpoint(
        {1: Path("a")}, lambda path: editor(1.0), pairs, METRICS, **SETTINGS, count=4, batch_size=4, intervals=FEW
    )
    assert course.provenance["pairs"] == len(pairs.opened) == 4
    assert course.provenance["data"]["fingerprint"] == "counting"
    assert course.provenance["sha256"] == {"1": digest(editor(1.0))}
    assert course.checkpoints[0].source_dependence.values == 4


def test_checkpoints_of_a_run_are_found_by_step(tmp_path: Path) -> None:
    module = tiny_module(WORLD)
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, tiny_loader(2))
    folder = tmp_path / "checkpoints"
    for name in ("step=000002.ckpt", "last.ckpt"):
        trainer.save_checkpoint(folder / name)
    torch.save({}, folder / "step=000001.ckpt")
    assert checkpoints_of(tmp_path) == {1: folder / "step=000001.ckpt", 2: folder / "step=000002.ckpt"}
    (folder / "step=000002.ckpt").unlink()
    assert checkpoints_of(folder) == {1: folder / "step=000001.ckpt", 2: folder / "last.ckpt"}


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no \.ckpt; give a run folder"):
        checkpoints_of(tmp_path)
    with pytest.raises(ValueError, match="need a checkpoint and two pairs"):
        by_checkpoint({}, lambda path: editor(1.0), PAIRS, METRICS, **SETTINGS)
