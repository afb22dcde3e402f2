"""What people hand over: every kind of image, one for many, and errors with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import MGIE, seeing, tiny_module
from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.inputs import requests_of
from ip2p_lightning.editors.request import EditCancelled, Edits, Step
from ip2p_lightning.editors.trained import TrainedEditor


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))


def asked(images: Any, instructions: Any = "x", **options: Any) -> list[Any]:
    return requests_of(images, instructions, **options)


def test_every_kind_of_image_is_the_same_image(image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "a.png")
    for given in (
        image,
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        np.asarray(image),
        [image],
        np.asarray(image)[None],
    ):
        (request,) = asked(given)
        assert request.image.tobytes() == image.tobytes()
    tensor = to_tensor(image)
    for given in (tensor, tensor[None], [tensor]):
        assert torch.equal(asked(given)[0].image, tensor)


def test_one_image_takes_many_instructions_and_the_other_way_round(image: Image.Image) -> None:
    assert [request.instruction for request in asked(image, ["a", "b"])] == ["a", "b"]
    assert [request.instruction for request in asked([image, image], "a")] == ["a", "a"]
    both = asked([image, image], ["a", "b"], seeds=[4, 7], alternatives=2)
    assert [(request.instruction, request.seed) for request in both] == [("a", 4), ("a", 5), ("b", 7), ("b", 8)]
    assert [request.mask for request in asked(image, ["a", "b"], mask=image)] == [image, image]


@pytest.mark.parametrize("seed", [np.int64(3), torch.tensor(3), np.uint8(3), 3])
def test_seeds_are_integers_of_any_library(image: Image.Image, seed: Any) -> None:
    assert [request.seed for request in asked(image, ["a", "b"], seed=seed)] == [3, 3]
    assert [request.seed for request in asked(image, ["a", "b"], seeds=np.arange(2))] == [0, 1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"images": 3}, TypeError, "images are a PIL image, a path, .* got int"),
        ({"images": [None]}, TypeError, "an image is a PIL image, .* got NoneType"),
        ({"images": np.zeros((4, 4, 3))}, TypeError, r"uint8 \[H, W, 3\].*got float64 \[4, 4, 3\]; convert it"),
        ({"images": np.zeros((3, 4, 5), np.uint8)}, TypeError, r"got uint8 \[3, 4, 5\]"),
        ({"images": torch.zeros(3, 4, 4, dtype=torch.uint8)}, TypeError, "got torch.uint8; convert it"),
        ({"images": torch.full((3, 4, 4), 200.0)}, ValueError, r"lies in \[-1, 1\], got 200 to 200; scale it"),
        ({"images": torch.full((3, 4, 4), torch.nan)}, ValueError, "got nan to nan"),
        ({"images": torch.zeros(4, 4, 3)}, ValueError, r"\[3, H, W\], got \[4, 4, 3\]; permute"),
        ({"images": "missing.png"}, FileNotFoundError, "missing.png: no such"),
        ({"instructions": 3}, TypeError, "int"),
        ({"instructions": [3]}, TypeError, "an instruction is a text, got int 3"),
        ({"instructions": ["a", " "]}, ValueError, "instruction 2 of 2 is empty"),
        ({"seed": "a"}, TypeError, "seed='a' must be a whole number"),
        ({"seed": None}, TypeError, "seed=None must be a whole number"),
        ({"seed": 1.5}, TypeError, "seed=1.5 must be a whole number"),
        ({"seed": True}, TypeError, "seed=True must be a whole number"),
        ({"seed": -1}, ValueError, "seed=-1 must be between 0 and"),
        ({"seeds": [1, 2, 3]}, ValueError, "1 images, 1 instructions and 3 seeds"),
        ({"alternatives": 0}, ValueError, "alternatives=0 must be a whole number, at least 1"),
        ({"mask": Image.new("L", (3, 3))}, ValueError, "the mask is 3 x 3, the image 8 x 6"),
        ({"size": "large"}, ValueError, "size='large': choose input"),
        ({"steps": 0}, ValueError, "steps=0 must be at least 1"),
        ({"steps": 1.5}, TypeError, "steps=1.5 must be a whole number"),
        ({"text_scale": "a"}, TypeError, "text_scale='a' must be a number"),
        ({"text_scale": -3}, ValueError, "text_scale=-3 must be between 0 and 100"),
        ({"image_scale": float("nan")}, ValueError, "image_scale=nan must be between 0 and 100"),
        ({"guidance_stop": 2}, ValueError, "guidance_stop=2 must be between 0 and 1"),
        ({"guidance_scale": 3}, TypeError, "edit takes no 'guidance_scale'; its options are seed"),
        ({"ids": ["a", "b"]}, ValueError, "2 values of id for 1 edits"),
    ],
)
def test_what_is_wrong_is_named(image: Image.Image, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        requests_of(**{"images": image, "instructions": "a", **options})


def test_no_images_give_no_results() -> None:
    assert CopyInput().edit([], []) == Edits()


def test_steps_are_shown_and_a_cancelled_edit_ends_at_once(image: Image.Image) -> None:
    editor = TrainedEditor(seeing(tiny_module()), resolution=16)
    steps: list[Step] = []
    editor.edit(image, ["a", "b"], steps=3, on_step=steps.append)
    assert steps == [Step(1, 3, (0, 1)), Step(2, 3, (0, 1)), Step(3, 3, (0, 1))]
    with pytest.raises(EditCancelled, match="after step 2 of 3"):
        editor.edit(image, "a", steps=3, on_step=steps.append, cancel=lambda: len(steps) == 5)
    with pytest.raises(EditCancelled, match="before it began"):
        editor.edit(image, "a", cancel=lambda: True)


def test_a_given_expressive_instruction_takes_the_place_of_what_the_model_writes(image: Image.Image) -> None:
    editor = TrainedEditor(seeing(tiny_module(MGIE)), resolution=16)
    own = editor.edit(image, "make it winter", steps=1)
    text = own[0].expressive_instruction
    given = editor.edit(image, ["make it winter"] * 3, expressive_instruction=[text, "a house in snow", None], steps=1)
    assert [edit.expressive_instruction for edit in given] == [text, "a house in snow", text]
    assert given[0].image.tobytes() == given[2].image.tobytes() == own[0].image.tobytes()
    assert given[1].image.tobytes() != own[0].image.tobytes()
    with pytest.raises(ValueError, match="reads the instruction alone"):
        TrainedEditor(tiny_module(), 16).edit(image, "a", expressive_instruction="a house in snow")
