"""Texts beyond what is read are named with their number of tokens: before training by count, when editing each."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from factories import LANGUAGE, LENGTH, TEXT

from ip2p_lightning.conditioners.base import Conditioner
from ip2p_lightning.conditioners.cut_texts import CutTexts, warn_of_data
from ip2p_lightning.config import instantiate_trusted

LONG = "make it " + "very " * 40 + "red"


def build_part(part: dict[str, Any]) -> Conditioner:
    return instantiate_trusted(part)


@pytest.mark.parametrize("part", [TEXT, LANGUAGE])
def test_long_texts_are_known(part):
    conditioner = build_part(part)
    long = LONG if part is TEXT else LONG * 10
    (found,) = conditioner.cut_texts(["make it red", long, long, ""])
    assert found.text == long
    assert found.tokens > found.limit
    assert conditioner.cut_texts([]) == []
    if part is TEXT:
        assert found.limit == LENGTH


def test_the_limit_is_exact():
    conditioner = build_part(TEXT)
    texts = ["red " * count for count in range(30)]
    read = [bool(conditioner.cut_texts([text])) for text in texts]
    full = [conditioner.tokenizer(text).input_ids for text in texts]
    assert read == [len(ids) > LENGTH for ids in full]


class Pairs:
    """A source that knows its texts."""

    def column(self, name: str) -> list[str]:
        return ["make it red", LONG, LONG, "make it blue"] if name == "instruction" else [""] * 4


def test_the_data_are_counted(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        warn_of_data(build_part(TEXT), {"train": Pairs(), "drawn": object()})
    (record,) = caplog.records
    assert "2 of 4 train pairs have an instruction that is too long and is cut" in record.getMessage()


def test_expressive_instructions_that_are_missing_are_counted(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        warn_of_data(build_part(LANGUAGE), {"train": Pairs()})
    assert "4 of 4 train pairs have no expressive instruction" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_data(build_part(TEXT), {"train": Pairs()})
    assert "expressive" not in caplog.text


def test_each_text_is_said_once(caplog: pytest.LogCaptureFixture):
    conditioner, cut = build_part(TEXT), CutTexts()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            cut.report(conditioner.cut_texts([LONG]))
    (record,) = caplog.records
    assert "tokens, of which the first" in record.getMessage()
