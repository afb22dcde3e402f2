"""What the cards of editors say of the texts that a model writes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from factories import LGIE, MGIE, tiny_module

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.metrics import L1
from ip2p_lightning.zoo.editing import Told, worth_of_writing

PAIRS = WorldSource(4, size=16, level="broad", kinds=["visual"], split="validation")


class Recorder(CopyInput):
    """Keeps the requests that it was given."""

    def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
        self.requests = requests
        return super().edit_prepared(requests, on_step)


class Writer:
    """Writes what it was asked, and how many pictures it was shown."""

    def write(self, instructions: list[str], images: torch.Tensor) -> list[str]:
        return [f"{instruction} of {len(images)}" for instruction in instructions]


def test_an_editor_is_told_what_another_writes():
    recorder = Recorder()
    Told(recorder, Writer()).edit(torch.zeros(2, 3, 8, 8), ["later", "earlier"], seeds=3)  # type: ignore[arg-type]
    assert [request.instruction for request in recorder.requests] == ["later of 2", "earlier of 2"]
    assert [request.seed for request in recorder.requests] == [3, 3]


@pytest.mark.parametrize("config", [MGIE, LGIE], ids=["mgie", "lgie"])
def test_texts_are_taken_away_and_given_back(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    editor = TrainedEditor(tiny_module(config))
    conditioner, seen = editor.module.conditioner, []
    edit = editor.edit_prepared

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.append(conditioner.expressive)
        return edit(*arguments, **options)

    monkeypatch.setattr(editor, "edit_prepared", spy)
    figures = worth_of_writing(editor, PAIRS, {"error": L1(peak=255)})
    assert set(seen) == {False}
    assert conditioner.expressive
    assert {"nothing written, error", "InstructPix2Pix given the text, error"} <= figures.keys()


def test_a_model_that_writes_nothing_has_no_such_figures():
    assert worth_of_writing(TrainedEditor(tiny_module()), PAIRS, {"error": L1(peak=255)}) == {}
    silent = tiny_module(MGIE)
    silent.conditioner.expressive = False
    assert worth_of_writing(TrainedEditor(silent), PAIRS, {"error": L1(peak=255)}) == {}
