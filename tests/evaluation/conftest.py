"""An evaluation of real pairs by an editor whose quality is set: it knows the truth and goes part of the way there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditRequest, EditResult
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.metrics import (
    L1,
    ChangedRegionError,
    CloserThanInput,
    CopyRate,
    EditMetric,
    ErrorHalved,
    KeptRegionError,
    RelativeError,
)
from ip2p_lightning.metrics.strength import TrueChange


class PartWay(Editor):
    """Goes a share of the way from the input to the truth, which differs by kind, and adds noise by the seed."""

    name = "part_way"

    def __init__(
        self, pairs: PairSource, share: dict[str, float] | float = 0.7, noise: float = 0.05, texts: bool = True
    ):
        self.truth: dict[bytes, EditPair] = {}
        for index in range(len(pairs)):
            pair = pairs[index]
            self.truth[self._key(to_tensor(pair.original_image), pair.instruction)] = pair  # type: ignore[arg-type]
        self.share, self.noise, self.texts = share, noise, texts

    @staticmethod
    def _key(image: Tensor, instruction: str) -> bytes:
        return image.mul(127.5).round().to(torch.int16).numpy().tobytes() + instruction.encode()

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: Any = None) -> list[EditResult]:
        results = []
        for request in requests:
            image, instruction, seed = cast("Tensor", request.image), request.instruction, request.seed
            pair = self.truth[self._key(image, instruction)]
            share = self.share if isinstance(self.share, float) else self.share.get(pair.kind, 0.7)
            generator = torch.Generator().manual_seed(seed)
            noise = self.noise * torch.randn(image.shape, generator=generator)
            truth = to_tensor(pair.edited_image)  # type: ignore[arg-type]
            edited = (image + share * (truth - image) + noise).clamp(-1, 1)
            wrong = seed % 4 == 0
            words = pair.expressive_instruction.split()
            written = " ".join(["some", *words[1:]]) if wrong else pair.expressive_instruction
            results.append(EditResult(edited, request, written if self.texts else ""))
        return results


def all_metrics() -> dict[str, EditMetric]:
    return {
        "error": L1(255),
        "changed": ChangedRegionError(),
        "kept": KeptRegionError(),
        "relative": RelativeError(),
        "closer_than_input": CloserThanInput(),
        "error_halved": ErrorHalved(),
        "copy_rate": CopyRate(),
        "true_change": TrueChange(),
    }


@pytest.fixture(scope="session")
def metrics() -> Callable[[], dict[str, EditMetric]]:
    return all_metrics


@pytest.fixture(scope="session")
def part_way() -> type[PartWay]:
    return PartWay


@pytest.fixture(scope="session")
def scenes() -> WorldSource:
    return WorldSource(40, split="test")


@pytest.fixture(scope="session")
def scene_result(scenes: WorldSource) -> EvaluationResult:
    share = {"remove": -0.2, "replace": 0.05, "time": 0.9}
    editor = PartWay(scenes, share)
    return evaluate(
        editor, scenes, all_metrics(), name="scenes it has never seen", kept=ExampleSelection(8, 4, kinds=3)
    )


@pytest.fixture(scope="session")
def photo_result() -> EvaluationResult:
    photos = PhotoSource(16, split="test")
    editor = PartWay(photos, 0.8, texts=False)
    return evaluate(editor, photos, all_metrics(), name="photographs it has never seen", kept=ExampleSelection(6, 2))
