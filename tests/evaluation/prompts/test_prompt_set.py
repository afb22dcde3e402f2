"""Prompt sets come back as they were written, DrawBench is checked, and the world's prompts have exact answers."""

from __future__ import annotations

from collections import Counter

import pytest

from ip2p_lightning.evaluation.prompts.prompt_set import DRAWBENCH, Atom, Prompt, PromptSet, drawbench, read_prompts
from ip2p_lightning.evaluation.prompts.world_prompts import world_prompts
from ip2p_lightning.world.attributes import ATTRIBUTES
from ip2p_lightning.world.levels import HELD_OUT


def test_a_set_comes_back_as_it_was_saved(tmp_path):
    prompts = PromptSet(
        "mine", (Prompt("a", "a “red” car, 3 €", "Colors", (Atom("Which colour?", "red"),)), Prompt("b", "two dogs"))
    )
    prompts.save(tmp_path / "mine.jsonl")
    again = read_prompts(tmp_path / "mine.jsonl")
    assert again == prompts
    assert again.fingerprint() == prompts.fingerprint()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": 3.5}', "line 2: prompt should be a text"),
        ("a.jsonl", '{"prompt": " "}', "line 1 has no prompt"),
        ("a.jsonl", "[1]", "an object with a prompt"),
        ("a.jsonl", '{"prompt": "x", "atoms": [{"question": "q"}]}', "needs a question and an answer"),
        ("a.jsonl", '{"prompt": "x", "id": "1"}\n{"prompt": "y", "id": "1"}', "the id '1' twice"),
        ("a.jsonl", '{"prompt": NaN}', "line 1"),
        ("a.jsonl", '{"text": "x"}', "line 1 has no prompt, but text"),
        ("a.jsonl", '{"prompt": true}', "prompt should be a text, not bool"),
        ("a.jsonl", '{"prompt": "x", "prompt": "y"}', "stands there twice"),
        ("a.jsonl", "[" * 9999, "nested in more than"),
        ("a.json", '{"prompt": "x"}', "should hold a list"),
        ("a.json", '["x", null]', "entry 2: an object with a prompt"),
        ("a.csv", "text,category\nx,y\n", "has no column prompt; it has text, category"),
        ("a.csv", "prompt\na red bus, at night\n", "line 2 has more cells than the header"),
        ("a.csv", "prompt,Prompt,prompt\na,b,c\n", "has 'prompt' twice"),
        ("a.csv", "prompt\n" + "x" * 200_000, "damaged CSV"),
        ("a.txt", "\n\n", "a.txt: the prompt set a holds no prompts"),
        ("a.tsv", "Category\tPrompts\n", "a.tsv: the prompt set a holds no prompts"),
        ("a.txt", "caf\u00e9".encode("cp1252"), "no UTF-8"),
        ("a.txt", "x".encode("utf-16"), "UTF-16"),
    ],
)
def test_damaged_sets_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert name.split(".")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "a bus\n\n  a red castle \n"),
        ("a.txt", "\ufeffa bus\r\na red castle\r\n"),
        ("a.csv", '\ufeffPrompt,Category\n"a bus",x\na red castle,y\n'),
        ("a.csv", "Category;Prompt\nx;a bus\n;a red castle\n"),
        ("a.csv", "prompt,category\na bus,x\n,\na red castle,y\n"),
        ("a.tsv", "Prompt\tCategory\na bus\tx\na red castle\ty\n"),
        ("a.jsonl", '{"prompt": "a bus"}\n\n{"prompt": "a red castle", "tag": 3}\n'),
        ("a.json", '["a bus",\n "a red castle"]\n'),
        ("a.json", '[{"prompt": "a bus"}, {"prompt": "a red castle"}]'),
    ],
)
def test_files_that_people_have(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert [prompt.text for prompt in read_prompts(tmp_path / name).prompts] == ["a bus", "a red castle"]


def test_lines_end_where_files_say_so(tmp_path):
    """Unicode has other line ends, which JSON and CSV allow within texts."""
    text = "a bus\u2028at night\x85, red"
    (tmp_path / "a.jsonl").write_text(f'{{"prompt": "{text}"}}\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text(f'prompt\n"{text}\nand two"\n', encoding="utf-8")
    assert read_prompts(tmp_path / "a.jsonl").prompts[0].text == text
    assert read_prompts(tmp_path / "a.csv").prompts[0].text == f"{text}\nand two"


def imitation() -> str:
    rows = [f'"prompt {name}, {n}",{name}' for name, count in DRAWBENCH.items() for n in range(count)]
    return "Prompt,Category\n" + "\n".join(rows) + "\n"


def test_a_whole_drawbench_is_taken_and_a_subset_is_not(tmp_path):
    file = tmp_path / "imagen.csv"
    file.write_text("\ufeff" + imitation().replace("Gary Marcus et al.\n", "Gary Marcus et al. \n"))
    assert len(drawbench(file).prompts) == 200
    file.write_text(imitation().replace('"prompt Colors, 3",Colors\n', ""))
    with pytest.raises(ValueError, match="Colors 24 of 25"):
        drawbench(file)
    file.write_text(imitation().replace("prompt Text, 3", "prompt Text, 4"))
    with pytest.raises(ValueError, match="a prompt twice"):
        drawbench(file)


@pytest.mark.real
def test_the_real_drawbench_has_its_counts(shared_data):
    found = drawbench(shared_data("drawbench") / "imagen.csv")
    assert Counter(prompt.category for prompt in found.prompts) == DRAWBENCH
    assert found.prompts[0].text == "A red colored car."


def test_the_worlds_prompts_have_answers_that_its_judge_knows():
    found = world_prompts(8)
    assert Counter(prompt.category for prompt in found.prompts) == {"new scenes": 8, "held-out combinations": 8}
    for prompt in found.prompts:
        values = {atom.attribute: atom.answer for atom in prompt.atoms}
        assert all(value in ATTRIBUTES[name] for name, value in values.items())
        things = {(values[f"{slot} thing"], values.get(f"{slot} colour", "")) for slot in ("left", "right")}
        assert bool(things & HELD_OUT) == (prompt.category == "held-out combinations")
        assert all(atom.question.endswith("?") for atom in prompt.atoms)
    assert world_prompts(8) == found
    assert world_prompts(8, seed=1) != found
