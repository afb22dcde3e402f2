"""What the YAML files of the configuration tree say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.config import config_dir
from ip2p_lightning.jobs.guide import experiments, primary_keys, subjects
from ip2p_lightning.jobs.tree import Key, groups, headline, headlines, keys, options

TEXT = """# @package _global_
# Half the pairs, in two lines of
# comment. More of it:
#   ip2p train x=1
defaults:
  - data: world  # pairs
a: "x # y"       # a text with a sign
b: {c: 1}        # a mapping
d:               # a part
  _target_: some.Thing
  e: [1, 2]      # a list
  f: null
"""


def test_comments_are_those_of_the_key_s_own_line(tmp_path: Path):
    (tmp_path / "x.yaml").write_text(TEXT)
    assert keys(tmp_path / "x.yaml") == [
        Key("a", '"x # y"', "a text with a sign"),
        Key("b", "{c: 1}", "a mapping"),
        Key("d", "", "a part"),
        Key("d.e", "[1, 2]", "a list"),
        Key("d.f", "null", ""),
    ]
    assert headline(tmp_path / "x.yaml") == "Half the pairs, in two lines of comment."


@pytest.mark.parametrize("job", subjects())
def test_every_key_and_group_of_a_job_has_a_comment(job: str):
    assert primary_keys(job)
    assert [key for key, comment in primary_keys(job).items() if not comment] == []
    assert all((config_dir() / group).is_dir() for group in groups(job))


def test_headlines_are_whole_sentences():
    found = [
        text for name in {group for job in subjects() for group in groups(job)} for text in headlines(name).values()
    ]
    assert [text for text in [*found, *experiments().values()] if not text or text.endswith((",", ":"))] == []


def test_options_of_what_is_no_group():
    assert options("no_such_group") == []
