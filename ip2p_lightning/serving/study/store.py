"""Raters and their answers in SQLite: an answer is on the disk before the rater learns that it has arrived."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import StrictFloat, StrictInt, StrictStr

from ip2p_lightning.bounded_text import TextError, parse_json, typed

_COLUMNS = "rater, item, follows, looks, first_is_left, milliseconds, received"
_SIDE = Literal["left", "right", "same"]
_RATER = tuple[StrictStr, StrictStr, StrictStr]
_ANSWER = tuple[StrictStr, StrictInt, _SIDE, _SIDE, StrictInt, StrictInt, StrictFloat]
_TABLES = """
CREATE TABLE IF NOT EXISTS raters (
    token TEXT PRIMARY KEY, name TEXT NOT NULL, items TEXT NOT NULL, joined REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    rater TEXT NOT NULL REFERENCES raters(token), item INTEGER NOT NULL, follows TEXT NOT NULL, looks TEXT NOT NULL,
    first_is_left INTEGER NOT NULL, milliseconds INTEGER NOT NULL, received REAL NOT NULL,
    PRIMARY KEY (rater, item)) STRICT;
"""


class StudyFull(ValueError):
    """As many raters as the study takes."""


@dataclass(frozen=True)
class Rater:
    """A rater.

    Args:
        token: secret of the rater's browser.
        name: what the rater calls themselves; "" if nothing.
        items: numbers of the items, in the order in which they are shown.
        answered: how many of them are.
    """

    token: str
    name: str
    items: list[int]
    answered: set[int]


@dataclass(frozen=True)
class StoredAnswer:
    """One answer.

    Args:
        rater: the rater's token.
        item: number of the item.
        sides: question -> "left", "right" or "same", as the rater saw it.
        first_is_left: which side the first system was on.
        milliseconds: between the showing of the item and the answer, as the rater's browser says.
        received: when, in seconds since 1970.
    """

    rater: str
    item: int
    sides: Mapping[str, str]
    first_is_left: bool
    milliseconds: int
    received: float


class AnswerError(ValueError):
    """Answers that cannot be stored or read; the message names the file."""


class AnswerStore:
    """The file of answers, in write-ahead mode: results can be read while raters answer.

    Args:
        file: made if it is not there.
        most_raters: that may join.

    Raises:
        AnswerError: here and by each method, for a file that is damaged, none of answers, locked or on a full disk.
    """

    def __init__(self, file: str | Path, most_raters: int = 1000) -> None:
        self.file, self.most_raters = Path(file), most_raters
        self._lock = threading.Lock()
        with self._named():
            self._base = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._base.execute("PRAGMA trusted_schema=OFF")  # the file may have come with a folder
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")  # each commit reaches the disk
            self._base.execute("PRAGMA foreign_keys=ON")
            self._base.executescript(_TABLES)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of SQLite with the file and what to do."""
        try:
            yield
        except (sqlite3.Error, UnicodeError, TypeError, KeyError, IndexError) as error:
            raise AnswerError(
                f"{self.file}: {error}; free its disk or end what holds it, or restore it from a copy"
            ) from error

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock, self._named():
            yield

    def join(self, token: str, name: str, plan: Callable[[Mapping[int, int]], list[int]]) -> None:
        """Add a rater.

        Args:
            token: new.
            name: what the rater calls themselves.
            plan: gives the rater's items, from how many raters have each.

        Raises:
            StudyFull: no more raters are taken.
        """
        with self._using():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                rows = self._base.execute("SELECT items FROM raters").fetchall()
                if len(rows) >= self.most_raters:
                    raise StudyFull("the study has all the raters that it takes")
                items = plan(Counter(item for (text,) in rows for item in json.loads(text)))
                self._base.execute("INSERT INTO raters VALUES (?, ?, ?, ?)", (token, name, json.dumps(items), _now()))
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # a full disk has rolled it back already
                    self._base.execute("ROLLBACK")
                raise

    def check(self, items: int) -> None:
        """See that raters and answers are of a study of so many items, once before they are used.

        Raises:
            AnswerError: they are not; the folder was put together of two, or the file was written by something else.
        """
        with self._using():
            raters = self._base.execute("SELECT token, name, items FROM raters").fetchall()
            answers = self._base.execute(f"SELECT {_COLUMNS} FROM answers").fetchall()
        try:
            typed(list[_RATER], raters, "a rater")
            numbers = [number for *_, text in raters for number in typed(list[StrictInt], parse_json(text), "a plan")]
            numbers += [number for _, number, *_ in typed(list[_ANSWER], answers, "an answer")]
        except TextError as error:
            raise AnswerError(f"{self.file} was not written by a study's server: {error}") from error
        if not all(0 <= number < items for number in numbers):
            raise AnswerError(f"{self.file} has answers of another study; restore it from a copy")

    def rater(self, token: str) -> Rater | None:
        """A rater; None for a token that is unknown."""
        with self._using():
            row = self._base.execute("SELECT name, items FROM raters WHERE token = ?", (token,)).fetchone()
            if row is None:
                return None
            answered = self._base.execute("SELECT item FROM answers WHERE rater = ?", (token,)).fetchall()
        return Rater(token, row[0], json.loads(row[1]), {item for (item,) in answered})

    def record(self, answer: StoredAnswer) -> bool:
        """Store an answer durably, unless the rater has answered the item.

        Returns:
            Whether what is stored now says the same: True for a new answer and for one that is sent again because its
            reply was lost; False for another answer, which is not stored.
        """
        row = (answer.sides["follows"], answer.sides["looks"])
        with self._using():
            self._base.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (answer.rater, answer.item, *row, int(answer.first_is_left), answer.milliseconds, answer.received),
            )
            stored = self._base.execute(
                "SELECT follows, looks FROM answers WHERE rater = ? AND item = ?", (answer.rater, answer.item)
            ).fetchone()
        return stored == row

    def answers(self) -> list[StoredAnswer]:
        """All answers, in the order in which they came."""
        with self._using():
            rows = self._base.execute(f"SELECT {_COLUMNS} FROM answers ORDER BY rowid").fetchall()
        return [
            StoredAnswer(rater, item, {"follows": follows, "looks": looks}, bool(left), milliseconds, received)
            for rater, item, follows, looks, left, milliseconds, received in rows
        ]

    def names(self) -> dict[str, str]:
        """Rater's token -> name."""
        with self._using():
            return dict(self._base.execute("SELECT token, name FROM raters").fetchall())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()


def _now() -> float:
    return round(time.time(), 3)
