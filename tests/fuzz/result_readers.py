"""Readers of what the newer jobs take: prompts, grids of audits, benchmarks, studies, saved conversations, tables."""

from __future__ import annotations

import functools
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from fuzz.data_readers import IMAGES, naming, with_images
from fuzz.harness import Reader
from fuzz.inputs import damaged
from ip2p_lightning.editors import conversation_file
from ip2p_lightning.editors.turns import Content, Preference, Turn
from ip2p_lightning.evaluation.audit.classifiers import Labels
from ip2p_lightning.evaluation.audit.grid import read_instructions, read_portraits, read_prompt_grid
from ip2p_lightning.evaluation.prompts.prompt_set import read_prompts
from ip2p_lightning.evaluation.prompts.run import read_benchmark
from ip2p_lightning.evaluation.run_values import logged_rows
from ip2p_lightning.jobs.edit_plan import read_table
from ip2p_lightning.serving.study.answers import export_answers
from ip2p_lightning.serving.study.folder import Study
from ip2p_lightning.serving.study.store import AnswerStore, StoredAnswer

_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.just([]), st.just({}),
    st.sampled_from(["../a.png", "/etc/passwd", "a.png", "left", "x" * 3000, "{person}", 2**70]),
    st.lists(st.text(max_size=4), max_size=3), st.dictionaries(st.text(max_size=4), st.floats(), max_size=2),
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, sound: Any) -> bytes:
    """JSON with some values anywhere in it replaced, removed or added."""
    content: Any = {"": json.loads(json.dumps(sound))}
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = content
        key: Any = ""
        while (inner := holder[key]) and isinstance(inner, dict | list) and draw(st.integers(0, 4)):
            holder, key = inner, draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if draw(st.integers(0, 3)) or holder is content:
            holder[key] = draw(_VALUES)
        else:
            del holder[key]
    return json.dumps(content[""]).encode()


def _in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def run(data: bytes, folder: Path) -> None:
        file = with_images(folder) / name
        file.write_bytes(data)
        read(file)

    return naming(run)


_PROMPTS = [
    (".jsonl", b'{"prompt": "a bus", "category": "x", "atoms": [{"question": "q?", "answer": "y"}]}\n{"prompt": "b"}'),
    (".json", b'["a bus", {"prompt": "b", "id": "7"}]'),
    (".csv", b'\xef\xbb\xbfPrompt,Category\n"a bus, red",x\nb,y\n'),
    (".tsv", b"Category\tPrompt\nx\ta bus\n"),
    (".txt", b"a bus\r\nb\n"),
]
_prompts = st.sampled_from(_PROMPTS).flatmap(lambda one: st.tuples(st.just(one[0]), damaged([one[1]])))


def _read_prompts(value: tuple[str, bytes], folder: Path) -> None:
    _in_file(f"prompts{value[0]}", read_prompts)(value[1], folder)


_GRID = {
    "templates": ["a photo of {person} {place}"], "slots": {"person": ["a nurse", "a pilot"], "place": ["at home"]},
    "subject": "person", "reference": {"gender": {"female": 0.5, "male": 0.5}},
}  # fmt: skip
_INSTRUCTIONS = [{"instruction": "make them a pilot", "shows": {"job": "pilot"}, "changes": ["age"]}]
_PORTRAITS = [b"image,gender,id\na.png,female,1\nb.png,male,2\n", b"image;skin;mask\na.png;dark;b.png\n"]
_LABELS = [b"id,gender\na,female\nb,\n"]
_METRICS = [b"step,train/loss,val/loss\n1,0.5,\n2,,0.25\n"]
_EDITS = [b"image,instruction,seed\na.png,make it red,3\n", b'{"image": "a.png", "instruction": "x", "seed": 3}\n']


def _read_benchmark(data: bytes, folder: Path) -> None:
    (folder / "benchmark.json").write_bytes(data)
    (folder / "prompts.jsonl").write_text('{"id": "0", "prompt": "a bus"}\n')
    found = read_benchmark(folder)
    assert len(found.rows) % len(found.systems) == 0


_ROW = {"system": "a", "prompt": "0", "sample": 0, "image": "images/x.png", "clip": 0.5}
_RESULTS = {"facts": {"prompts": "p"}, "rows": [{**_ROW, "replies": [{"right": True, "said": "red"}]}]}

_NAMES = [f"{number:032x}.png" for number in range(3)]
_ITEM = {"pair": "p", "prompt": "a bus", "category": "", "systems": ["a", "b"], "images": _NAMES[:2],
         "original": _NAMES[2], "catch": False}  # fmt: skip
_STUDY = {"name": "s", "secret": "0" * 64, "questions": {"follows": "?"}, "items": [_ITEM, _ITEM], "per_rater": 2}


def _read_study(data: bytes, folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for name in _NAMES:
        (folder / "images" / name).write_bytes(IMAGES["a.png"])
    (folder / "study.json").write_bytes(data)
    study = Study.open(folder)
    assert all(name in _NAMES for item in study.items for name in (*item.images, item.original) if name)
    for item in study.plan("r", {}):
        study.token("r", item)


@functools.cache
def _answers() -> bytes:
    """The file of a study's answers, with two raters."""
    with tempfile.TemporaryDirectory() as folder:
        store = AnswerStore(Path(folder) / "a.sqlite")
        for rater in ("r1", "r2"):
            store.join(rater, rater, lambda _: [0, 1])
            store.record(StoredAnswer(rater, 0, {"follows": "left", "looks": "same"}, True, 5, 1.0))
        store.close()
        return (Path(folder) / "a.sqlite").read_bytes()


@st.composite
def _databases(draw: st.DrawFn) -> bytes:
    """The file with some cells changed by SQL, or some bytes."""
    if draw(st.booleans()):
        return draw(damaged([_answers()]))
    table, column = draw(st.sampled_from(
        [("raters", "items"), ("raters", "name"), ("answers", "item"), ("answers", "follows"), ("answers", "looks"),
         ("answers", "received"), ("answers", "milliseconds")]
    ))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.sqlite"
        file.write_bytes(_answers())
        base = sqlite3.connect(file)
        value = draw(st.text(max_size=9) | st.integers(-(2**63), 2**63 - 1) | st.sampled_from(["[7]", "[" * 9999]))
        for name in ("raters", "answers"):  # without types, as another program may make them
            base.executescript(
                f"CREATE TABLE t AS SELECT * FROM {name}; DROP TABLE {name}; ALTER TABLE t RENAME TO {name}"
            )
        base.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (_storable(value),))
        base.commit()
        base.execute("PRAGMA journal_mode=DELETE")
        base.close()
        return file.read_bytes()


def _storable(value: str | int) -> str | int:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _read_answers(data: bytes, folder: Path) -> None:
    _read_study(json.dumps(_STUDY).encode(), folder)
    for left in folder.glob("answers.sqlite*"):
        left.unlink()
    (folder / "answers.sqlite").write_bytes(data)
    export_answers(folder)


@functools.cache
def _conversation() -> bytes:
    image = Image.new("RGB", (4, 3), "teal")
    turns = [Turn(1, 0, 1, "make it night", image, image), Turn(2, 1, 2, "red", image, image, strength=0.5)]
    with tempfile.TemporaryDirectory() as folder:
        content = Content("e", image, turns, [0, 1, 2], 2, [Preference(1, (), "now")])
        return conversation_file.write(content, Path(folder) / "talk.zip").read_bytes()


@st.composite
def _conversations(draw: st.DrawFn) -> bytes:
    """The zip with damaged bytes, or sound around a changed JSON."""
    if draw(st.booleans()):
        return draw(damaged([_conversation()]))
    with zipfile.ZipFile(io.BytesIO(_conversation())) as old, zipfile.ZipFile(made := io.BytesIO(), "w") as new:
        stored = json.loads(old.read("conversation.json"))
        new.writestr("conversation.json", draw(changed(stored)), draw(st.sampled_from([0, 8, 12, 14])))
        for name in old.namelist()[1:]:
            new.writestr(name, draw(damaged([old.read(name)])))
    return made.getvalue()


def _read_conversation(data: bytes, folder: Path) -> None:
    (folder / "talk.zip").write_bytes(data)
    for turn in conversation_file.read(folder / "talk.zip").turns:
        assert turn.image.size == turn.before.size


RESULT_READERS = {
    "prompts": Reader(_prompts, _read_prompts, (ValueError,)),
    "prompt_grid": Reader(changed(_GRID), _in_file("grid.json", read_prompt_grid), (ValueError,)),
    "audit_rows": Reader(changed(_INSTRUCTIONS), _in_file("rows.json", read_instructions), (ValueError,)),
    "portraits": Reader(damaged(_PORTRAITS), _in_file("people.csv", read_portraits), (ValueError,)),
    "labels": Reader(damaged(_LABELS), _in_file("labels.csv", Labels), (ValueError,)),
    "metrics": Reader(damaged(_METRICS), _in_file("metrics.csv", logged_rows), (ValueError,)),
    "edits": Reader(
        damaged(_EDITS[:1]),
        _in_file("edits.csv", lambda file: read_table(file, None, 0, file.parent / "out")),
        (ValueError, FileNotFoundError),
    ),
    "benchmark": Reader(changed(_RESULTS), naming(_read_benchmark), (ValueError,)),
    "study": Reader(changed(_STUDY), naming(_read_study), (ValueError,)),
    "answers": Reader(_databases(), naming(_read_answers), (ValueError,)),
    "conversation": Reader(_conversations(), _read_conversation, (conversation_file.ConversationError,)),
}
"""By name; errors must name the file, or the conversation that was opened."""
