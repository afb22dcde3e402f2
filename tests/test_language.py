"""The text of package, configuration, pages and scripts has the field's words: no word of the list below.

Comments, docstrings and messages of Python files, comments of YAML files, the text of pages and templates are read;
names in code, file names, keys and anything between backticks are not.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BANNED = {
    r"pictures?": "image, images",
    r"anew": "again, from scratch",
    r"told": "given, reported, determined",
    r"beside": "next to, besides, in addition to, compared with",
    r"whoever": "the caller, the reader, a process that",
    r"manieth": "the number of",
    r"spoilt": "corrupted",
    r"nobody": "no one, no process, not recorded",
    r"begun": "started",
    r"lest": "so that ... not",
}
"""Word -> what to write."""
_BANNED = re.compile(rf"\b(?:{'|'.join(BANNED)})\b", re.IGNORECASE)
DATA = {
    "ip2p_lightning/world/edits/layout.py": "captions and instructions of datasets",
    "ip2p_lightning/world/edits/local.py": "captions and instructions of datasets",
    "ip2p_lightning/world/edits/objects.py": "captions and instructions of datasets",
    "ip2p_lightning/world/open/edits/vague.py": "captions and instructions of datasets",
    "ip2p_lightning/world/tokenizer.py": "words of the tokenizer's vocabulary",
    "ip2p_lightning/photo_edits/picture_edits.py": "captions and instructions of datasets",
    "ip2p_lightning/generation/everyday.py": "captions and instructions of datasets",
    "ip2p_lightning/generation/writers/endpoint.py": "the prompt of a server's model, with which rates were measured",
    "ip2p_lightning/data/doctor/cues.py": "words that instructions of other people have",
}
"""File whose strings are data -> what they are. Comments and docstrings of these files count."""
_CODE = re.compile(
    r"`[^`\n]*`|\{[^{}\n]*\}|\]\([^)\s]*\)|\S*[/_.=]\S*[\w/]|\w+/(?=\s)|^\s+\*{0,2}\w+(?:, \w+)*: ", re.MULTILINE
)
"""Not prose: code between backticks, placeholders, link targets, paths and keys, names of arguments."""


def _python(text: str, data: bool) -> Iterator[tuple[int, str]]:
    docs = {
        node.value.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_doc = token.start[0] in docs
        prose_of_string = token.type == tokenize.STRING and (is_doc or (not data and " " in token.string))
        if token.type == tokenize.COMMENT or prose_of_string:
            yield token.start[0], token.string


def _lines(text: str, marker: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(rf"(?:^|\s){marker}(.*)", line)
        if found:
            yield number, found[1]


def _page(text: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def _template(text: str) -> Iterator[tuple[int, str]]:
    for found in re.finditer(r">([^<>]+)<", text):
        yield text.count("\n", 0, found.start()) + 1, re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", found[1], flags=re.DOTALL)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every piece of prose of a file, without code in it."""
    text = path.read_text(encoding="utf-8")
    data = str(path.relative_to(ROOT)) in DATA if path.is_relative_to(ROOT) else False
    parts = {
        ".py": lambda: _python(text, data),
        ".yaml": lambda: _lines(text, "#"),
        ".md": lambda: _page(text),
        ".j2": lambda: _template(text),
    }[path.suffix]()
    return ((line, _CODE.sub(" ", part)) for line, part in parts)


def banned(path: Path) -> list[str]:
    """A message for each banned word of a file."""
    found = []
    for line, part in prose(path):
        for match in _BANNED.finditer(part):
            word = match[0].lower()
            better = next(words for pattern, words in BANNED.items() if re.fullmatch(pattern, word))
            found.append(f"{path.name}:{line + part.count(chr(10), 0, match.start())}: {match[0]!r}; write {better}")
    return found


def _files(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())


CODE = ("ip2p_lightning/**/*.py", "experiments/*.py", "benchmarks/*.py", "docs/*.py")
TEXT = (
    "conf/**/*.yaml",
    "*.yaml",
    "docs/**/*.md",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "ip2p_lightning/**/*.j2",
)
EXAMPLES = ROOT / "CONTRIBUTING.md"  # names the words that it forbids


def test_no_banned_words():
    found = [message for path in _files(*CODE, *TEXT) if path != EXAMPLES for message in banned(path)]
    assert not found, "\n".join(found)


def riddles(path: Path) -> list[str]:
    """Docstrings of a file, also of constants, that begin with a question word in place of a noun or a verb."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            words = node.value.value.split()
            found += [f"{path.name}:{node.lineno}: {' '.join(words[:6])}"] if words and words[0] in QUESTIONS else []
    return found


QUESTIONS = {"What", "Which", "How", "Whether", "Where", "Who", "When"}


def test_headlines_name_the_thing_or_the_act(tmp_path: Path):
    found = [message for path in _files(*CODE) for message in riddles(path)]
    assert not found, "\n".join(found)
    (tmp_path / "a.py").write_text('X = 1\n"""What x is."""\n\n\ndef f() -> None:\n    """How f works."""\n')
    assert len(riddles(tmp_path / "a.py")) == 2


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.py", '"""The picture."""\n', 1),
        ("a.py", "x = 1  # made anew\n", 1),
        ("a.py", 'raise ValueError(f"{file}: no picture; told twice")\n', 2),
        ("a.py", 'pictures = {"picture": "a/picture.png"}\n', 0),
        ("a.py", '"""Shapes.\n\n    pictures: images of `pictures/`.\n    """\n', 0),
        ("a.yaml", "pictures: 1  # beside the model\n", 1),
        ("a.md", "Whoever reads\n```bash\nip2p train  # anew\n```\n[a](pictures/a.png)\n", 1),
        ("a.j2", '<p class="beside">{{ beside }} said beside</p>', 1),
    ],
)
def test_the_search_itself(name: str, text: str, count: int, tmp_path: Path):
    path = tmp_path / name
    path.write_text(text)
    assert len(banned(path)) == count


def test_the_list_of_data_is_needed():
    for name, reason in DATA.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert reason
        assert any(_BANNED.search(_CODE.sub(" ", part)) for _, part in _python(text, data=False)), name
