"""A server's answers in the form in which raters' pages send theirs back: one key and one CSV file, read one way."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ip2p_lightning.files import write_whole
from ip2p_lightning.serving.study.folder import ANSWERS, Study
from ip2p_lightning.serving.study.store import AnswerStore, StoredAnswer
from ip2p_lightning.untrusted import csv_cell

_SWAPPED = {"left": "right", "right": "left", "same": "same"}


@dataclass(frozen=True)
class Exported:
    """Summary of the export, and the raters left out of it.

    Args:
        key, answers: the files, as `evaluation.preference_answers.read_answers` reads them.
        raters: how many answered something.
        left_out: raters who found too few of the catch trials.
        count: answers that are written, two questions each.
        median_seconds: between the showing of a comparison and its answer; 0 without answers.
    """

    key: Path
    answers: Path
    raters: int
    left_out: int
    count: int
    median_seconds: float


def export_answers(folder: str | Path, *, least_caught: float = 0.8) -> Exported:
    """Write key.json and answers.csv into a study's folder; it may be served meanwhile.

    Args:
        folder: of the study.
        least_caught: share of a rater's catch trials, over both questions, that must be found; raters who have
            answered none of them stay in.

    Raises:
        FileNotFoundError: no study there.
        ValueError: a damaged study, or answers that are none of it.
    """
    folder = Path(folder)
    study = Study.open(folder)
    store = AnswerStore(folder / ANSWERS)
    try:
        store.check(len(study.items))
        answers, names = store.answers(), store.names()
    finally:
        store.close()
    caught = defaultdict[str, list[bool]](list)
    for answer in answers:
        if study.items[answer.item].catch:
            better = "left" if answer.first_is_left else "right"
            caught[answer.rater] += [side == better for side in answer.sides.values()]
    left_out = {rater for rater, found in caught.items() if sum(found) / len(found) < least_caught}
    kept = [one for one in answers if one.rater not in left_out and not study.items[one.item].catch]
    raters = list(dict.fromkeys(answer.rater for answer in answers))
    called = {rater: csv_cell(names.get(rater) or f"rater {number}") for number, rater in enumerate(raters, 1)}
    twice = {name for name in called.values() if list(called.values()).count(name) > 1}
    called = {rater: f"{name} ({rater[:6]})" if name in twice else name for rater, name in called.items()}
    key, file = folder / "key.json", folder / "answers.csv"
    write_whole(key, json.dumps(_key(study), indent=1, ensure_ascii=False) + "\n")
    key.chmod(0o600)
    write_whole(file, _csv(study, kept, called))
    times = sorted(one.milliseconds for one in kept)
    median = times[len(times) // 2] / 1000 if times else 0.0
    return Exported(key, file, len(raters), len(left_out), len(kept), median)


def _key(study: Study) -> dict:
    """As the static page's key: here the first system is always called left."""
    items = [
        {"pair": item.pair, "left": item.systems[0], "right": item.systems[1], "category": item.category}
        for item in study.items
    ]
    return {"study": study.name, "items": items}


def _csv(study: Study, answers: Sequence[StoredAnswer], names: dict[str, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("study", "item", "question", "answer", "rater", "time"))
    for answer in answers:
        for question, side in answer.sides.items():
            way = side if answer.first_is_left else _SWAPPED[side]
            when = int(answer.received * 1000)
            writer.writerow((study.name, answer.item, question, way, names[answer.rater], when))
    return text.getvalue()
