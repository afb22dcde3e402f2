"""The pipelines of this package as a user of diffusers calls them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from factories import LGIE, MGIE, WORLD, seeing, tiny_batch, tiny_module
from PIL import Image

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.interop import EditingPipeline, MGIEPipeline, TextEditingPipeline, export


@pytest.fixture(scope="module")
def mgie(tmp_path_factory: pytest.TempPathFactory) -> MGIEPipeline:
    return MGIEPipeline.from_pretrained(export(seeing(tiny_module(MGIE)), tmp_path_factory.mktemp("mgie")))


def test_derives_the_expressive_instruction_and_edits(mgie: MGIEPipeline) -> None:
    batch = tiny_batch(size=16)
    output = mgie(batch.instruction, (batch.original_image + 1) / 2, generator=torch.Generator().manual_seed(0))
    edited, condition = seeing(tiny_module(MGIE)).edit(
        batch.original_image, batch.instruction, generator=torch.Generator().manual_seed(0)
    )
    assert output.expressive_instructions == condition.expressive_instructions
    assert len(output.expressive_instructions) == 3
    assert [image.tobytes() for image in output.images] == [to_pil(image).tobytes() for image in edited]


@pytest.mark.parametrize("config", [LGIE, WORLD], ids=["lgie", "world"])
def test_other_models_run_too(config: dict, tmp_path: Path) -> None:
    kind: type[EditingPipeline] = MGIEPipeline if config is LGIE else TextEditingPipeline
    pipeline = kind.from_pretrained(export(tiny_module(config), tmp_path))
    assert pipeline("make it winter", Image.new("RGB", (17, 16))).images[0].size == (16, 16)


def test_one_picture_for_several_instructions_and_any_mode(mgie: MGIEPipeline) -> None:
    output = mgie(["make it winter", "make it red"], Image.new("RGBA", (9, 16)), num_inference_steps=1)
    assert [(image.mode, image.size) for image in output.images] == [("RGB", (8, 16))] * 2


@pytest.mark.parametrize(("kind", "shape"), [("np", (1, 8, 16, 3)), ("pt", (1, 3, 8, 16))])
def test_output_types(mgie: MGIEPipeline, kind: str, shape: tuple[int, ...]) -> None:
    images, texts = mgie(
        "make it winter", Image.new("RGB", (16, 8)), num_inference_steps=1, output_type=kind, return_dict=False
    )
    assert images.shape == shape
    assert np.asarray(images).min() >= 0
    assert len(texts) == 1


def test_scales_and_steps_override_the_saved_ones(mgie: MGIEPipeline) -> None:
    image = to_pil(tiny_batch(size=16).original_image[0])

    def edit(**options: float) -> bytes:
        generator = torch.Generator().manual_seed(0)
        return mgie("make it winter", image, generator=generator, **options).images[0].tobytes()

    results = [edit(), edit(guidance_scale=1.0), edit(image_guidance_scale=0.5), edit(num_inference_steps=1)]
    assert edit(guidance_scale=7.5, image_guidance_scale=1.5, num_inference_steps=4) == results[0]
    assert len(set(results)) == len(results)


def test_saving_again_changes_nothing(mgie: MGIEPipeline, tmp_path: Path) -> None:
    mgie.save_pretrained(tmp_path)
    again = MGIEPipeline.from_pretrained(tmp_path)
    same = {name: value for name, value in again.config.items() if not name.startswith("_")}
    assert same == {name: value for name, value in mgie.config.items() if not name.startswith("_")}
    first, second = mgie.as_module().state_dict(), again.as_module().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_errors(mgie: MGIEPipeline) -> None:
    with pytest.raises(ValueError, match="instruction 1 of 1 is empty"):
        mgie(" ", Image.new("RGB", (16, 16)))
    with pytest.raises(ValueError, match="2 images and 3 instructions"):
        mgie(["make it winter"] * 3, [Image.new("RGB", (16, 16))] * 2)
