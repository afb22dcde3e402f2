"""Phases are done once, timed over all attempts, and refuse a folder made with other settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from ip2p_lightning.jobs.phases import Phase, Phases


def phases(folder: Path, seed: int = 0) -> Phases:
    return Phases(folder, {"seed": seed, "sizes": (1, 2)}, 2, Console(quiet=True))


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    calls: list[str] = []

    def work(phase: Phase) -> None:
        calls.append(phase.name)
        phase.facts["answer"] = 42

    phases(tmp_path).run("first", work)
    again = phases(tmp_path)
    assert again.run("first", work).facts == {"answer": 42}
    again.run("second", work)
    again.run("first", work, always=True)
    assert calls == ["first", "second", "first"]
    assert [name for name, _ in again.spent()] == ["first", "second"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interrupted_phase_keeps_its_time_and_its_facts(tmp_path: Path, stop: type[BaseException]) -> None:
    def broken(phase: Phase) -> None:
        phase.facts["half"] = True
        raise stop

    attempt = phases(tmp_path)
    with pytest.raises(stop):
        attempt.run("long", broken)
    resumed = phases(tmp_path)
    first = resumed.seconds
    assert first > 0
    seen: list[dict[str, object]] = []
    resumed.run("long", lambda phase: seen.append(dict(phase.facts)))
    assert seen == [{"half": True}]
    assert resumed.seconds > first


def test_other_settings_are_named(tmp_path: Path) -> None:
    phases(tmp_path).run("first", lambda _: None)
    with pytest.raises(ValueError, match=r"other settings \(seed\); choose another folder"):
        phases(tmp_path, seed=1)
