"""Published pairs and captioned photographs from their folders to edited photographs, by the command line alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.mark.real
@pytest.mark.parametrize(
    ("source", "data", "options"),
    [
        ("ip2p_folder", "ml-mgie", ["source.folder={}/_data", "source.split_by_position=false"]),
        ("captioned", "cc12m_test", ["source.path={}", "source.size=64", "source.per_photograph=1"]),
    ],
)
def test_render_train_edit_evaluate(ip2p, shared_data, tmp_path: Path, source: str, data: str, options: list[str]):
    folder = shared_data(data)
    ip2p("data", "render", f"source={source}", *(option.format(folder) for option in options), "output=pairs")
    ip2p("data", "verify", "path=pairs", "decode=true")

    shards = ["data=shards", "data.path=pairs", "data.transform.resolution=32", "data.workers=0", "data.batch_size=2"]
    quick = ["trainer.max_steps=1", "~callbacks.summary", "output_dir=run"]
    assert "step 1/1" in ip2p("train", "experiment=mgie/tiny", *shards, *quick)

    checkpoint = "checkpoint=run/checkpoints/last.ckpt"
    photograph = shared_data("ml-mgie") / "_input" / "0.jpg"
    ip2p("edit", checkpoint, f"image={photograph}", "instruction=make it winter", "output=out.png", "resolution=64")
    with Image.open(photograph) as before, Image.open(tmp_path / "out.png") as after:
        assert after.width / after.height == pytest.approx(before.width / before.height, rel=0.1)
    ip2p("evaluate", checkpoint, *shards, "split=train", "count=1", "show=1", "worst=0", "steps=1", "output=scores")
    assert (tmp_path / "scores" / "report.html").is_file()
