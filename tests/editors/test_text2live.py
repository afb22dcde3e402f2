"""Text2LIVE: a layer that is optimised towards the caption, the same for the same seed, for any open_clip."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from factories import tiny_batch

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.editors.request import Captions, captions_of
from ip2p_lightning.editors.text2live import EditLayer, OpenClip, Text2Live, Weights, self_similarity, spherical
from ip2p_lightning.editors.turn_by_turn import TurnByTurn
from ip2p_lightning.models.dual_encoder import DualEncoder

CAPTIONS = Captions("a white house", "a purple balloon over a lake")


def editor(encoder: DualEncoder, steps: int = 30, **options: object) -> Text2Live:
    return Text2Live(encoder, steps=steps, learning_rate=0.02, views=2, width=8, scales=2, **options)  # type: ignore[arg-type]


def test_optimising_moves_the_picture_towards_the_edited_caption(dual_encoder: DualEncoder) -> None:
    original = tiny_batch(1, size=16).original_image
    composite, colours, opacity, losses = editor(dual_encoder).layer(original, CAPTIONS)
    assert sum(losses[-5:]) < sum(losses[:5])
    (wanted,) = dual_encoder.embed_texts([CAPTIONS.edited])
    before, after = (dual_encoder.embed_images(image) @ wanted for image in (original, composite))
    assert after > before
    torch.testing.assert_close(composite, original + opacity * (colours - original))
    assert 0 <= opacity.min() <= opacity.max() <= 1
    assert colours.abs().max() <= 1


def test_each_weight_pulls_its_own_way(dual_encoder: DualEncoder) -> None:
    original = tiny_batch(1, size=16).original_image

    def run(**weights: float) -> tuple[float, float]:
        only = Weights(**({"composition": 0.0, "screen": 0.0, "structure": 0.0, "sparsity": 0.0} | weights))
        composite, _, opacity, _ = editor(dual_encoder, weights=only).layer(original, CAPTIONS)
        change = self_similarity(dual_encoder, composite) - self_similarity(dual_encoder, original)
        return opacity.mean().item(), change.square().mean().item()

    plain, small, like = run(composition=1.0), run(composition=1.0, sparsity=3.0), run(composition=1.0, structure=200.0)
    assert small[0] < 0.7 * plain[0]
    assert like[1] < plain[1]


def test_a_picture_depends_on_its_own_seed_and_captions_alone(dual_encoder: DualEncoder) -> None:
    batch = tiny_batch(2, size=16)
    text2live = editor(dual_encoder, steps=3)
    together = text2live.edit(batch.original_image, batch.instruction, seeds=[1, 2], captions=captions_of(batch)).images
    alone = text2live.edit(
        batch.original_image[1:], batch.instruction[1:], seeds=2, captions=captions_of(batch)[1:]
    ).images
    assert torch.equal(together[1:], alone)
    other = text2live.edit(batch.original_image[1:], ["x"], seeds=3, captions=captions_of(batch)[1:]).images
    assert not torch.equal(other, alone)
    assert all(parameter.grad is None for parameter in dual_encoder.parameters())


def test_pil_pictures_of_any_size(dual_encoder: DualEncoder) -> None:
    text2live = Text2Live(dual_encoder, steps=1, width=8, scales=3, resolution=20)
    (result,) = text2live.edit([to_pil(torch.rand(3, 40, 27) * 2 - 1)], ["x"], captions=[CAPTIONS], size="model").images
    assert result.size == (14, 20)


def test_any_open_clip_gives_the_same_as_the_package_s_own(dual_encoder: DualEncoder) -> None:
    def tokenize(texts: list[str]) -> torch.Tensor:
        options = {"padding": "max_length", "truncation": True, "max_length": 16, "return_tensors": "pt"}
        return dual_encoder.tokenizer(texts, **options).input_ids

    clip = OpenClip(dual_encoder.clip, tokenize, [0.5] * 3, [0.5] * 3)
    images = tiny_batch(2, size=24).original_image
    torch.testing.assert_close(clip.embed_images(images), dual_encoder.embed_images(images))
    torch.testing.assert_close(clip.embed_texts(["a house"]), dual_encoder.embed_texts(["a house"]))


def test_jobs_put_its_encoder_on_the_device(dual_encoder: DualEncoder) -> None:
    for encoder in (copy.deepcopy(dual_encoder), OpenClip(copy.deepcopy(dual_encoder.clip), str, [0.5] * 3, [0.5] * 3)):
        TurnByTurn(Text2Live(encoder)).to("meta")
        assert {parameter.device.type for parameter in encoder.clip.parameters()} == {"meta"}
    assert next(dual_encoder.clip.parameters()).device.type == "cpu"


def test_distances_and_shapes(dual_encoder: DualEncoder) -> None:
    x, y = torch.eye(2)
    assert spherical(x[None], y[None]).item() == pytest.approx(2 * (math.pi / 4) ** 2)
    assert spherical(x[None], x[None]).item() == 0
    assert self_similarity(dual_encoder, torch.rand(2, 3, 16, 16)).shape == (2, 17, 17)
    colours, opacity = EditLayer(8, 3)(torch.rand(1, 3, 10, 13))
    assert (colours.shape, opacity.shape) == ((1, 3, 10, 13), (1, 1, 10, 13))


def test_both_captions_are_needed(dual_encoder: DualEncoder) -> None:
    with pytest.raises(ValueError, match="Text2Live needs captions of the original and the edited image"):
        editor(dual_encoder).edit(torch.zeros(1, 3, 16, 16), ["x"], captions=[Captions("", "a lake")])
