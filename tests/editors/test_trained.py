"""The trained editor: any picture and size, results independent of batches, clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from factories import IP2P, MGIE, UNET, WORLD, quiet_trainer, seeing, tiny_batch, tiny_loader, tiny_module
from PIL import Image

from ip2p_lightning.data.images import open_image, to_pil, to_tensor
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.provenance import editor_facts
from ip2p_lightning.evaluation.sweeps import GuidanceSweep
from ip2p_lightning.interop import export
from ip2p_lightning.methods.editing import EditingModule


@pytest.fixture(scope="module")
def editor() -> TrainedEditor:
    return TrainedEditor(seeing(tiny_module()), resolution=16, square=False)


def picture(size: tuple[int, int] = (16, 16), seed: int = 0) -> Image.Image:
    noise = torch.rand(3, size[1], size[0], generator=torch.Generator().manual_seed(seed))
    return to_pil(noise * 2 - 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "I", "F", "I;16", "HSV"])
def test_any_mode(editor: TrainedEditor, mode: str) -> None:
    source = picture().convert("L").convert("I").convert(mode) if mode == "I;16" else picture().convert(mode)
    (result,) = editor.edit([source], ["make it winter"], steps=1).images
    assert (result.mode, result.size) == ("RGBA" if mode in ("RGBA", "LA", "PA") else "RGB", (16, 16))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((16, 16), (16, 16)),
        ((1, 1), (16, 16)),
        ((33, 47), (12, 16)),
        ((300, 20), (16, 4)),
        ((5, 3000), (4, 16)),
        ((64, 32), (16, 8)),
    ],
)
def test_any_size_becomes_multiples_that_keep_the_aspect(
    editor: TrainedEditor, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The tiny networks divide by 2 (autoencoder) x 2 (levels of the UNet) = 4 pixels."""
    assert editor.fit(picture(size)).size == expected
    (result,) = editor.edit([picture(size)], ["make it winter"], steps=1, size="model").images
    assert result.size == expected
    (result,) = editor.edit([picture(size)], ["make it winter"], steps=1).images
    assert result.size == size


def test_a_picture_of_the_right_size_is_not_resampled(editor: TrainedEditor) -> None:
    source = picture((16, 12))
    assert editor.fit(source).tobytes() == source.tobytes()


def test_upright_photographs_and_animations_come_through_the_file_reader(editor: TrainedEditor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture((16, 8)).save(tmp_path / "rotated.jpg", exif=exif)
    frames = [picture((16, 16), seed) for seed in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    images = [open_image(tmp_path / name) for name in ("rotated.jpg", "moving.gif")]
    results = editor.edit(images, ["make it winter"] * 2, steps=1).images
    assert [result.size for result in results] == [(8, 16), (16, 16)]


def test_results_do_not_depend_on_their_batch(editor: TrainedEditor) -> None:
    sizes = [(16, 16), (16, 8), (16, 16), (8, 16), (16, 16)]
    images = [picture(size, seed) for seed, size in enumerate(sizes)]
    texts = ["make it winter", "make the house red", "turn day into night", "remove the tree", "make it winter"]
    seeds = [3, 1, 4, 1, 3]
    together = editor.edit(images, texts, seeds=seeds).images
    in_pairs = TrainedEditor(editor.module, 16, batch_size=2, square=False).edit(images, texts, seeds=seeds).images
    for index, image in enumerate(images):
        (alone,) = editor.edit([image], texts[index : index + 1], seeds=seeds[index]).images
        for other in (together[index], in_pairs[index]):
            assert (to_tensor(alone) - to_tensor(other)).abs().max() <= 2 / 255  # one grey level


def test_seeds_scales_and_steps_matter(editor: TrainedEditor) -> None:
    def edit(**options: object) -> bytes:
        (result,) = editor.edit([picture()], ["make it winter"], **options).images
        return result.tobytes()

    results = [edit(), edit(seeds=1), edit(text_scale=1.0), edit(image_scale=1.0), edit(steps=2)]
    assert edit() == results[0]
    assert len(set(results)) == len(results)


def test_tensors_come_back_as_tensors_of_their_size(editor: TrainedEditor) -> None:
    images = tiny_batch(count=3, size=8).original_image
    result = editor.edit(images, ["make it winter"] * 3, seeds=[0, 1, 2])
    assert isinstance(result.images, torch.Tensor)
    assert result.images.shape == images.shape
    assert result.images.abs().max() <= 1
    with pytest.raises(ValueError, match="resize or crop both sides to multiples of 2"):
        editor.edit(torch.zeros(1, 3, 7, 8), ["make it winter"])


def test_expressive_instructions_stand_in_the_order_of_the_pictures() -> None:
    editor = TrainedEditor(tiny_module(MGIE), resolution=16, batch_size=1)
    images = [picture((16, 16)), picture((16, 8)), picture((16, 16), 2)]
    texts = ["make it winter", "make the house red", "turn day into night"]
    written = editor.edit(images, texts, steps=1).expressive_instructions
    assert written == [
        editor.edit([image], [text], steps=1).expressive_instructions[0]
        for image, text in zip(images, texts, strict=True)
    ]
    assert TrainedEditor(tiny_module(), 16).edit(images, texts, steps=1).expressive_instructions == []


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_empty_instruction(editor: TrainedEditor, empty: str) -> None:
    with pytest.raises(ValueError, match=r"instruction 2 of 2 is empty; say what to change.*winter"):
        editor.edit([picture()] * 2, ["make it winter", empty])


def test_numbers_that_do_not_agree(editor: TrainedEditor) -> None:
    with pytest.raises(ValueError, match="2 images, 1 instructions and 2 seeds"):
        editor.edit([picture()] * 2, ["make it winter"])
    with pytest.raises(ValueError, match="1 images, 1 instructions and 3 seeds"):
        editor.edit([picture()], ["make it winter"], seeds=[1, 2, 3])


def test_no_pictures_give_no_pictures(editor: TrainedEditor) -> None:
    assert editor.edit([], []).images == []


def test_default_resolution_is_what_the_denoiser_was_built_for() -> None:
    assert TrainedEditor(tiny_module()).resolution == 16  # 8 latent cells of 2 pixels
    assert TrainedEditor(tiny_module(WORLD)).resolution == 16


def test_resolution_beyond_the_positions_of_a_transformer_is_refused() -> None:
    module = tiny_module(WORLD)
    assert TrainedEditor(module, 32).fit(picture((99, 99))).size == (32, 32)
    with pytest.raises(ValueError, match="this model's positions end at 32 pixels"):
        TrainedEditor(module, 34)


@pytest.mark.parametrize("config", [IP2P, MGIE, WORLD], ids=["ip2p", "mgie", "world"])
def test_checkpoint_and_folder_edit_as_the_module_does(config: dict, tmp_path: Path) -> None:
    module = tiny_module(config)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, tiny_loader(1))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    export(module, tmp_path / "folder")
    images = [picture((16, 16)), picture((20, 9), 1)]
    options = {"seeds": [5, 6], "steps": 3, "text_scale": 3.0, "image_scale": 1.2}
    texts = ["make it winter", "make the house red"]
    expected = TrainedEditor(module).edit(images, texts, **options)
    for editor in (
        TrainedEditor.from_checkpoint(tmp_path / "last.ckpt"),
        TrainedEditor.from_pretrained(tmp_path / "folder"),
    ):
        result = editor.edit(images, texts, **options)
        assert [image.tobytes() for image in result.images] == [image.tobytes() for image in expected.images]
        assert result.expressive_instructions == expected.expressive_instructions


def test_half_precision(tmp_path: Path) -> None:
    module = tiny_module(MGIE)
    export(module, tmp_path)
    editor = TrainedEditor.from_pretrained(tmp_path, 16, dtype=torch.bfloat16)
    assert editor.module.dtype == torch.bfloat16
    (half,) = editor.edit([picture()], ["make it winter"], steps=1).images
    assert half.size == (16, 16)


def test_module_is_left_in_evaluation_mode() -> None:
    module: EditingModule = tiny_module(denoiser=UNET).train()
    TrainedEditor(module)
    assert not module.training


def test_an_editor_computes_in_its_arithmetic_and_nothing_else_does(editor: TrainedEditor) -> None:
    short = TrainedEditor(editor.module, resolution=16, precision="bf16-mixed")
    pairs = tiny_batch(size=16)
    images = [to_pil(image) for image in pairs.original_image]
    edits = [
        torch.stack([to_tensor(result.image) for result in each.edit(images, pairs.instruction, steps=2)])
        for each in (editor, short)
    ]
    assert not torch.equal(*edits)
    torch.testing.assert_close(*edits, atol=0.1, rtol=0)
    (alone,) = short.edit(images[:1], pairs.instruction[:1], steps=2)
    assert torch.equal(edits[1][0], to_tensor(alone.image)), "a result does not depend on its batch"
    sweep = GuidanceSweep(short, [1.0], [1.0], steps=2)
    for _ in sweep.pictures(pairs, 0):
        assert not torch.is_autocast_enabled("cpu"), "metrics would be taken in bfloat16"
    assert sweep.provenance()["precision"] == editor_facts(short, {})["precision"] == "bf16-mixed"
