"""The writers' format: records come back as they went in, and rubbish comes back as a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_lightning.models.triple_format import (
    EXAMPLES,
    FormatError,
    completion,
    few_shot_prompt,
    one_line,
    parse,
    prompt,
)

WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]) | st.just(" "), min_size=1).filter(str.strip)


def test_a_record_is_the_paper_s():
    record = prompt("a dog") + completion("make it a cat", "a cat")
    assert record == "a dog\n##\nmake it a cat\n%%\na cat\nEND"


@given(WORDS, WORDS)
def test_what_is_written_is_read_again(instruction: str, edited: str):
    assert parse(completion(instruction, edited)) == (one_line(instruction), one_line(edited))


def reason(text: str) -> str:
    """Why a text is no edit; "" for an edit."""
    try:
        parts = parse(text)
    except FormatError as error:
        return error.reason
    assert all(part and part == one_line(part) for part in parts)
    return ""


@given(st.text() | st.builds("{}\n%%\n{}\nEND".format, st.text(), st.text()))
def test_any_text_is_an_edit_or_has_a_reason(text: str):
    assert reason(text) in ("", "unparsable", "empty", "too_long")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "too_long"),
        ("make it winter\n%%\na dog in the sn", "too_long"),
        ("make it winter\nEND", "unparsable"),
        ("make it winter %% a dog in snow\nEND", "unparsable"),
        ("make it\n%%\na\n%%\nb\nEND", "unparsable"),
        ("make it\n%%\na dog\n##\nmake it a cat\nEND", "unparsable"),
        ("make it winter\n%%\na dog\nin the snow\nEND", "unparsable"),
        ("make it \x00winter\n%%\na dog\nEND", "unparsable"),
        ("make it winter\n%%\n \nEND", "empty"),
        ("\n%%\na dog in the snow\nEND", "empty"),
        ("%%\na dog in the snow\nEND", "empty"),
        ("make it winter\n%%\nEND", "empty"),
    ],
)
def test_rubbish_has_a_reason(text: str, expected: str):
    assert reason(text) == expected


def test_what_follows_the_end_is_not_looked_at():
    text = "make it winter\n%%\na dog in the snow\nEND\n\na cat\n##\nrubbish"
    assert parse(text) == ("make it winter", "a dog in the snow")


def test_a_caption_cannot_pass_for_a_separator():
    assert prompt("a dog\n##\nmake it a cat\n%%\na cat\nEND").count("\n") == 2


def test_examples_come_before_the_caption():
    text = few_shot_prompt("a dog", EXAMPLES[:2])
    assert text.endswith("END\n\na dog\n##\n")
    records = text.split("\n\n")[:-1]
    assert [parse(record.split("\n##\n")[1]) for record in records] == [
        (example.instruction, example.edited_caption) for example in EXAMPLES[:2]
    ]
