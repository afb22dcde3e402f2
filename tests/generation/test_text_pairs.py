"""Triples as pairs without pictures: rows of files in every spelling, what writers write, batches of them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.generation.base import Caption
from ip2p_lightning.generation.everyday import EverydayTriples
from ip2p_lightning.generation.text_pairs import TextPairs
from ip2p_lightning.generation.writers.grammar import GrammarWriter

ROWS = [
    {"input": "a dog", "edit": "make it a cat", "output": "a cat"},
    {"caption": "a bird", "edit": "make it two", "output": "two birds", "url": "http://a"},
    {"original_caption": "a fish", "instruction": "fry it", "edited_caption": "a fried fish"},
]


def rows(path: Path, *extra: str) -> Path:
    path.write_text("\n".join([*map(json.dumps, ROWS), "", *extra]) + "\n", encoding="utf-8")
    return path


def test_rows_in_every_spelling(tmp_path: Path):
    pairs = TextPairs.from_jsonl(rows(tmp_path / "rows.jsonl"))
    texts = [(pair.original_caption, pair.instruction, pair.edited_caption) for pair in (pairs[i] for i in range(3))]
    assert texts == [tuple(row[key] for key in row if key != "url") for row in ROWS]
    assert len(TextPairs.from_jsonl(tmp_path / "rows.jsonl", count=2)) == 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", "rows.jsonl:5 is no JSON"), ("[]", "rows.jsonl:5 is no JSON"), ('{"input": "a"}', "rows.jsonl:5 lacks")],
)
def test_rows_that_are_none_are_named(tmp_path: Path, line: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        TextPairs.from_jsonl(rows(tmp_path / "rows.jsonl", line))


def test_there_must_be_something_to_learn(tmp_path: Path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ValueError, match="no triple"):
        TextPairs.from_jsonl(tmp_path / "empty.jsonl")
    with pytest.raises(FileNotFoundError, match="input, edit and output"):
        TextPairs.from_jsonl(tmp_path / "none.jsonl")


def test_what_a_writer_rejects_is_left_out():
    captions = [Caption("1", "a dog"), Caption("2", ""), Caption("3", "a cat")]
    pairs = TextPairs.written(GrammarWriter(), captions)
    assert [pairs[index].id for index in range(len(pairs))] == ["1", "3"]
    assert pairs.licence == "unknown"


def test_it_is_a_source_like_others():
    pairs, same = TextPairs(EverydayTriples(5)), TextPairs(EverydayTriples(5))
    assert (pairs.name, pairs.licence) == ("everyday grammar", "CC0-1.0")
    assert pairs.fingerprint() == pickle.loads(pickle.dumps(same)).fingerprint()
    assert pairs.fingerprint() != TextPairs(EverydayTriples(5, seed=1)).fingerprint()


def test_data_modules_of_texts_give_batches(tmp_path: Path):
    path = rows(tmp_path / "rows.jsonl")
    words = ["experiment=writer/paper", "output_dir=x", f"data.train.path={path}", "data.train.count=3"]
    data = build(compose("train", [*words, "data.batch_size=3"]).data)
    (batch,) = data.train_dataloader()
    assert sorted(batch.original_caption) == ["a bird", "a dog", "a fish"]
