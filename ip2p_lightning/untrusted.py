"""Texts of datasets, servers and file names, made safe for terminals, logs and spreadsheets.

HTML is escaped by jinja2's templates. All functions leave ordinary text of any script as it is.
"""

from __future__ import annotations

import logging
import re
from typing import Any

# C0 and C1 controls but line break and tab; the overrides and isolates that turn the order of letters around; halves of
# surrogate pairs, which no file can hold.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(r"(?!\s*[+-]?\d*\.?\d+(e[+-]?\d+)?\s*$)(\s*[=+\-@]|\t)", re.IGNORECASE)


def printable(text: str) -> str:
    r"""`text` with "\ufffd" for each character that would steer a terminal or turn the order of letters around.

    >>> printable("red \x1b[31mtext")
    'red �[31mtext'
    """
    return _STEERING.sub("\ufffd", text)


def csv_cell(value: Any) -> Any:
    """A value for a CSV file: a text that a spreadsheet would take for a formula gets an apostrophe before it.

    >>> csv_cell("=HYPERLINK(1)"), csv_cell("make it winter"), csv_cell(-1.5)
    ("'=HYPERLINK(1)", 'make it winter', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(text: str) -> str:
    """The text that `csv_cell` was given, control characters apart."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


class PlainFormatter(logging.Formatter):
    """A log format whose records hold no control characters, whatever texts they quote."""

    def format(self, record: logging.LogRecord) -> str:
        """One record, with its traceback if it has one."""
        return printable(super().format(record))
