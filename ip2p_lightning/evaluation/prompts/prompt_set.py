"""A prompt set: texts with a category and atoms, which are questions that an image of the text answers in one way."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import TextError, parse_json, read_json, read_text
from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.files import write_whole
from ip2p_lightning.limits import LISTING_BYTES, TEXT_CHARACTERS

LONGEST_ID = 200


@dataclass(frozen=True)
class Atom:
    """One thing that an image of a prompt must show.

    Args:
        question: in words, for a vision-language model: "What colour is the thing on the left?".
        answer: the only right one, in a word or two.
        attribute: of the embedded world, for its own judge; "" elsewhere.
    """

    question: str
    answer: str
    attribute: str = ""


@dataclass(frozen=True)
class Prompt:
    """A text to make images of.

    Args:
        id: unique in its set.
        text: the prompt.
        category: figures are given for each.
        atoms: what its images must show; empty for prompts that are not judged.
    """

    id: str
    text: str
    category: str = ""
    atoms: tuple[Atom, ...] = ()


@dataclass(frozen=True)
class PromptSet:
    """Prompts under one name.

    Args:
        name: for tables and pages.
        prompts: one or more, with ids of their own.

    Raises:
        ValueError: no prompts, or an id that two share.
    """

    name: str
    prompts: tuple[Prompt, ...]

    def __post_init__(self) -> None:
        counts = Counter(prompt.id for prompt in self.prompts)
        if not counts:
            raise ValueError(f"the prompt set {self.name} holds no prompts")
        if twice := [id for id, count in counts.items() if count > 1]:
            raise ValueError(f"the prompt set {self.name} has the id {twice[0]!r} twice; ids must be unique")

    @property
    def categories(self) -> list[str]:
        """Of the prompts, in the order in which they first stand there."""
        return list(dict.fromkeys(prompt.category for prompt in self.prompts))

    def fingerprint(self) -> str:
        """Of all texts, categories and atoms: 16 hexadecimal digits."""
        content = json.dumps([asdict(prompt) for prompt in self.prompts], ensure_ascii=False)
        return hashlib.sha256(content.encode("utf-8", errors="surrogatepass")).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write a line of JSON for each prompt, as `read_prompts` reads it."""
        lines = [
            json.dumps(
                {
                    "id": prompt.id,
                    "prompt": prompt.text,
                    "category": prompt.category,
                    "atoms": [{k: v for k, v in asdict(atom).items() if v} for atom in prompt.atoms],
                },
                ensure_ascii=False,
            )
            for prompt in self.prompts
        ]
        write_whole(Path(path), "\n".join(lines) + "\n")


def read_prompts(path: str | Path) -> PromptSet:
    """A prompt set from a file.

    Args:
        path: JSON Lines with "prompt" and perhaps "id", "category" and "atoms" (a list of {"question", "answer"}), or a
            JSON list of such objects or of texts; a CSV or TSV file with a column prompt and perhaps id and category;
            or a text file with a prompt in each line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged line, or one without a prompt; names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of prompts; give a .txt with one a line, .csv, .tsv or .jsonl")
    prompts = tuple(_READERS.get(path.suffix.lower(), _plain)(path))
    try:
        return PromptSet(path.stem, prompts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _json_lines(path: Path) -> Iterator[Prompt]:
    for number, line in enumerate(read_text(path, LISTING_BYTES).split("\n"), 1):
        if line.strip():
            place = f"{path} line {number}"
            try:
                row = parse_json(line)
            except TextError as error:
                raise ValueError(f"{place}: damaged ({error})") from error
            yield _prompt(row, number, place)


def _json(path: Path) -> Iterator[Prompt]:
    rows = read_json(path, "prompts")
    if not isinstance(rows, list):
        raise ValueError(f"{path} should hold a list of prompts")
    for number, row in enumerate(rows, 1):
        yield _prompt({"prompt": row} if isinstance(row, str) else row, number, f"{path} entry {number}")


def _table(path: Path) -> Iterator[Prompt]:
    with open_csv(path, "it should hold prompts") as reader:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
        if not {"prompt", "prompts"} & set(columns):
            raise ValueError(f"{path} has no column prompt; it has {', '.join(columns)[:200] or 'none'}")
        for number, row in enumerate(reader, 1):
            named = {name.strip().lower(): value for name, value in row.items() if value}
            if named:
                text = named.get("prompt", named.get("prompts"))
                yield _prompt(named | {"prompt": text, "atoms": []}, number, f"{path} line {reader.line_num}")


def _plain(path: Path) -> Iterator[Prompt]:
    for number, line in enumerate(read_text(path, LISTING_BYTES).split("\n"), 1):
        if line.strip():
            yield _prompt({"prompt": line}, number, f"{path} line {number}")


_READERS = {".jsonl": _json_lines, ".json": _json, ".csv": _table, ".tsv": _table}


def _prompt(row: Any, number: int, place: str) -> Prompt:
    if not isinstance(row, dict):
        raise ValueError(f"{place}: an object with a prompt is wanted, not {type(row).__name__}")
    text = _text(row, "prompt", place).strip()
    if not text:
        others = ", ".join(name for name in row if name != "prompt")[:200]
        raise ValueError(f"{place} has no prompt{f', but {others}' if others else ''}; give one, or take the line out")
    TEXT_CHARACTERS.check(len(text), place)
    id = _text(row, "id", place) or f"{number:04d}"
    if len(id) > LONGEST_ID:
        raise ValueError(f"{place}: the id has {len(id)} characters, more than {LONGEST_ID}")
    atoms = row.get("atoms", [])
    if not isinstance(atoms, list) or not all(isinstance(atom, dict) for atom in atoms):
        raise ValueError(f"{place}: atoms should be a list of objects with question and answer")
    return Prompt(id, text, _text(row, "category", place).strip(), tuple(_atom(atom, place) for atom in atoms))


def _atom(row: dict, place: str) -> Atom:
    atom = Atom(*(_text(row, name, place).strip() for name in ("question", "answer", "attribute")))
    if not atom.question or not atom.answer:
        raise ValueError(f"{place}: an atom needs a question and an answer, got {str(row)[:80]}")
    return atom


def _text(row: dict, name: str, place: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{place}: {name} should be a text, not {type(value).__name__}")
    return str(value)


DRAWBENCH = {
    "Colors": 25, "Conflicting": 10, "Counting": 19, "DALL-E": 20, "Descriptions": 20, "Gary Marcus et al.": 10,
    "Misspellings": 10, "Positional": 20, "Rare Words": 7, "Reddit": 38, "Text": 21,
}  # fmt: skip
"""DrawBench's categories and how many prompts each has (Saharia et al. 2022, appendix C)."""


def drawbench(path: str | Path) -> PromptSet:
    """DrawBench's 200 prompts, checked. No licence of the list is known, so that it does not come with the package.

    Args:
        path: CSV file with the columns Prompt and Category, such as `imagen.csv` of DrawBench-Glance.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a prompt twice, or other categories or counts than DrawBench's, as subsets of it have; names them.
    """
    found = read_prompts(path)
    if len({prompt.text for prompt in found.prompts}) < len(found.prompts):
        raise ValueError(f"{path} has a prompt twice; DrawBench has {sum(DRAWBENCH.values())} different ones")
    counts = Counter(prompt.category for prompt in found.prompts)
    wrong = [f"{name} {counts.get(name, 0)} of {count}" for name, count in DRAWBENCH.items() if counts[name] != count]
    wrong += [f"{name!r}, which DrawBench does not have" for name in counts if name not in DRAWBENCH]
    if wrong:
        raise ValueError(f"{path} is not the whole DrawBench: {'; '.join(wrong)}; give another copy, or prompts={path}")
    return PromptSet("DrawBench", found.prompts)
