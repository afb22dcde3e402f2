"""Pairs are those of diffusers' pipeline where nothing is shared, and those of pairs made alone where much is."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from generation.pairs_factory import LONGER, STEPS, TRIPLE, tiny_pipeline
from omegaconf import OmegaConf
from torch import Tensor

from ip2p_lightning.config import build, config_dir
from ip2p_lightning.generation.base import Candidate, Draw, EditTriple, PreviewingPairMaker
from ip2p_lightning.generation.filter import defect
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker, euler_ancestral

CLOSE = {"atol": 2e-5, "rtol": 0}


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    return tiny_pipeline()


def maker(pipeline: StableDiffusionPipeline, **options) -> PromptToPromptMaker:
    return PromptToPromptMaker(pipeline, **({"steps": STEPS, "batch_size": 16} | options))


def images(pairs: list[Candidate]) -> Tensor:
    """[N, 2, 3, H, W]."""
    return torch.stack([torch.stack([pair.original_image, pair.edited_image]) for pair in pairs])


def theirs(pipeline: StableDiffusionPipeline, triple: EditTriple, candidate: Draw) -> Tensor:
    """Two independent samplings by diffusers, of the same noise."""
    before = pipeline.scheduler
    pipeline.scheduler = euler_ancestral(pipeline)
    try:
        pictures = pipeline(
            [triple.original_caption, triple.edited_caption],
            num_inference_steps=STEPS,
            guidance_scale=candidate.guidance_scale,
            generator=[torch.Generator().manual_seed(candidate.seed) for _ in range(2)],
            output_type="pt",
        ).images
    finally:
        pipeline.scheduler = before
    return pictures * 2 - 1


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_without_sharing_a_pair_is_two_samplings_of_the_pipeline(prediction):
    pipeline = tiny_pipeline(prediction_type=prediction)
    candidate = Draw(3, 0.0, 7.5)
    (pair,) = images(maker(pipeline).make(TRIPLE, [candidate]))
    torch.testing.assert_close(pair, theirs(pipeline, TRIPLE, candidate), **CLOSE)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_a_pipeline_trained_to_zero_signal(prediction):
    """As the embedded models are: trailing steps, no signal at the last step of the schedule."""
    options = {"prediction_type": prediction, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    pipeline = tiny_pipeline(**options)
    candidate = Draw(3, 0.0, 2.0)
    (pair,) = images(maker(pipeline).make(TRIPLE, [candidate]))
    torch.testing.assert_close(pair, theirs(pipeline, TRIPLE, candidate), atol=5e-4, rtol=0)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_original_knows_nothing_of_the_edit(pipeline, share):
    candidate = Draw(1, share, 4.0)
    (pair,) = images(maker(pipeline).make(TRIPLE, [candidate]))
    alone = theirs(pipeline, TRIPLE, candidate)
    torch.testing.assert_close(pair[0], alone[0], **CLOSE)
    assert (pair[1] - alone[1]).abs().max() > 1e-3  # attention was shared


@pytest.mark.parametrize("options", [{}, {"cross": "refine", "cross_share": 0.6}])
def test_the_original_is_the_same_to_the_bit_whatever_is_shared(pipeline, options):
    """Pairs made alone are batches of one layout, in which p changes nothing but who attends as whom."""
    made = maker(pipeline, **options)
    shares = [0.0, *(step / 10 for step in range(1, 10)), 1.0]
    pairs = [images(made.make(TRIPLE, [Draw(1, share, 4.0)]))[0] for share in shares]
    assert all(torch.equal(pair[0], pairs[0][0]) for pair in pairs)
    assert not torch.equal(pairs[0][1], pairs[-1][1])


def test_words_of_the_edited_caption_are_reweighted_and_others_ignored(pipeline):
    candidate = Draw(1, 0.5, 4.0)

    def made(**weights: float) -> Tensor:
        return images(maker(pipeline, cross="replace", cross_share=1.0, weights=weights).make(TRIPLE, [candidate]))[0]

    plain, stronger, weaker = made(), made(blue=4.0), made(blue=0.0)
    assert torch.equal(made(blue=1.0, snowy=9.0), plain)
    assert torch.equal(made(red=4.0), plain), "of the original alone"
    assert torch.equal(stronger[0], plain[0])
    assert min((pair[1] - plain[1]).abs().max() for pair in (stronger, weaker)) > 1e-3
    changes = {"cross": "auto", "weights": {"blue": 2}}
    built = build(OmegaConf.merge(OmegaConf.load(config_dir() / "generation/maker/tiny.yaml"), changes))
    assert built.weights == {"blue": 2}
    with pytest.raises(ValueError, match="give cross="):
        maker(pipeline, weights={"blue": 2.0})


@pytest.mark.parametrize("cross", [None, "replace", "refine"])
def test_equal_captions_give_equal_pictures(pipeline, cross):
    same = EditTriple("same", TRIPLE.original_caption, "do nothing", TRIPLE.original_caption)
    for pair in images(maker(pipeline, cross=cross).make(same, [Draw(0, 0.0, 5.0), Draw(0, 0.6, 5.0)])):
        torch.testing.assert_close(pair[0], pair[1], **CLOSE)


def test_candidates_made_together_are_those_made_alone():
    """Whatever shares a seed, a guidance scale, a call of the denoiser or nothing."""
    pipeline = tiny_pipeline().to(torch.float64)  # rounding is amplified by sharp attention and guidance
    scales = ((0, 5.0), (0, 9.0), (7, 5.0))
    candidates = [Draw(seed, share, scale) for seed, scale in scales for share in (0.0, 0.4, 0.9)][1:7]
    for options in ({}, {"batch_size": 6, "cross": "refine", "cross_share": 0.5}):
        together = images(maker(pipeline, **options).make(LONGER, candidates))
        alone = maker(pipeline, **options)
        for candidate, pair in zip(candidates, together, strict=True):
            torch.testing.assert_close(images(alone.make(LONGER, [candidate]))[0], pair, **CLOSE)


def test_shares_between_two_steps_are_the_same_and_others_are_not(pipeline):
    """Sharing stops where p <= i / (steps - 1), i = 0 ... 4."""
    shares = (0.0, 0.2, 0.25, 0.26, 0.5, 0.75, 1.0)
    edited = images(maker(pipeline).make(TRIPLE, [Draw(5, share, 5.0) for share in shares]))[:, 1]
    same = [torch.equal(a, b) for a, b in pairwise(edited)]
    assert same == [False, True, False, True, False, False]


def test_what_candidates_share_is_computed_once(pipeline):
    def calls(candidates: list[Draw], **options) -> int:
        made = maker(pipeline, **options)
        made.make(TRIPLE, candidates)
        return made.calls

    assert calls([Draw(0, 0.5, 5.0)]) == 4 * STEPS
    assert calls([Draw(0, 0.5, 1.0)]) == 2 * STEPS  # nothing to guide
    assert calls([Draw(seed, 0.5, 5.0) for seed in range(3)]) == 3 * 4 * STEPS
    # one original, one edited picture, and a branch for the last two and the last three of five steps
    assert calls([Draw(0, share, 5.0) for share in (0.4, 0.75, 1.0)]) == 2 * (2 * STEPS + 2 + 3)
    assert calls([Draw(0, 0.5, 5.0)] * 3) == 4 * STEPS


def test_pairs_that_promise_nothing_are_given_up(pipeline):
    candidates = [Draw(seed, share, 5.0) for seed in (0, 1) for share in (0.3, 0.9)]
    seen: list[list[Draw]] = []
    shares: list[float] = []

    def promising(pairs: list[Candidate], share: float) -> list[bool]:
        seen.append([pair.draw for pair in pairs])
        shares.append(share)
        return [pair.draw.seed == 1 and (len(seen) == 1 or pair.draw.share < 0.5) for pair in pairs]

    made = maker(pipeline)
    assert isinstance(made, PreviewingPairMaker)
    pairs = made.make_promising(TRIPLE, candidates, promising, at=(0.2, 0.6))
    assert [pair is not None for pair in pairs] == [False, False, True, False]
    assert shares == [0.2, 0.6]
    assert [set(row) for row in seen] == [set(candidates), set(candidates[2:])]
    whole = maker(pipeline).make(TRIPLE, candidates)
    torch.testing.assert_close(images([pairs[2]]), images([whole[2]]), **CLOSE)
    # two originals and trunks for a step; one of each for two more, with a branch in the third; then a branch alone
    assert made.calls == 2 * (4 + 2 + 3 + 2 + 2)


def test_all_may_be_given_up(pipeline):
    made = maker(pipeline)
    assert made.make_promising(TRIPLE, [Draw(0, 0.5, 5.0)], lambda pairs, share: [False], (0.2,)) == [None]
    assert made.calls == 4
    assert made.make(TRIPLE, []) == []


def test_the_last_preview_resembles_the_picture_more_than_the_first(pipeline):
    previews: list[Tensor] = []

    def look(pairs: list[Candidate], share: float) -> list[bool]:
        previews.append(images(pairs))
        return [True] * len(pairs)

    (pair,) = maker(pipeline).make_promising(TRIPLE, [Draw(0, 0.5, 5.0)], look, (0.2, 0.8))
    first, last = ((preview - images([pair])).square().mean() for preview in previews)
    assert last < first


def test_the_pipeline_is_left_as_it_was(pipeline):
    before = dict(pipeline.unet.attn_processors)
    maker(pipeline).make(TRIPLE, [Draw(0, 0.5, 5.0)])
    with pytest.raises(RuntimeError, match="stop"):
        maker(pipeline).make_promising(TRIPLE, [Draw(0, 0.5, 5.0)], _stop, (0.2,))
    assert pipeline.unet.attn_processors == before


def _stop(pairs: list[Candidate], share: float) -> list[bool]:
    raise RuntimeError("stop")


def test_broken_weights_give_pictures_that_are_recognised():
    pipeline = tiny_pipeline()
    pipeline.unet.conv_out.bias.data.fill_(float("nan"))
    (pair,) = maker(pipeline).make(TRIPLE, [Draw(0, 0.5, 5.0)])
    assert defect(pair.original_image) == "not finite"
    pipeline = tiny_pipeline()
    pipeline.vae.decoder.conv_out.weight.data.zero_()
    pipeline.vae.decoder.conv_out.bias.data.fill_(-2.0)
    (pair,) = maker(pipeline).make(TRIPLE, [Draw(0, 0.5, 5.0)])
    assert defect(pair.edited_image) == "one colour"
    assert defect(torch.rand(3, 8, 8)) == ""


def test_other_schedulers_and_sizes(pipeline):
    ddim = maker(pipeline, scheduler=DDIMScheduler.from_config(pipeline.scheduler.config), size=24)
    (pair,) = ddim.make(TRIPLE, [Draw(0, 0.5, 5.0)], steps=2)
    assert pair.original_image.shape == (3, 24, 24)
    assert ddim.calls == 8
    with pytest.raises(ValueError, match="DPMSolverMultistepScheduler remembers earlier steps"):
        maker(pipeline, scheduler=DPMSolverMultistepScheduler())


@pytest.mark.parametrize(("options", "message"), [({"steps": 0}, "steps=0"), ({"batch_size": 3}, "batch_size=3")])
def test_settings_that_cannot_work(pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        maker(pipeline, **options)
