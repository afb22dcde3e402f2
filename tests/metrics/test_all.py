"""What every metric must say of the truth and of leaving the picture alone, whatever the batch size."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ip2p_lightning import metrics as package
from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import (
    L1,
    L2,
    PSNR,
    SSIM,
    AttributeSuccess,
    CaptionSimilarity,
    ChangedRegionError,
    CloserThanInput,
    CopyRate,
    DirectionSimilarity,
    EditMetric,
    ErrorHalved,
    ImageSimilarity,
    InputSimilarity,
    InRegion,
    KeptRegionError,
    RelativeError,
)
from ip2p_lightning.metrics.encoders import JudgeReader, OpenClipEncoder, TimmEncoder
from ip2p_lightning.metrics.judged import JudgedEdit
from ip2p_lightning.metrics.judges.vlm_judge import Question, VLMJudge
from ip2p_lightning.metrics.perceptual import LPIPS
from ip2p_lightning.metrics.structure import IDENTICAL

OTHER = math.nan
"""A value that no rule fixes."""
# name -> (of copying the input, of the truth); in these scenes pixels outside the mask are the same before and after
EXPECTED: dict[str, tuple[float, float]] = {
    "L1": (OTHER, 0),
    "L2": (OTHER, 0),
    "PSNR": (OTHER, IDENTICAL),
    "SSIM": (OTHER, 1),
    "ChangedRegionError": (OTHER, 0),
    "KeptRegionError": (0, 0),
    "RelativeError": (1, 0),
    "CloserThanInput": (0, 1),
    "ErrorHalved": (0, 1),
    "CopyRate": (1, 0),
    "LPIPS": (OTHER, 0),
    "ImageSimilarity": (OTHER, 1),
    "DINO": (OTHER, 1),
    "InputSimilarity": (1, OTHER),
    "CaptionSimilarity": (OTHER, OTHER),
    "DirectionSimilarity": (0, OTHER),
    "brought about": (0, 1),
    "all brought about": (0, 1),
    "attributes kept": (1, 1),
    "success": (0, 1),
    "LPIPS changed": (OTHER, 0),
    "LPIPS kept": (0, 0),
    "SSIM changed": (OTHER, 1),
    "SSIM kept": (1, 1),
    "CLIP changed": (OTHER, 1),
    "CLIP kept": (1, 1),
    "SC": (0, 10),
    "PQ": (10, 10),
    "overall": (0, 10),
}


class Knows:
    """Marks as one who knows the truth of each original would: copies are not done, true pictures are all done."""

    name = "knows"

    def __init__(self, pairs: PairBatch) -> None:
        originals, truths = ([to_pil(one) for one in side] for side in (pairs.original_image, pairs.edited_image))
        self.truth = {one.tobytes(): other.tobytes() for one, other in zip(originals, truths, strict=True)}

    def fingerprint(self) -> str:
        return "knows 1"

    def answer(self, questions: Sequence[Question]) -> list[str]:
        return [json.dumps({"reason": "", "marks": self.marks(question)}) for question in questions]

    def marks(self, question: Question) -> tuple[int, int]:
        before, after = (picture.tobytes() for picture in (question.pictures[0], question.pictures[-1]))
        if len(question.pictures) == 1:
            return 10, 10 if after in {*self.truth, *self.truth.values()} else 4
        return 10 if after == self.truth[before] else 0 if after == before else 5, 10


@pytest.fixture(scope="module")
def every(
    clip: OpenClipEncoder, dino: TimmEncoder, judge: JudgeReader, alexnet_file: Path, scenes: PairBatch
) -> dict[str, EditMetric]:
    model = VLMJudge(Knows(scenes))
    lpips = LPIPS(backbone=alexnet_file)
    plain = (L1, L2, PSNR, SSIM, ChangedRegionError, KeptRegionError, RelativeError, CloserThanInput, ErrorHalved)
    return {
        **{metric.__name__: metric() for metric in (*plain, CopyRate)},
        "LPIPS": lpips,
        "ImageSimilarity": ImageSimilarity(clip),
        "DINO": ImageSimilarity(dino, "DINO"),
        "InputSimilarity": InputSimilarity(clip),
        "CaptionSimilarity": CaptionSimilarity(clip),
        "DirectionSimilarity": DirectionSimilarity(clip),
        "brought about": AttributeSuccess(judge, "changed"),
        "all brought about": AttributeSuccess(judge, "changed", whole=True),
        "attributes kept": AttributeSuccess(judge, "kept"),
        "success": AttributeSuccess(judge, "both", whole=True),
        **{f"LPIPS {region}": InRegion(lpips, region) for region in ("changed", "kept")},  # type: ignore[arg-type]
        **{f"SSIM {region}": InRegion(SSIM(), region) for region in ("changed", "kept")},  # type: ignore[arg-type]
        **{f"CLIP {region}": InRegion(ImageSimilarity(clip), region) for region in ("changed", "kept")},  # type: ignore[arg-type]
        "SC": JudgedEdit(model, "sc"),
        "PQ": JudgedEdit(model, "pq"),
        "overall": JudgedEdit(model, "overall"),
    }


@pytest.fixture
def judged(scenes: PairBatch, judge: JudgeReader) -> PairBatch:
    """The scenes with attributes as a judge that never errs would read them: its own readings."""
    before, after = judge.read(scenes.original_image), judge.read(scenes.edited_image)
    after = [reading | {"time": "dawn" if reading["time"] != "dawn" else "day"} for reading in after]  # some change
    sides = [{"original": one, "edited": other} for one, other in zip(before, after, strict=True)]
    return replace(scenes, metadata=[{"attributes": side} for side in sides])


def part(pairs: PairBatch, rows: slice) -> PairBatch:
    given = {name: value for name, value in vars(pairs).items() if name != "cached" and value is not None}
    return PairBatch(**{name: value[rows] for name, value in given.items()})


def test_every_exported_metric_is_here(every: dict[str, EditMetric]) -> None:
    classes = {type(metric) for metric in every.values()}
    exported = {value for value in vars(package).values() if isinstance(value, type) and issubclass(value, EditMetric)}
    assert exported - classes == {EditMetric}
    assert set(every) == set(EXPECTED)


def test_the_no_op_and_the_truth(every: dict[str, EditMetric], judged: PairBatch) -> None:
    truth, wrong = judged.edited_image, []
    for name, metric in every.items():
        if isinstance(metric, AttributeSuccess):
            continue
        for images, expected in zip((judged.original_image, truth), EXPECTED[name], strict=True):
            values = metric.measure(images, judged)
            assert values.shape == (6,), name
            if not math.isnan(expected) and not torch.allclose(values, torch.full((6,), float(expected)), atol=1e-5):
                wrong.append((name, expected, values))
        if math.isnan(EXPECTED[name][1]):  # then a table shows the truth's value beside
            assert metric.ceiling, name
    assert not wrong


def test_the_no_op_and_the_truth_before_a_judge_that_never_errs(scenes: PairBatch, judge: JudgeReader) -> None:
    before, after = judge.read(scenes.original_image), judge.read(scenes.edited_image)
    differ = [one != other for one, other in zip(before, after, strict=True)]
    assert any(differ)
    sides = [{"original": one, "edited": other} for one, other in zip(before, after, strict=True)]
    pairs = replace(scenes, metadata=[{"attributes": side} for side in sides])
    for of in ("changed", "kept", "both"):
        for whole in (False, True):
            metric = AttributeSuccess(judge, of, whole)  # type: ignore[arg-type]
            truth = metric.measure(pairs.edited_image, pairs)
            copied = metric.measure(pairs.original_image, pairs)
            known = ~truth.isnan()
            assert (truth[known] == 1).all()
            assert known.tolist() == (differ if of == "changed" else [True] * 6)
            if of == "kept":
                assert (copied == 1).all()
            elif of == "changed":
                assert (copied[known] == 0).all()
            elif whole:
                assert (copied == torch.tensor([float(not changed) for changed in differ])).all()


def test_the_batch_size_does_not_matter(every: dict[str, EditMetric], judged: PairBatch) -> None:
    generator = torch.Generator().manual_seed(1)
    images = (judged.edited_image + 0.2 * torch.randn(judged.edited_image.shape, generator=generator)).clamp(-1, 1)
    for name, metric in every.items():
        whole = metric.measure(images, judged)
        parts = [metric.measure(images[rows], part(judged, rows)) for rows in (slice(0, 1), slice(1, 4), slice(4, 6))]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5, equal_nan=True, msg=name)


def test_every_metric_says_what_it_depends_on(every: dict[str, EditMetric]) -> None:
    for name, metric in every.items():
        facts = metric.provenance()
        assert facts["metric"], name
        assert metric.label, name
        network = facts.get("encoder") or facts.get("judge") or (facts if "net" in facts else None)
        if isinstance(metric, JudgedEdit):
            assert facts["fingerprint"] == "knows 1"
        elif network is not None:
            assert len(network["sha256"]) == 16, name
    assert every["CLIP changed"].provenance()["region"] == "changed"
