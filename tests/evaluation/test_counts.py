"""What is counted is counted after the work, of all rows: those of a journal, and those of every process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from processes import on_ranks

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.precomputed import FolderOutputs
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.rows import tensors_of
from ip2p_lightning.evaluation.sweeps import EditorSweep
from ip2p_lightning.evaluation.tradeoff import tradeoff
from ip2p_lightning.metrics import L1
from ip2p_lightning.metrics.judged import JudgedEdit
from ip2p_lightning.metrics.judges.vlm_judge import VLMJudge


class Answers:
    """Answers questions about two pictures, never those about one."""

    name = "test"

    def fingerprint(self) -> str:
        return "1"

    def answer(self, questions: Any) -> list[str]:
        good = json.dumps({"reason": "", "marks": [5, 6]})
        return ["I like it." if len(question.pictures) == 1 else good for question in questions]


class StopsAfter(FolderOutputs):
    """Is interrupted once it has given so many outputs."""

    left = 100

    def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left -= len(requests)
        return super().edit_prepared(requests, on_step)


@pytest.fixture
def source() -> WorldSource:
    return WorldSource(8, size=32, split="test")


@pytest.fixture
def outputs(source: WorldSource, tmp_path: Path) -> Path:
    """The truth of each pair; of three of them at another size."""
    for place in range(len(source)):
        pair = tensors_of(source[place], None)
        image = to_pil(pair.edited_image)  # type: ignore[arg-type]
        (tmp_path / "out").mkdir(exist_ok=True)
        (image.resize((16, 16)) if place in (0, 3, 7) else image).save(tmp_path / "out" / f"{pair.id}.png")
    return tmp_path / "out"


def measured_by() -> dict[str, Any]:
    judge = VLMJudge(Answers())
    return {"l1": L1(), **{aspect: JudgedEdit(judge, aspect) for aspect in ("sc", "pq", "overall")}}  # type: ignore[arg-type]


def check(provenance: dict[str, Any]) -> None:
    assert provenance["resized"] == 3
    counted = {name: facts.get("unreadable_answers") for name, facts in provenance["metrics"].items()}
    unread = {"quality: no JSON object": 8}
    assert counted == {"l1": None, "sc": {}, "pq": unread, "overall": unread}


def test_counts_of_one_process(source: WorldSource, outputs: Path) -> None:
    result = evaluate(FolderOutputs(outputs, resize="squash"), source, measured_by(), batch_size=3)
    check(result.provenance)
    assert result.figures["sc"].ours.values == 8
    assert "pq" not in result.figures


def test_rows_of_a_journal_are_counted(source: WorldSource, outputs: Path, tmp_path: Path) -> None:
    stops = StopsAfter(outputs, resize="squash")
    stops.left = 6
    with pytest.raises(KeyboardInterrupt):
        evaluate(stops, source, measured_by(), batch_size=3, journal=tmp_path / "unfinished")
    editor = FolderOutputs(outputs, resize="squash")
    check(evaluate(editor, source, measured_by(), batch_size=3, journal=tmp_path / "unfinished").provenance)
    assert len(editor.resized) == 1


def test_rows_of_all_processes_are_counted(source: WorldSource, outputs: Path) -> None:
    def work() -> dict[str, Any]:
        return evaluate(FolderOutputs(outputs, resize="squash"), source, measured_by(), batch_size=3).provenance

    for provenance in on_ranks(2, work):
        check(provenance)


def test_every_point_of_a_sweep_is_counted(source: WorldSource, outputs: Path) -> None:
    sweeps = [EditorSweep(name, lambda: FolderOutputs(outputs, resize="squash")) for name in ("one", "two")]
    result = tradeoff(sweeps, source, measured_by(), x="l1", y="sc", batch_size=3)
    counted = {name: facts.get("unreadable_answers") for name, facts in result.provenance["metrics"].items()}
    assert counted["pq"] == {"quality: no JSON object": 16}
    assert counted["sc"] == {}
