"""Foreign texts steer no terminal, run in no spreadsheet, and no secret is stored."""

from __future__ import annotations

import csv
import io
import logging
import logging.config
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from rich.table import Table

from ip2p_lightning.config import config_dir
from ip2p_lightning.csv_table import write_csv
from ip2p_lightning.redaction import HIDDEN, without_secrets
from ip2p_lightning.terminal import Terminal
from ip2p_lightning.untrusted import csv_cell, from_csv_cell, printable

HOSTILE = (
    "\x1b[31mred",
    "\x1b]0;PWNED\x07",
    "\x9b31mC1",
    "back\x08space",
    "\u202egnp.exe",
    "\u2066isolate",
    "\x00nul",
    "\rover",
    "\ud800half",
)
ORDINARY = (
    "make it winter!",
    "mach es grün",
    "让它变成冬天",
    "اجعله شتاء",
    "👩‍🚀 by the sea",
    "two\nlines\tand a tab",
    "[/red] [b]",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_steering_characters_are_replaced(text: str):
    assert not {*printable(text)} & {*"\x1b\x07\x9b\x08\u202e\u2066\x00\r\ud800"}
    assert "\ufffd" in printable(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_stay(text: str):
    assert printable(text) == text


@given(st.text())
def test_a_second_time_changes_nothing(text: str):
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", [*HOSTILE, "[/red] closed", "[link=file:///etc]x[/link]", ":smile:"])
def test_the_terminal_shows_texts_and_styles(text: str):
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=True, color_system="standard", width=60)
    table = Table(title=text)
    table.add_column(text, style="bold")
    table.add_row(text)
    console.print(table)
    console.print(text, soft_wrap=True, highlight=False)
    shown = file.getvalue()
    assert "\x1b[1m" in shown  # rich's own
    assert not {*shown} & {*"\x07\x9b\x08\u202e\u2066\x00"}
    assert "\x1b[31m" not in shown
    assert "\x1b]" not in shown
    assert text.translate({ord(c): "\ufffd" for c in "\x1b\x07\x9b\x08\u202e\u2066\x00\r\ud800"}) in shown


@pytest.mark.parametrize("name", ["train", "here"])
def test_logs_hold_no_escapes(name: str, capsys: pytest.CaptureFixture[str]):
    formatters = OmegaConf.to_container(OmegaConf.load(config_dir() / "hydra" / f"{name}.yaml").job_logging.formatters)
    formatters = {key: {"format": "%(message)s", **value} for key, value in formatters.items()}
    handlers = {key: {"class": "logging.StreamHandler", "formatter": key} for key in formatters}
    loggers = {"hostile": {"handlers": list(handlers)}}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": formatters,
            "handlers": handlers,
            "loggers": loggers,
        }
    )
    try:
        logging.getLogger("hostile").warning("%s", "\x1b]0;PWNED\x07")
        try:
            raise ValueError("\x1b[31m")
        except ValueError:
            logging.getLogger("hostile").exception("failed")
    finally:
        logging.getLogger("hostile").handlers.clear()
    assert "PWNED" in (shown := capsys.readouterr().err)
    assert "\x1b" not in shown


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "  =1"])
def test_formulas_are_texts_in_a_spreadsheet(text: str, tmp_path: Path):
    assert csv_cell(text).startswith("'")
    assert from_csv_cell(csv_cell(text)) == printable(text)
    write_csv(pa.table({"text": [text, "plain", None], "number": [-1.5, 2.0, None]}), tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["text"].startswith("'")
    assert [row["number"] for row in rows] == ["-1.5", "2", ""]
    assert rows[1]["text"] == "plain"


@pytest.mark.parametrize("text", ["-1.5", "+2", "-1e-05", "make it winter", "'quoted'", "", "1-2"])
def test_numbers_and_words_are_left_alone(text: str):
    assert csv_cell(text) == text
    assert from_csv_cell(csv_cell(text)) == text


def test_stored_configurations_hold_no_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_SECRET", "hunter22")
    monkeypatch.setenv("LOCAL_RANK", "0")
    config = OmegaConf.create(
        {
            "writer": {"url": "http://me:hunter23@host/v1", "model": "m"},
            "access": {"options": {"secret": "hunter24", "hf_token": "hunter25", "password": "", "anon": True}},
            "plain": "${oc.env:MY_SECRET}",
            "nested": ["${oc.env:MY_SECRET,none}", {"deep": "x${oc.env:MY_SECRET}"}],
            "through": "${plain}",
            "whole": "${nested}",
            "device": "cuda:${oc.env:LOCAL_RANK,0}",
            "pad_token": "<pad>",
            "lr": 1e-4,
            "steps": "${lr}",
        }
    )
    stored = without_secrets(config)
    text = OmegaConf.to_yaml(OmegaConf.create(stored))
    assert not [number for number in range(22, 26) if f"hunter{number}" in text]
    assert stored["writer"] == {"url": f"http://{HIDDEN}@host/v1", "model": "m"}
    assert stored["access"]["options"] == {"secret": HIDDEN, "hf_token": HIDDEN, "password": "", "anon": True}
    assert (stored["pad_token"], stored["lr"], stored["steps"]) == ("<pad>", 1e-4, 1e-4)
    assert OmegaConf.create(stored).plain == "hunter22"  # a run that is opened again has it from the environment
    assert OmegaConf.create(stored).device == "cuda:0"
