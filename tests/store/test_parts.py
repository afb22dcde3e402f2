"""Parts are there as a whole or not at all, and each is done once, whatever happens to the processes that make them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from processes import in_process

from ip2p_lightning.store import Claims, PartStore, digest
from ip2p_lightning.store.claims import _kernel

EXPIRY = 0.8  # seconds, where a death is waited for
NEVER = 60.0  # where none is: a live process may be slow on a machine that is busy
KEYS = [f"part-{number:02d}" for number in range(24)]


def make(
    folder: Path, keys: list[str] = KEYS, before: Callable[[str], Any] = lambda key: None, expiry: float = EXPIRY
) -> None:
    """Work like a member of a job array: note each part that is begun, and write it."""
    store = PartStore(folder / "parts", ".txt", expiry)
    for key in store.work(keys):
        with (folder / "begun").open("a") as file:
            file.write(f"{key} {os.getpid()}\n")
        before(key)
        time.sleep(0.005)
        store.write(key, f"content of {key}")


def members(count: int, *args: Any) -> list[Any]:
    processes = [get_context("fork").Process(target=make, args=args) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


def begun(folder: Path) -> Counter[str]:
    file = folder / "begun"
    return Counter(line.split()[0] for line in file.read_text().splitlines()) if file.exists() else Counter()


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.01)


def check_whole(folder: Path, keys: list[str] = KEYS) -> None:
    store = PartStore(folder / "parts", ".txt")
    assert store.keys() == set(keys)
    assert all(store.read(key) == f"content of {key}".encode() for key in keys)
    hidden = [path.name for path in (folder / "parts").iterdir() if path.name.startswith(".")]
    assert not [name for name in hidden if ".claim" in name], "every claim is given back"


def test_each_part_is_made_by_one_of_many_processes(tmp_path: Path) -> None:
    for process in (processes := members(4, tmp_path, KEYS, lambda key: None, NEVER)):
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * 4
    assert begun(tmp_path) == dict.fromkeys(KEYS, 1)
    assert len({line.split()[1] for line in (tmp_path / "begun").read_text().splitlines()}) > 1, "they share the work"
    check_whole(tmp_path)


def test_a_part_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    make(tmp_path, KEYS[:3])
    make(tmp_path, KEYS[:5])
    assert begun(tmp_path) == dict.fromkeys(KEYS[:5], 1)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_work_of_a_process_that_was_killed_is_taken_over(tmp_path: Path, elsewhere: bool) -> None:
    def die(key: str) -> None:
        if key == KEYS[3]:
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_process(lambda: make(tmp_path, KEYS[:6], die)) == -signal.SIGKILL
    claim = tmp_path / f"parts/.{KEYS[3]}.claim-0"
    begin = time.monotonic()
    if elsewhere:  # on another machine nothing is known of the process
        claim.write_bytes(claim.read_bytes().replace(_kernel().encode(), b"another"))
    make(tmp_path, KEYS[:6], expiry=EXPIRY if elsewhere else NEVER)
    assert (time.monotonic() - begin > EXPIRY) == elsewhere, "the dead of this machine are known at once"
    assert begun(tmp_path) == dict.fromkeys(KEYS[:6], 1) | {KEYS[3]: 2}
    check_whole(tmp_path, KEYS[:6])


def test_a_straggler_that_comes_back_changes_nothing(tmp_path: Path) -> None:
    """Stopped for longer than the expiry, as by a machine that hangs; its work is done by then."""
    (straggler,) = members(1, tmp_path, KEYS[:1], lambda key: time.sleep(0.2))
    wait_for(lambda: begun(tmp_path))
    os.kill(straggler.pid, signal.SIGSTOP)
    make(tmp_path, KEYS[:3])
    first = (tmp_path / f"parts/{KEYS[0]}.txt").stat()
    os.kill(straggler.pid, signal.SIGCONT)
    straggler.join(20)
    assert straggler.exitcode == 0
    assert begun(tmp_path) == {KEYS[0]: 2, KEYS[1]: 1, KEYS[2]: 1}
    last = (tmp_path / f"parts/{KEYS[0]}.txt").stat()
    assert (first.st_ino, first.st_mtime_ns) == (last.st_ino, last.st_mtime_ns), "the first result stays"
    check_whole(tmp_path, KEYS[:3])


def test_a_slow_owner_that_lives_keeps_its_part(tmp_path: Path) -> None:
    (slow,) = members(1, tmp_path, KEYS[:1], lambda key: time.sleep(3 * EXPIRY))
    wait_for(lambda: begun(tmp_path))
    make(tmp_path, KEYS[:1])
    slow.join(20)
    assert begun(tmp_path) == {KEYS[0]: 1}
    check_whole(tmp_path, KEYS[:1])


def test_members_come_and_go(tmp_path: Path) -> None:
    """Two begin, one of them is killed, another joins."""
    first, second = members(2, tmp_path, KEYS, lambda key: time.sleep(0.05))
    wait_for(lambda: sum(begun(tmp_path).values()) > 4)
    first.kill()
    (third,) = members(1, tmp_path, KEYS)
    for process in (second, third):
        process.join(240)
        assert process.exitcode == 0
    assert sum(begun(tmp_path).values()) <= len(KEYS) + 1, "at most the killed one's part is made twice"
    check_whole(tmp_path)


def test_an_error_gives_the_part_back(tmp_path: Path) -> None:
    def fail(key: str) -> None:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError, match="no room"):
        make(tmp_path, KEYS[:2], fail, NEVER)
    begin = time.monotonic()
    make(tmp_path, KEYS[:2], expiry=NEVER)
    assert time.monotonic() - begin < NEVER, "nobody waits for a claim that was given back"
    check_whole(tmp_path, KEYS[:2])


def test_a_part_that_could_not_be_made_is_left_to_the_next_run(tmp_path: Path) -> None:
    store = PartStore(tmp_path, ".txt", EXPIRY)
    assert list(store.work(["a", "b"])) == ["a", "b"]
    assert list(store.work(["a", "b"])) == ["a", "b"]
    assert store.keys() == set()


def test_work_can_be_stopped_also_while_others_have_what_is_left(tmp_path: Path) -> None:
    store, asked = PartStore(tmp_path, ".txt", EXPIRY), []
    with Claims(tmp_path, EXPIRY).hold("a"):
        assert list(store.work(["a", "b"], stop=lambda: len(asked) > 2 or bool(asked.append(1)))) == ["b"]


def test_a_claim_is_watched_not_timed_by_clocks(tmp_path: Path) -> None:
    """A claim from a machine whose clock is a day off counts as long as it beats, and no longer."""
    one, other = Claims(tmp_path, EXPIRY), Claims(tmp_path, EXPIRY)
    claim = one.take("a")
    assert claim is not None
    for shift in (-86_400, 86_400):
        os.utime(one.file("a", 0), (time.time() + shift,) * 2)
        assert other.take("a") is None
    claim._over.set()  # as if its process had died
    assert other.take("a") is None, "it has not been watched yet"
    wait_for(lambda: (taken := other.take("a")) and (taken.release() or True), 5)
    assert claim.lost


def test_only_one_of_many_outbids_a_dead_owner(tmp_path: Path) -> None:
    Claims(tmp_path, EXPIRY)._make("a", 0)
    bidders = [Claims(tmp_path, EXPIRY) for _ in range(8)]
    assert not any(bidder.take("a") for bidder in bidders)
    time.sleep(EXPIRY * 1.1)
    won = [claim for bidder in bidders if (claim := bidder.take("a"))]
    assert len(won) == 1
    won[0].release()
    assert not list(tmp_path.glob(".a.claim-*"))


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    claims = Claims(tmp_path, EXPIRY)
    claim = claims.take("a")
    assert claim is not None
    assert claims.take("a") is None
    claim.release()
    make(tmp_path, KEYS[:3])
    check_whole(tmp_path, KEYS[:3])


def test_keys_say_what_a_part_was_made_of() -> None:
    assert digest({"a": 1, "b": [2, None]}) == digest({"b": [2, None], "a": 1})
    assert len({digest(value) for value in ({"a": 1}, {"a": 2}, {"a": "1"}, ["a", 1], None, "")}) == 6


def test_what_dead_writers_left_is_swept(tmp_path: Path) -> None:
    store = PartStore(tmp_path, ".txt")
    store.write("a", "whole")
    (tmp_path / ".b.txt.0123.part").write_text("half")
    store.sweep()
    assert (tmp_path / ".b.txt.0123.part").exists(), "its writer may be alive"
    store.sweep(age=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt"]
    PartStore(tmp_path / "absent", ".txt").sweep()
