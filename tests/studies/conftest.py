"""Runs of studies that take half a second: editors that copy, or know the truth, on a handful of scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ip2p_lightning.studies.run import Run

QUICK = (
    "data=world_tiny",
    "split=validation",
    "device=cpu",
    "show=1",
    "worst=0",
    "intervals.resamples=20",
)


def quick(name: str, editor: str = "truth", *words: str, **labels: object) -> Run:
    """An evaluation of an editor without weights."""
    return Run(name, "evaluate", (*QUICK, f"editor={editor}", *words), labels or {"editor": editor, "seed": 0})


@pytest.fixture(scope="session")
def evaluation() -> Callable[..., Run]:
    return quick


@pytest.fixture
def told() -> list[str]:
    """What `execute` told; pass `told.append`."""
    return []


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")
