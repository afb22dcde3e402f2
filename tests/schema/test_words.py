"""Free text and paths come through the command line as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ip2p_lightning.config import compose
from ip2p_lightning.schema import as_written

TEXTS = [
    'make it winter!', 'mach es grün', '让它变成冬天', 'سريع', 'make it red & blue', 'a, b, c', "don't",
    "'tis winter, now",
    'it\'s "red" and \'blue\'', '"red" and "blue"', 'make it (1) {x} [y]', '[a] and [b]', 'a=b=c', 'x: y', '2024',
    'true', '-5', '1e3', 'costs ${5} $HOME \\${a} \\', "a\\nb \\' c", 'new\nline\ttab', '  spaced  ', '🎨',
    '%s 100% # no comment', '@#~^|<>?*;`', 'a/b', 'choice(a,b)', '~', '', '\\', "'", '"', '{', '[', '${', 'null!',
    'nullify it',
]  # fmt: skip
PATHS = [
    'photo (1).jpg', 'epoch=0-step=4.ckpt', 'a,b.png', 'C:\\x\\y.png', 'фото.png', "a'b.png", '[1].jpg', '{a}.png',
    'my photo.jpg', '50% & more!.png', 'a#b.png', 'x.png ', '-x.png', '1.5', 'no',
]  # fmt: skip


def given_to(job: str, word: str, key: str) -> object:
    return OmegaConf.to_container(compose(job, [as_written(job, word)]), resolve=True)[key]  # type: ignore[index]


@pytest.mark.parametrize("text", TEXTS)
def test_free_text_is_taken_as_it_is(text: str):
    assert given_to("edit", f"instruction={text}", "instruction") == text


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_taken_as_they_are(path: str):
    assert given_to("edit", f"image={path}", "image") == path


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_any_text_that_is_no_list_and_not_quoted_is_taken_as_it_is(text: str):
    bare = text.strip()
    if bare in ("null", "???") or bare[:1] in ("[", "{", "'", '"'):
        return
    assert given_to("edit", f"instruction={text}", "instruction") == text


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[make it winter!, mach es grün]", ["make it winter!", "mach es grün"]),
        ("['a, b', don't, 3]", ["a, b", "don't", "3"]),
        ('["make it (1)",x]', ["make it (1)", "x"]),
        ("[]", []),
        ("'make it winter, please'", "make it winter, please"),
        ('"null"', "null"),
    ],
)
def test_lists_and_quotes_mean_what_they_mean_to_hydra(value: str, meant: object):
    assert given_to("edit", f"instruction={value}", "instruction") == meant


def test_the_home_folder_in_paths_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert given_to("edit", "image=~/x (1).png", "image") == "/home/anna/x (1).png"
    assert given_to("edit", "image=[~/a.png,b.png]", "image") == ["/home/anna/a.png", "b.png"]
    assert given_to("edit", "instruction=~/x", "instruction") == "~/x"


def test_references_are_kept_in_paths_and_are_text_in_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PHOTOS", "/photos")
    assert given_to("edit", "image=${oc.env:PHOTOS}/a (1).png", "image") == "/photos/a (1).png"
    assert given_to("edit", "instruction=${oc.env:PHOTOS}", "instruction") == "${oc.env:PHOTOS}"


@pytest.mark.parametrize(
    ("word", "given_words"),
    [
        ("instruction=make it winter!,make it summer!", "instruction='make it winter!','make it summer!'"),
        ("instruction='a, b',c", "instruction='a, b','c'"),
        ("instruction=[a,b],[c]", "instruction=['a','b'],['c']"),
        ("instruction=choice(a,b)", "instruction=choice(a,b)"),
        ("image=glob(*)", "image=glob(*)"),
        ("seeds=1,2", "seeds=1,2"),
    ],
)
def test_with_multirun_commas_separate_the_runs(word: str, given_words: str):
    assert as_written("edit", word, multirun=True) == given_words


@pytest.mark.parametrize(
    "word",
    [
        "seeds=[0,1]",
        "experiment=mgie/world",
        "~logger",
        "trainer.max_steps=3",
        "+trainer.x=a",
        "photo.jpg",
        "data=shards",
    ],
)
def test_other_words_are_left_to_hydra(word: str):
    assert as_written("train", word) == word


@pytest.mark.parametrize(
    ("job", "word"),
    [
        ("train", "data.path=my data (1)"),
        ("train", "++data.path=my data (1)"),
        ("train", "hydra.run.dir=out=1/x"),
        ("train", "logger.wandb.project=it's mine"),
        ("data", "source.folder=photos (1)"),
        ("evaluate", "editor.path=theirs, edited"),
    ],
)
def test_keys_inside_parts_are_known_by_their_names(job: str, word: str):
    value = word.split("=", 1)[1].replace("'", "\\'")
    assert as_written(job, word) == f"{word.split('=', 1)[0]}='{value}'"


def test_python_gives_words_in_hydra_s_own_grammar():
    assert compose("edit", ["instruction='make it winter!'"]).instruction == "make it winter!"
