"""Captions and triples of files and writers: each comes once, faults stay with their input, rejects are counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from generation.stages_factory import Broken, make, trainer, triples

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.captions import JsonlCaptions, TarCaptions, TextCaptions, take
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.stages import PATIENCE, StageError, run_stage
from ip2p_lightning.generation.triples import WriteTriples, read_triples, triples_of_file
from ip2p_lightning.generation.world_triples import WorldCaptions
from ip2p_lightning.generation.writers.grammar import GrammarWriter


def test_captions_of_files_come_once_and_damage_is_counted(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(
        b"a red house\n\nA red  house.\ncaf\xe9 by night\n123 456\n" + b"word " * 300 + b"\n"
    )
    rows = [{"caption": "a boat", "url": "u1"}, {"caption": "a ship", "url": "u1"}, {"text": "x"}, {"caption": 5}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"caption": "cut of')
    text = list(take(TextCaptions(tmp_path / "a.txt"), None))
    lines = list(take(JsonlCaptions(tmp_path / "a.jsonl"), None))
    assert [entry.text for entry in text + lines if isinstance(entry, Caption)] == ["a red house", "a boat"]
    told = [entry.reason for entry in text if isinstance(entry, Rejected)]
    assert told == ["duplicate", "corrupt", "corrupt", "too_long"]
    assert [e.reason for e in lines if isinstance(e, Rejected)] == ["duplicate", "corrupt", "corrupt", "corrupt"]
    assert len(list(take(TextCaptions(tmp_path / "a.txt"), 1))) == 1
    with pytest.raises(FileNotFoundError, match=r"captions\.path"):
        TextCaptions(tmp_path / "none.txt")


@pytest.mark.real
def test_captions_of_real_tars(shared_data: Any):
    entries = list(take(TarCaptions(shared_data("cc12m_test")), 200))
    captions = [entry for entry in entries if isinstance(entry, Caption)]
    assert len(captions) > 20
    assert len({caption.id for caption in captions}) == len(captions)


def test_triples_of_a_file_in_either_spelling_are_checked_as_written_ones_are(tmp_path: Path):
    rows = [
        {"input": "a cat", "edit": "a hat", "output": "a cat with a hat", "url": "u"},
        {"caption": "a dog", "edit": "a hat", "output": "a dog with a hat"},
        {"input": "a cat", "edit": "a hat", "output": "a cat with a hat"},
        {"input": "same", "edit": "nothing", "output": "same"},
        {"input": "A cat.", "edit": "make it a cat", "output": "the cat"},
        {"input": "a tree", "edit": " ", "output": "a tree in snow"},
        {"input": "a beach", "edit": "undress them", "output": "a nude beach"},
        {"input": "a tree", "edit": "more", "output": "a tree " * 100},
        ["no row"],
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = triples_of_file(tmp_path / "t.jsonl")
    assert {triple.original_caption: triple.url for triple in found.triples} == {"a cat": "u", "a dog": ""}
    assert found.rejected == {"duplicate": 1, "copy": 2, "corrupt": 1, "empty": 1, "unsafe": 1, "too_long": 1}
    assert found.captions == len(found.triples) + found.rejected.total()


def test_one_bad_caption_fails_alone_and_is_tried_again(tmp_path: Path):
    class Nervous(GrammarWriter):
        nervous = True

        def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
            if self.nervous and any(caption.id.endswith("-3") for caption in captions):
                raise ValueError("not this one")
            return super().write(captions, seed)

    captions, ledger, writer = [*WorldCaptions(6, "simple")], Ledger(tmp_path, ".jsonl"), Nervous()
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 4)
    assert list(ledger.facts().errors) == ["simple-train-0-3"]
    assert len(read_triples(ledger).triples) == 5
    writer.nervous = False
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 4)
    assert ledger.facts().errors == {}
    whole = Ledger(tmp_path / "whole", ".jsonl")
    run_stage(trainer(), WriteTriples(GrammarWriter()), captions, whole, 6)
    assert read_triples(ledger).triples == read_triples(whole).triples


def test_a_block_of_which_nothing_came_is_tried_again_by_the_next_run(tmp_path: Path):
    """It has the same inputs then, and the part that holds its errors is there."""

    class Moody(GrammarWriter):
        away = True

        def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
            if self.away and captions[0].id.endswith("-1"):
                raise ValueError("not now")
            return super().write(captions, seed)

    captions, ledger, writer = [*WorldCaptions(3, "simple")], Ledger(tmp_path, ".jsonl"), Moody()
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 1)
    with pytest.raises(StageError, match="all 1 inputs failed"):
        run_stage(trainer(), WriteTriples(writer), captions, ledger, 1)
    assert list(ledger.facts().errors) == ["simple-train-0-1"]
    writer.away = False
    run_stage(trainer(), WriteTriples(writer), captions, ledger, 1)
    assert ledger.facts().errors == {}
    assert len(ledger.records(captions)) == 3
    cut = next(tmp_path.glob("part-00002-*.jsonl"))
    cut.write_bytes(cut.read_bytes()[:-1])
    run_stage(trainer(), WriteTriples(writer), captions, Ledger(tmp_path, ".jsonl"), 1)
    assert len(Ledger(tmp_path, ".jsonl").records(captions)) == 3, "what was cut short is made again"


def test_a_writer_that_answers_rubbish_is_counted_by_reason(tmp_path: Path):
    class Rubbish:
        name = "rubbish"

        def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
            return [Rejected(caption.id, "unparsable", "%%##") for caption in captions[1:]]

    ledger = Ledger(tmp_path, ".jsonl")
    run_stage(trainer(), WriteTriples(Rubbish()), [*WorldCaptions(4, "simple")], ledger, 4)
    found = read_triples(ledger)
    assert (found.captions, found.triples, found.rejected) == (4, [], {"unparsable": 3, "nothing written": 1})


def test_a_part_that_always_fails_stops_the_stage(tmp_path: Path):
    with pytest.raises(StageError, match=rf"{PATIENCE} inputs in a row failed.*overflow"):
        make(tmp_path, triples(PATIENCE + 1), Broken("error"))
    assert len(Ledger(tmp_path / "pairs", ".tar").facts().errors) > 0
