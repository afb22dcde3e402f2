"""The names at the top of the package: all there, lazy, and their examples run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

import ip2p_lightning as ip2p


@pytest.mark.parametrize("name", ip2p.__all__)
def test_every_name_is_there_and_its_example_runs(name: str) -> None:
    found = getattr(ip2p, name)
    assert name in dir(ip2p)
    tests = doctest.DocTestFinder(recurse=False).find(found, name, module=import_module(ip2p.__name__))
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert sum(len(test.examples) for test in tests) > 0, f"{name} has no example"
    assert [runner.run(test).failed for test in tests] == [0] * len(tests)


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, ip2p_lightning; print([m for m in ('torch', 'PIL', 'numpy', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'load_modle'; it has .*load_editor"):
        ip2p.load_modle  # noqa: B018
