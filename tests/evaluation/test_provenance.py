"""Which weights made a figure is said of every editor, also of one that drives another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from factories import seeing, tiny_module
from PIL import Image

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.sdedit import SDEdit
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.editors.turn_by_turn import TurnByTurn
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.provenance import digest, editor_facts, settings
from ip2p_lightning.evaluation.sweeps import EditorSweep, GuidanceSweep
from ip2p_lightning.metrics import L1, EditMetric
from ip2p_lightning.metrics.judged import JudgedEdit
from ip2p_lightning.metrics.judges.vlm_judge import Question, VLMJudge


@pytest.fixture(scope="module")
def trained() -> TrainedEditor:
    return TrainedEditor(seeing(tiny_module()), resolution=16)


def test_an_editor_that_drives_another_has_its_weights_and_sampler(trained: TrainedEditor, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    file.write_bytes(b"weights")
    inner = {"checkpoint": str(file), "weights": "ema", "device": "cpu"}
    alone = editor_facts(trained, inner)
    assert len(alone["sha256"]) == 16
    driven = editor_facts(TurnByTurn(trained), {"_target_": "x", "editor": inner})
    assert driven == alone | {"editor": "TurnByTurn of TrainedEditor"}
    assert driven["sampler"]["steps"] == trained.module.sampler.steps
    twice = editor_facts(TurnByTurn(TurnByTurn(trained)), {"side": 32, "editor": {"editor": inner}})
    assert twice == alone | {"editor": "TurnByTurn of TurnByTurn of TrainedEditor", "around": {"side": 32}}
    assert digest(trained) is not None
    assert digest(TurnByTurn(trained)) == digest(trained)
    assert digest(TurnByTurn(CopyInput())) is None


def test_turns_are_carried_out_by_an_editor_that_is_named() -> None:
    config = compose("evaluate", ["editor=turn_by_turn", "editor@editor.editor=copy_input"])
    editor = build(config.editor)
    assert isinstance(editor.editor, CopyInput)
    assert editor_facts(editor, {})["editor"] == "TurnByTurn of CopyInput"
    needy = build(compose("evaluate", ["editor=turn_by_turn", "editor@editor.editor=sdedit"]).editor)
    assert isinstance(needy.editor, SDEdit)
    with pytest.raises(ValueError, match="SDEdit needs the edited image's caption, and none were given"):
        needy.edit([Image.new("RGB", (16, 16))], ["make it winter\nadd a tree"])


def test_sweeps_name_the_weights_of_what_they_edit_with(trained: TrainedEditor) -> None:
    ours = GuidanceSweep(trained, [1.0], [1.0, 2.0]).provenance()
    assert ours["sha256"] == EditorSweep("as a baseline", lambda: trained).provenance()["sha256"] == digest(trained)
    assert EditorSweep("copying", CopyInput).provenance()["sha256"] is None


def test_a_judge_has_a_line_of_its_own(trained: TrainedEditor) -> None:
    judge = VLMJudge(Silent())
    metrics: dict[str, EditMetric] = {"sc": JudgedEdit(judge, "sc"), "pq": JudgedEdit(judge, "pq"), "l1": L1()}
    facts = editor_facts(trained, {})
    result = evaluate(CopyInput(), WorldSource(2, 16), metrics, provenance=facts)
    line = settings(result)["SC (VLM), PQ (VLM)"]
    assert line == "silent, silent 1, questions 2, at most 768 pixels"


class Silent:
    """Gives no answer."""

    name = "silent"

    def fingerprint(self) -> str:
        return "silent 1"

    def answer(self, questions: Sequence[Question]) -> list[str]:
        return ["" for _ in questions]
