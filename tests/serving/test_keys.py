"""Keys of clients: read from a file or the environment, compared whole, and refused where they are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.serving.keys import VARIABLE, Keys
from ip2p_lightning.serving.server import allowed_hosts, bind, check_exposure, is_local

ONE, OTHER = "0123456789abcdef", "fedcba9876543210-"


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"# of the lab\n{ONE}  # Ada\n\n{OTHER}\n")
    monkeypatch.setenv(VARIABLE, f" {ONE}, {OTHER} ,")
    for keys in (Keys.read(file), Keys.read(None)):
        assert keys
        assert [keys.allow(f"{scheme} {key}") for scheme, key in
                [("Bearer", ONE), ("bearer", OTHER), ("Bearer", ONE[:-1]), ("Bearer", ""), ("Basic", ONE), ("", "")]
                ] == [True, True, False, False, False, False]  # fmt: skip
    monkeypatch.delenv(VARIABLE)
    none = Keys.read(None)
    assert not none
    assert none.allow("")


def test_what_is_no_key_is_named_without_being_told(tmp_path: Path) -> None:
    for wrong in ("short", "with spaces in it 123", "schlüssel-mit-umlaut"):
        with pytest.raises(ValueError, match="key 2 of 2 is none") as error:
            Keys([ONE, wrong])
        assert wrong not in str(error.value)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="holds no key"):
        Keys.read(tmp_path / "empty.txt")


def test_other_machines_are_served_with_keys_alone_unless_that_is_meant() -> None:
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [True] * 3 + [
        False
    ] * 2
    with pytest.raises(ValueError, match="lets other machines in"):
        check_exposure("0.0.0.0", Keys([]), False)
    check_exposure("0.0.0.0", Keys([]), True)
    check_exposure("0.0.0.0", Keys([ONE]), False)
    check_exposure("127.0.0.1", Keys([]), False)
    assert "localhost" in allowed_hosts("127.0.0.1", Keys([]))
    assert allowed_hosts("127.0.0.1", Keys([ONE])) == allowed_hosts("0.0.0.0", Keys([])) == set()


def test_an_address_that_is_taken_is_named() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(ValueError, match="choose another port"):
        bind("127.0.0.1", taken.getsockname()[1])
