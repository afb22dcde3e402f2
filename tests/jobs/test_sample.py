"""`ip2p sample`: prompts and seeds to files, settings by stage, and errors before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops

from ip2p_lightning.config import compose
from ip2p_lightning.jobs import export, sample
from ip2p_lightning.jobs.drawing import open_drawing
from ip2p_lightning.jobs.sample_plan import plan
from ip2p_lightning.jobs.train import train
from ip2p_lightning.serving.cascade_drawing import CascadeEngine
from ip2p_lightning.serving.drawing import DrawRequest

TINY = [
    "data.train.count=8", "stages.0.max_steps=1", "trainer.precision=32-true", "~callbacks.summary",
    "~callbacks.images", "callbacks.progress.line_interval=1000",
]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    found = []
    for stage in ("base", "sr256"):
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(stage)
        config = compose("train", [f"experiment=imagen/tiny/{stage}", f"output_dir={folder}", *TINY])
        found.append(str(train(config).checkpoint))
    return found


@pytest.fixture(scope="module")
def exported(checkpoints: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade") / "exported"
    export.run(compose("export", [f"checkpoint=[{','.join(checkpoints)}]", f"output={folder}"]))
    return folder


def test_checkpoints_and_their_export_make_the_same_images(checkpoints: list[str], exported: Path, tmp_path, capsys):
    for name, cascade in [("a", f"[{','.join(checkpoints)}]"), ("b", str(exported))]:
        sample.run(
            compose(
                "sample",
                [f"cascade={cascade}", "prompt=[a red castle,a bus]", "seeds=[0,3]", f"output={tmp_path / name}",
                 "all_stages=true", "sheet=true"],
            )
        )  # fmt: skip
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == sorted(
        [f"000{n}-seed{s}{stage}.png" for n in (0, 1) for s in (0, 3) for stage in ("", "-base")] + ["sheet.png"]
    )
    for name in names:
        one, other = (Image.open(tmp_path / folder / name).convert("RGB") for folder in "ab")
        assert max(high for _, high in Image.merge("RGB", one.split()).getextrema()) >= 0
        difference = max(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True))
        assert difference <= 1
    assert Image.open(tmp_path / "a" / "0000-seed0.png").size == (16, 16)
    assert Image.open(tmp_path / "a" / "0000-seed0-base.png").size == (8, 8)
    assert "a red castle (seed 3)" in capsys.readouterr().out


def test_settings_by_stage_and_editing(exported: Path, tmp_path):
    Image.new("RGB", (40, 24), "teal").save(tmp_path / "start.png")
    common = [f"cascade={exported}", "prompt=a bus"]
    images = {}
    for name, more in {
        "own": [], "guided": ["guidance={base: 3}"], "noisy": ["noise_level={sr256: 500}"],
        "static": ["thresholding=static"],
        "edited": [f"image={tmp_path / 'start.png'}", "strength=0.4"], "part": ["until=base", "steps=2"],
    }.items():  # fmt: skip
        sample.run(compose("sample", [*common, f"output={tmp_path / name}.png", *more]))
        images[name] = Image.open(tmp_path / f"{name}.png")
    assert images["part"].size == (8, 8)
    different = {image.tobytes() for name, image in images.items() if name not in ("part", "static")}
    assert len(different) == 4


@pytest.mark.parametrize("job", ["serve", "app"])
def test_the_service_and_the_app_open_cascades_as_well(checkpoints: list[str], exported: Path, job: str):
    images = []
    for cascade in (f"[{','.join(checkpoints)}]", str(exported)):
        (engine,) = open_drawing(compose(job, [f"text_to_image={cascade}", "device=cpu"])).values()
        assert isinstance(engine, CascadeEngine)
        images.append(engine.run(engine.prepare([DrawRequest("a bus")]), lambda _: None)[0])
    assert images[0].size == (16, 16)
    assert max(high for _, high in ImageChops.difference(*images).getextrema()) <= 1


def test_what_is_there_is_kept_or_replaced(exported: Path, tmp_path, capsys):
    common = [f"cascade={exported}", "prompt=a bus", f"output={tmp_path / 'a.png'}"]
    sample.run(compose("sample", common))
    with pytest.raises(ValueError, match="exists already"):
        sample.run(compose("sample", common))
    sample.run(compose("sample", [*common, "overwrite=skip"]))
    assert "nothing was left to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "give either prompt="),
        (["prompt=''"], "a prompt is empty"),
        (["prompt=a bus", "guidance={sr9: 2}"], "the stages are base, sr256"),
        (["prompt=a bus", "until=sr9"], "the stages are base, sr256"),
        (["prompt=[a,b]"], "is one image"),
    ],
)
def test_mistakes(exported: Path, tmp_path, overrides: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        sample.run(compose("sample", [f"cascade={exported}", f"output={tmp_path / 'a.png'}", *overrides]))


def test_cascades_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        sample.open_cascade(str(tmp_path / "nothing"), "ema", [])
    with pytest.raises(ValueError, match=r"holds no cascade\.json"):
        sample.open_cascade(str(tmp_path), "ema", [])
    with pytest.raises(ValueError, match=r"noise_level=1000 must be"):
        compose("sample", ["cascade=x", "output=y", "noise_level=1000"])


def test_a_prompt_as_long_as_a_page_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3,000 characters"):
        plan(["a" * 3000], [0], tmp_path / "x", False, ["base"])


def test_refused_prompts_make_no_image_and_are_counted(exported: Path, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("dragon\n", encoding="utf-8")
    overrides = [
        "safety=words",
        f"safety.texts.0.path={tmp_path / 'words.txt'}",
        "sheet=true",
        "steps=2",
        "seeds=[0,1]",
    ]
    sample.run(
        compose(
            "sample", [f"cascade={exported}", "prompt=[a red dragon,a bus]", f"output={tmp_path / 'out'}", *overrides]
        )
    )
    said = capsys.readouterr().out
    assert "a red dragon (seed 0): its text is refused for 'dragon'" in said
    assert "2 refused (text: dragon 2)" in said
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "0001-seed0.png", "0001-seed1.png", "sheet.png",
    ]  # fmt: skip
