"""A cascade through its stages, exported to diffusers' IF pipelines, and back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from diffusers import DiffusionPipeline, IFImg2ImgPipeline, IFPipeline, IFSuperResolutionPipeline

import ip2p_lightning as ip2p
from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.diffusion.stage_sampling import StageSettings
from ip2p_lightning.interop.cascade import (
    Cascade,
    cascade_of_checkpoints,
    export_cascade,
    load_cascade,
    stage_pipeline,
)
from ip2p_lightning.methods.cascade_stage import CascadeStage
from ip2p_lightning.models.weight_files import WeightsError

PROMPTS = ["a red castle by the sea", "a bus"]
TOLERANCES = {"base": 1e-5, "sr256": 1e-4, "sr1024": 1e-3}
"""Of images in [-1, 1]; differences of rounding grow from stage to stage."""


def stage(name: str, *overrides: str) -> CascadeStage:
    config = plain(compose("train", [f"experiment=imagen/tiny/{name}", "output_dir=unused", *overrides]))
    torch.manual_seed(len(name))
    parts = {part: build(config["method"][part]) for part in ("conditioner", "network", "sampler", "low_resolution")}
    with torch.no_grad():
        for parameter in parts["network"].parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    return CascadeStage(**parts).eval()


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    stages = {name: stage(name) for name in TOLERANCES}
    first = stages["base"].conditioner
    for each in stages.values():
        each.conditioner = first
    return Cascade(stages)


@pytest.fixture(scope="module")
def folder(cascade: Cascade, tmp_path_factory: pytest.TempPathFactory):
    return export_cascade(cascade, tmp_path_factory.mktemp("cascade") / "exported")


def generators(seeds: list[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_all_stages_and_a_part(cascade: Cascade):
    images = cascade(PROMPTS, [0, 1])
    assert {name: tuple(image.shape) for name, image in images.items()} == {
        "base": (2, 3, 8, 8), "sr256": (2, 3, 16, 16), "sr1024": (2, 3, 32, 32)
    }  # fmt: skip
    assert all(image.abs().max() <= 1 for image in images.values())
    part = cascade(PROMPTS[1:], [1], until="sr256")
    assert list(part) == ["base", "sr256"]
    torch.testing.assert_close(part["sr256"], images["sr256"][1:])  # not by its batch
    other = cascade(PROMPTS, [0, 1], {"base": StageSettings(guidance=2.0)}, until="base")
    assert not torch.allclose(other["base"], images["base"])


@pytest.mark.slow
def test_diffusers_pipelines_make_the_same_images_elsewhere(cascade: Cascade, folder, tmp_path):
    """In another process, from the folder alone, by diffusers' own pipelines."""
    code = f"""
import torch
import ip2p_lightning.models.efficient_unet
from diffusers import DiffusionPipeline
prompts, low, embeds, found = {PROMPTS!r}, None, None, {{}}
for name in {list(TOLERANCES)!r}:
    pipeline = DiffusionPipeline.from_pretrained({str(folder)!r} + "/" + name)
    pipeline.set_progress_bar_config(disable=True)
    if embeds is None:
        embeds, _ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False, clean_caption=False)
    given = dict(prompt_embeds=embeds, negative_prompt_embeds=torch.zeros_like(embeds), output_type="pt",
                 num_inference_steps=3, guidance_scale=7.0)
    given["generator"] = [torch.Generator().manual_seed(s) for s in (0, 1)]
    if low is not None:
        given |= dict(image=low, noise_level=0)
    low = pipeline(**given).images.clamp(-1, 1)
    found[name] = low
torch.save(found, {str(tmp_path / "found.pt")!r})
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    images = cascade(PROMPTS, [0, 1])
    for name, tolerance in TOLERANCES.items():
        torch.testing.assert_close(found[name], images[name], atol=tolerance, rtol=0, msg=name)


def test_sampling_equals_diffusers_pipelines_with_guidance_noise_and_sdedit(cascade: Cascade):
    base, sr = cascade.stages["base"], cascade.stages["sr256"]
    condition = base.conditioner.encode(PROMPTS)
    embeds = {"prompt_embeds": condition.embeddings, "negative_prompt_embeds": condition.null_embeddings}
    low = torch.rand(2, 3, 8, 8) * 2 - 1
    pipeline = stage_pipeline(sr)
    assert isinstance(pipeline, IFSuperResolutionPipeline)
    theirs = pipeline(**embeds, image=low, noise_level=300, num_inference_steps=3, guidance_scale=2.5,
                      generator=generators([3, 4]), output_type="pt").images  # fmt: skip
    ours = sr.sample(
        condition, low, settings=StageSettings(steps=3, guidance=2.5, noise_level=300), generator=generators([3, 4])
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    parts = stage_pipeline(base)
    assert isinstance(parts, IFPipeline)
    editing = IFImg2ImgPipeline(**parts.components, requires_safety_checker=False)
    editing.set_progress_bar_config(disable=True)
    theirs = editing(**embeds, image=low, strength=0.67, num_inference_steps=6, guidance_scale=3.0,
                     generator=generators([5, 6]), output_type="pt").images  # fmt: skip
    ours = base.sample(
        condition, settings=StageSettings(steps=6, guidance=3.0), start=low, strength=0.67, generator=generators([5, 6])
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_folder_opens_as_it_was(cascade: Cascade, folder):
    opened = ip2p.load_pipeline(folder)
    assert isinstance(opened, Cascade)
    for name, image in cascade(PROMPTS, [7, 8]).items():
        torch.testing.assert_close(opened(PROMPTS, [7, 8])[name], image, atol=TOLERANCES[name], rtol=0)
    kinds = [type(DiffusionPipeline.from_pretrained(folder / name)) for name in TOLERANCES]
    assert kinds == [IFPipeline, IFSuperResolutionPipeline, IFSuperResolutionPipeline]
    index = json.loads((folder / "cascade.json").read_text())
    assert index["stages"]["base"]["null_text"] == "zeros"
    assert "load_pipeline" in (folder / "README.md").read_text()


def test_editing_from_an_image(cascade: Cascade):
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    near, far = (cascade(PROMPTS, [0, 1], image=image, strength=strength) for strength in (0.34, 1.0))
    assert list(near) == list(far) == ["base", "sr256", "sr1024"]
    assert not torch.allclose(near["sr1024"], far["sr1024"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(stages={}), "names no stages"),
        (lambda index: index.update(stages={"../x": {}}), "no plain name"),
        (lambda index: index["stages"]["base"].update(steps=0), "make no stage"),
        (lambda index: index["stages"]["base"].update(anything=1), "make no stage"),
        (lambda index: index["stages"]["sr256"].update(null_text="none"), "make no stage"),
    ],
)
def test_damaged_folders(folder, tmp_path, change, message: str):
    for entry in folder.iterdir():
        if entry.is_dir():
            (tmp_path / entry.name).symlink_to(entry)
    index = json.loads((folder / "cascade.json").read_text())
    change(index)
    (tmp_path / "cascade.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=message):
        load_cascade(tmp_path)


def test_what_makes_no_cascade(cascade: Cascade):
    base, sr, last = cascade.stages.values()
    with pytest.raises(ValueError, match="must be a base"):
        Cascade({"sr256": sr})
    with pytest.raises(ValueError, match="must be a base"):
        Cascade({"base": base, "again": base})
    with pytest.raises(ValueError, match="makes 8"):
        Cascade({"base": base, "sr1024": last})
    with pytest.raises(ValueError, match="at most 3"):
        cascade_of_checkpoints([base] * 4)
    with pytest.raises(ValueError, match="stages are base, sr256, sr1024"):
        cascade(PROMPTS, [0, 1], until="sr4096")
    with pytest.raises(ValueError, match="one seed for each"):
        cascade(PROMPTS, [0])
    with pytest.raises(ValueError, match="77 tokens"):
        stage_pipeline(stage("base", "conditioner.max_length=20"))
