"""Limits refuse what is larger, name their variable, and obey it; the page lists every one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning import limits
from ip2p_lightning.limits import Limit, LimitError

MEMBERS = Limit("MEMBERS", 1_000, "members of a tar")


def test_what_is_within_the_limit_passes():
    assert MEMBERS.check(1_000, "a.tar") == 1_000


@pytest.mark.parametrize("stated", [1_001, 2**63, 10**30])
def test_what_is_beyond_the_limit_is_refused_by_name(stated):
    with pytest.raises(LimitError, match=r"a\.tar: .* members of a tar, more than the limit of 1,000; .*_LIMIT_MEM"):
        MEMBERS.check(stated, "a.tar")


def test_the_environment_sets_the_limit(monkeypatch):
    monkeypatch.setenv("IP2P_LIMIT_MEMBERS", "2_000")
    assert MEMBERS.check(1_500, "a.tar") == 1_500
    with pytest.raises(LimitError, match="2,000"):
        MEMBERS.check(2_001, "a.tar")


@pytest.mark.parametrize("text", ["many", "-1", "0", "1e9", "٣", "9" * 5_000])
def test_a_limit_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("IP2P_LIMIT_MEMBERS", text)
    with pytest.raises(ValueError, match="IP2P_LIMIT_MEMBERS="):
        MEMBERS.check(1, "a.tar")


def test_the_page_lists_every_limit():
    page = (Path(__file__).parents[1] / "docs" / "limits.md").read_text(encoding="utf-8")
    rows = [f"| `{limit.variable}` | {limit.default:,} | {limit.what} |" for limit in limits.all_limits()]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
    assert all(getattr(limits, limit.name) is limit for limit in limits.all_limits())
