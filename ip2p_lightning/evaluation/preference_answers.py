"""Answers of a preference study: from the CSV files that raters' pages save to choices, each rater's last word once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ip2p_lightning.bounded_text import TextError, read_json
from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.evaluation.preference import QUESTIONS
from ip2p_lightning.untrusted import printable

ANSWERS = {"left": "first", "right": "second", "same": "tie"}
_MAX_NAME = 200


@dataclass
class Answers:
    """Raters' answers.

    Args:
        choices: question -> choices, each with its item's category.
        superseded: answers that their rater has changed or saved again since; the last one counts.
    """

    choices: dict[str, list[tuple[Choice, str]]] = field(default_factory=dict)
    superseded: int = 0


@dataclass(frozen=True)
class _Answer:
    rater: str
    item: int
    question: str
    side: str
    time: int
    place: str


def read_answers(key: str | Path, answers: Sequence[str | Path]) -> Answers:
    """Choices from the files that raters' pages saved.

    Args:
        key: file that was written with the page.
        answers: CSV files with the columns item, question, answer, and perhaps study, rater and time.

    Raises:
        FileNotFoundError: a missing file.
        ValueError: a damaged file, an item, question or answer that the study does not have, answers of another study,
            or two different answers of a rater without a time that tells the later one; names the line.
    """
    study, items = _read_key(Path(key))
    last: dict[tuple[str, int, str], _Answer] = {}
    found = Answers({question: [] for question in QUESTIONS})
    for path in map(Path, answers):
        given = list(_read_file(path, study, len(items)))
        if not given:
            raise ValueError(f"{path} holds no answer; the rater has to save the page's answers again")
        for answer in given:
            place = (answer.rater, answer.item, answer.question)
            if (before := last.get(place)) is not None:
                if before.side != answer.side and before.time == answer.time:
                    raise ValueError(
                        f"{answer.place}: {answer.rater} has answered item {answer.item} otherwise in {before.place}; "
                        "do two people use one name?"
                    )
                found.superseded += 1
                answer = max(before, answer, key=lambda one: one.time)
            last[place] = answer
    for answer in last.values():
        item = items[answer.item]
        choice = Choice(item["pair"], item["left"], item["right"], ANSWERS[answer.side], answer.rater)
        found.choices[answer.question].append((choice, item["category"]))
    return found


def _read_key(path: Path) -> tuple[str | None, list[dict[str, str]]]:
    """Study and items; keys of releases before studies had a name are a list of items alone."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; give key=FILE, which was written with the page")
    try:
        content = read_json(path, "the key of a study")
        study, items = (None, content) if isinstance(content, list) else (str(content["study"]), content["items"])
        names = ("pair", "left", "right", "category")
        return study, [{name: str(item[name]) for name in names} for item in items]
    except (TextError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the key of a study ({type(error).__name__}: {error})") from error


def _read_file(path: Path, study: str | None, items: int) -> Iterator[_Answer]:
    with open_csv(path, "give the CSV files that raters sent back") as reader:
        for row in reader:
            yield _answer(row, f"{path} line {reader.line_num}", study, items, path.stem)


def _answer(row: dict[str, str], place: str, study: str | None, items: int, stem: str) -> _Answer:
    item, question, side, own, time = (
        str(row.get(name) or "").strip() for name in ("item", "question", "answer", "study", "time")
    )
    if study and own and own != study:
        raise ValueError(f"{place}: an answer of another study, {printable(own)[:40]!r}; this one is {study!r}")
    number = int(item) if item.isascii() and item.isdigit() and len(item) < 10 else items
    if number >= items or question not in QUESTIONS:
        raise ValueError(f"{place}: the study has no item {item[:40]!r} with question {question[:40]!r}")
    if side not in ANSWERS:
        raise ValueError(f"{place}: answer {side[:40]!r} is none of {', '.join(ANSWERS)}")
    when = int(time) if time.isascii() and time.isdigit() and len(time) < 16 else 0
    return _Answer(printable((row.get("rater") or stem)[:_MAX_NAME]), number, question, side, when, place)
