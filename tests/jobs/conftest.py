"""Checkpoints of tiny models, and the command line inside this process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from ip2p_lightning.cli import main
from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import train


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`checkpoint("mgie/tiny")` is a checkpoint of that experiment after one step."""
    made: dict[str, Path] = {}

    def make(experiment: str) -> Path:
        if experiment not in made:
            folder = tmp_path_factory.mktemp("run")
            short = ["trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary", f"output_dir={folder}"]
            path = train(compose("train", [f"experiment={experiment}", *short])).checkpoint
            assert path is not None
            made[experiment] = path
        return made[experiment]

    return make


@pytest.fixture
def ip2p(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`ip2p("data", "stats", "path=x")` runs the command in an empty folder and returns what it prints.

    `ip2p(..., fails=True)` expects exit code 2 and returns the message.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root, "handlers", [])  # Hydra's write to a terminal that ends with the test

    def run(*words: str, fails: bool = False) -> str:
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        assert code == (2 if fails else 0), printed.err
        return printed.err if fails else printed.out

    return run
