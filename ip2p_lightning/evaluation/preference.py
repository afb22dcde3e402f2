"""Two-choice studies with people: a blind page of pictures side by side, and win rates of the choices that come back.

The scheme is DrawBench's (Saharia et al. 2022): first, no difference, or second, for each question; here for edits.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval

QUESTIONS = {
    "follows": "Which picture does better what was asked, and leaves everything else as it was?",
    "looks": "Which picture looks better, whatever was asked?",
}
ANSWERS = {"left": "first", "right": "second", "same": "tie"}
_MAX_PAGE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class Item:
    """One comparison.

    Args:
        pair: id of the pair.
        instruction: what was asked.
        original: the picture that was edited.
        edits: system -> its edited picture; two of them.
        category: results are given for each, too; "" for none.
    """

    pair: str
    instruction: str
    original: Image.Image
    edits: Mapping[str, Image.Image]
    category: str = ""


@dataclass(frozen=True)
class Preference:
    """Shares of the choices, each with an interval over pairs.

    Args:
        first, second: the systems' names.
        first_share, tie_share, second_share: of all choices.
        choices: how many there are.
    """

    first: str
    second: str
    first_share: Interval
    tie_share: Interval
    second_share: Interval
    choices: int


def write_page(items: Sequence[Item], folder: str | Path, *, seed: int = 0, side: int = 512) -> Path:
    """Write `page.html`, which holds everything and names no system, and `key.json`, which says what was where.

    Which side a system is on, and the order of the items, are drawn by ``seed``. Give raters the page alone.

    Args:
        items: comparisons of the same two systems.
        folder: to write into.
        seed: of order and sides.
        side: longest side in pixels of the pictures on the page.

    Raises:
        ValueError: no items, other than two systems, or a page that would be too large to open.
    """
    systems = sorted({system for item in items for system in item.edits})
    if len(systems) != 2 or any(len(item.edits) != 2 for item in items):
        raise ValueError(f"a study compares two systems on every pair, got {systems or 'no items'}")
    draw = addressed_random("preference", seed)
    rows: list[dict[str, Any]] = []
    key: list[dict[str, str]] = []
    for number, item in enumerate(draw.sample(list(items), len(items))):
        left, right = draw.sample(systems, 2)
        pictures = {"original": item.original, "left": item.edits[left], "right": item.edits[right]}
        shown = {name: _data_url(picture, side) for name, picture in pictures.items()}
        rows.append({"item": number, "instruction": item.instruction, **shown})
        key.append({"pair": item.pair, "left": left, "right": right, "category": item.category})
    content = json.dumps({"items": rows, "questions": QUESTIONS}, ensure_ascii=False).replace("<", "\\u003c")
    if len(content) > _MAX_PAGE_BYTES:
        raise ValueError(f"the page would have {len(content):,} bytes; compare fewer pairs or lower side={side}")
    template = files("ip2p_lightning.evaluation").joinpath("templates/preference.html").read_text(encoding="utf-8")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.json").write_text(json.dumps(key, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = folder / "page.html"
    page.write_text(template.replace("{{study}}", content), encoding="utf-8")
    return page


def read_answers(key: str | Path, answers: Sequence[str | Path]) -> dict[str, list[tuple[Choice, str]]]:
    """Question -> choices, each with its category, from the files that raters' pages saved.

    Args:
        key: `key.json` of the study.
        answers: CSV files with the columns item, question, answer, rater.

    Raises:
        FileNotFoundError: a missing file.
        ValueError: an item, question or answer that the study does not have, or the same rater twice on one question;
            names the line.
    """
    for path in (key, *answers):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is missing; give key.json and the CSV files that raters sent back")
    items = json.loads(Path(key).read_text(encoding="utf-8"))
    found: dict[str, list[tuple[Choice, str]]] = {question: [] for question in QUESTIONS}
    seen: set[tuple[str, ...]] = set()
    for path in answers:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                place = f"{path} line {reader.line_num}"
                number, question, answer = (str(row.get(name) or "") for name in ("item", "question", "answer"))
                if not number.isdecimal() or int(number) >= len(items) or question not in QUESTIONS:
                    raise ValueError(f"{place}: the study has no item {number!r} with question {question!r}")
                if answer not in ANSWERS:
                    raise ValueError(f"{place}: answer {answer!r} is none of {', '.join(ANSWERS)}")
                rater = row.get("rater") or Path(path).stem
                if (rater, number, question) in seen:
                    raise ValueError(f"{place}: {rater} has answered item {number} already; is a file given twice?")
                seen.add((rater, number, question))
                item = items[int(number)]
                choice = Choice(item["pair"], item["left"], item["right"], ANSWERS[answer], rater)
                found[question].append((choice, item["category"]))
    return found


def preference(choices: Sequence[Choice], *, resamples: int = 2000, confidence: float = 0.95) -> Preference:
    """Shares of the choices for either of two systems, whichever side it was on.

    Args:
        choices: about the same two systems.
        resamples: of the bootstrap over pairs.
        confidence: share of the resamples inside the intervals.

    Raises:
        ValueError: no choices, or more than two systems.
    """
    systems = sorted({name for choice in choices for name in (choice.first, choice.second)})
    if len(systems) != 2:
        raise ValueError(f"preferences are between two systems, got {', '.join(systems) or 'no choices'}")
    named = [{"first": c.first, "second": c.second, "tie": "tie"}[c.choice] for c in choices]
    groups = [choice.pair for choice in choices]

    def share(of: str) -> Interval:
        values = [float(name == of) for name in named]
        return bootstrap_interval(values, groups, share=True, resamples=resamples, confidence=confidence)

    return Preference(systems[0], systems[1], share(systems[0]), share("tie"), share(systems[1]), len(choices))


def write_choices(choices: Sequence[Choice], path: str | Path) -> None:
    """The CSV that `ip2p calibrate` reads."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("pair", "first", "second", "choice", "rater"))
        writer.writerows((c.pair, c.first, c.second, c.choice, c.rater) for c in choices)


def _data_url(picture: Image.Image, side: int) -> str:
    picture = picture.convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
