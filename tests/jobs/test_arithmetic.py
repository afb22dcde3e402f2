"""Precision of float32 products: set for the run that asks for it, and for no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.arithmetic import matmul_precision
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.editing import EditingModule


def test_a_run_trains_with_the_precision_that_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    step = EditingModule.training_step

    def watched(self: EditingModule, *args: object) -> object:
        seen.append(torch.get_float32_matmul_precision())
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(EditingModule, "training_step", watched)
    words = ["experiment=ip2p/tiny", "trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary"]
    train(compose("train", [*words, "matmul_precision=high", f"output_dir={tmp_path / 'a'}"]))
    assert seen == ["high"]
    assert torch.get_float32_matmul_precision() == "highest"
    train(compose("train", [*words, f"output_dir={tmp_path / 'b'}"]))
    assert seen == ["high", "highest"]


def test_it_is_put_back_after_an_error():
    def fail() -> None:
        with matmul_precision("medium"):
            assert torch.get_float32_matmul_precision() == "medium"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [("ip2p/paper", "high"), ("mgie/paper", "high"), ("lgie/paper", "high"), ("ip2p/world", None)],
)
def test_the_published_recipes_have_the_papers_precision(experiment: str, expected: str | None):
    config = compose("train", [f"experiment={experiment}", "output_dir=x", *(["data.path=x"] if expected else [])])
    assert config.matmul_precision == expected
