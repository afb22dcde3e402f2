"""Notes say what a user cannot see: words that are new, seeds that change nothing; and no more."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.notes import with_seed_notes
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.editors.request import EditRequest, EditResult
from ip2p_lightning.editors.trained import TrainedEditor


@pytest.fixture(scope="module", params=["instruct_pix2pix", "mgie"])
def editor(request: pytest.FixtureRequest) -> TrainedEditor:
    return load_editor(request.param, "cpu")


def test_no_instruction_of_what_it_learned_is_called_new(editor: TrainedEditor) -> None:
    known = [WorldSource(150, size=16, level="broad", split="test"), PhotoSource(50, size=16, split="test")]
    texts = {source[index].instruction for source in known for index in range(len(source))}
    assert len(texts) > 80
    assert [text for text in texts if editor.new_words.note(text)] == []


@pytest.mark.parametrize(
    "text", ["make the cat wear a red hat", "put sunglasses on her", "mach es grün", "让它变成冬天"]
)
def test_words_that_it_never_saw_are_named(editor: TrainedEditor, text: str) -> None:
    note = editor.new_words.note(text)
    assert "this editor has never seen" in note
    assert "it learned: add, background, black and white, blur" in note


def test_capitals_are_new_to_it_and_the_remedy_is_named(editor: TrainedEditor) -> None:
    note = editor.new_words.note("Sepia please")
    assert "(write 'sepia' in lower case)" in note


def test_a_note_changes_nothing_that_an_edit_is_reading(editor: TrainedEditor) -> None:
    """A service makes notes while other threads edit."""
    conditioner = editor.module.conditioner
    assert isinstance(conditioner, TextConditioner | LanguageModelConditioner)
    tokenizer: Any = conditioner.tokenizer
    backend = tokenizer.backend_tokenizer
    backend.enable_padding(length=77)
    backend.enable_truncation(77)
    before = backend.padding, backend.truncation
    assert editor.notes(EditRequest(Image.new("RGB", (8, 8)), "make the cat wear a red hat"))
    assert (backend.padding, backend.truncation) == before


def test_seeds_that_change_nothing_are_named_and_others_are_not() -> None:
    def results(*levels: int) -> list[EditResult]:
        image = Image.new("RGB", (8, 8))
        requests = [EditRequest(image, "x", seed) for seed in range(len(levels))]
        return [
            EditResult(Image.new("RGB", (8, 8), (level,) * 3), r) for r, level in zip(requests, levels, strict=True)
        ]

    assert "by 1.0 of 255" in with_seed_notes(results(10, 10, 11))[0].notes[0]
    assert [edit.notes for edit in with_seed_notes(results(10, 30))] == [(), ()]
    assert with_seed_notes(results(10))[0].notes == ()
