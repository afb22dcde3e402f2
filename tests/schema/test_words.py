"""Free text and paths come through the command line as they are written."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
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
    monkeypatch.setenv("HOME", "/home/me")
    assert given_to("edit", "image=~/x (1).png", "image") == "/home/me/x (1).png"
    assert given_to("edit", "image=[~/a.png,b.png]", "image") == ["/home/me/a.png", "b.png"]
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


def test_a_sentence_with_a_comma_is_no_two_runs():
    with pytest.raises(ValueError, match="with -m a comma separates the runs; for one text with a comma write"):
        as_written("edit", "instruction=make it winter, please", multirun=True)
    whole = """instruction="make it winter, please\""""
    assert as_written("edit", whole, multirun=True) == whole


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


@pytest.mark.parametrize(
    ("job", "word", "meant"),
    [
        ("study", "systems={ours: out (1), theirs: b/c d}", {"ours": "out (1)", "theirs": "b/c d"}),
        ("study", "systems={ours: ~/a, theirs: C:\\x\\y}", {"ours": "/home/me/a", "theirs": "C:\\x\\y"}),
        ("study", "systems={'my run': epoch=0-step=4, x: o'ther}", {"my run": "epoch=0-step=4", "x": "o'ther"}),
        ("study", "systems={a: 'b, c', d: 雪!}", {"a": "b, c", "d": "雪!"}),
        ("benchmark", "systems={sd: owner/name, mine: ~/x [2]}", {"sd": "owner/name", "mine": "/home/me/x [2]"}),
        ("calibrate", "marks={a: C:\\x (1).csv}", {"a": "C:\\x (1).csv"}),
        ("benchmark", "prompts=~/my prompts (1).csv", "/home/me/my prompts (1).csv"),
        ("audit", "grid=~/a, b.json", "/home/me/a, b.json"),
        ("audit", "classifier={model: qwen2.5:7b, timeout: 30, attributes: {gender: [f, m]}}",
         {"model": "qwen2.5:7b", "timeout": 30, "attributes": {"gender": ["f", "m"]}}),
        ("serve", "text_to_image=~/sd (1)", "/home/me/sd (1)"),
        ("sample", "cascade=[epoch=0-step=4.ckpt, ~/sr.ckpt]", ["epoch=0-step=4.ckpt", "/home/me/sr.ckpt"]),
        ("app", "preferences=~/wünsche & co", "/home/me/wünsche & co"),
    ],
)  # fmt: skip
def test_mappings_and_the_keys_of_newer_jobs(
    job: str, word: str, meant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    key = word.partition("=")[0]
    (read,) = OverridesParser.create().parse_overrides([as_written(job, word)])
    assert OmegaConf.to_container(OmegaConf.create({key: plain(read.value())}), resolve=True) == {key: meant}


def plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else getattr(value, "text", value)


def test_a_text_in_braces_is_a_text():
    assert given_to("edit", "instruction={winter} and {snow}", "instruction") == "{winter} and {snow}"
    assert given_to("edit", "instruction={winter}", "instruction") == "{winter}"


def test_a_name_that_the_grammar_does_not_have_is_refused_with_its_key():
    with pytest.raises(ValueError, match="systems: the name '雪' in a mapping"):
        as_written("study", "systems={雪: a}")


def test_python_gives_words_in_hydra_s_own_grammar():
    assert compose("edit", ["instruction='make it winter!'"]).instruction == "make it winter!"
