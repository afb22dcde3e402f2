"""`ip2p benchmark` end to end: the zoo's model beside a folder of images, a page, and DrawBench by its path."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from ip2p_lightning.cli import main
from ip2p_lightning.data.saving import save_image


def test_the_zoos_model_and_a_folder_are_compared(tmp_path, capsys):
    from ip2p_lightning.evaluation.prompts.world_prompts import world_prompts

    for prompt in world_prompts(2).prompts:
        save_image(Image.new("RGB", (64, 64), "teal"), tmp_path / "plain" / f"{prompt.id}.png")
    output = tmp_path / "out"
    systems = f"systems={{ours:text_to_image,plain:{tmp_path / 'plain'}}}"
    arguments = ["benchmark", systems, "count=2", "steps=2", f"output={output}", "resamples=50", "show=2"]
    assert main(arguments) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "held-out combinations" in shown
    rows = json.loads((output / "benchmark.json").read_text())["rows"]
    assert len(rows) == 8
    assert all(-1 <= row["clip"] <= 1 and row["replies"] for row in rows)
    assert "zoo:dual_encoder" in (output / "benchmark.html").read_text()


@pytest.mark.real
def test_drawbench_is_taken_by_its_path(tmp_path, capsys, shared_data):
    file = shared_data("drawbench") / "imagen.csv"
    for number in range(1, 201):
        save_image(Image.new("RGB", (16, 16), (number, 0, 0)), tmp_path / "a" / f"{number:04d}.png")
    arguments = ["benchmark", "prompts=drawbench", f"systems={{a:{tmp_path / 'a'}}}", f"output={tmp_path / 'out'}"]
    assert main([*arguments, f"drawbench={file}", "show=1", "resamples=20"]) == 0, capsys.readouterr().err
    page = (tmp_path / "out" / "benchmark.html").read_text()
    assert "DrawBench, 200 prompts" in page
    assert "Gary Marcus et al." in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompts=drawbench"], "drawbench is missing"),
        (["prompts=nothing.jsonl"], "nothing.jsonl: no such file of prompts"),
        (["samples=0"], "samples"),
    ],
)
def test_mistakes_are_named(tmp_path, capsys, words, message):
    (tmp_path / "a").mkdir()
    assert main(["benchmark", f"systems={{a:{tmp_path / 'a'}}}", f"output={tmp_path / 'out'}", *words]) == 2
    assert message in capsys.readouterr().err
