"""Edits of the open level held against the whole distribution of right answers, which the renderer knows.

An editor answers each instruction several times, with other seeds; what it gives is compared with right answers that
are drawn for the purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ip2p_lightning.metrics.right_answers import (
    brought_about,
    detail,
    distances,
    error_where_kept,
    nearest_relative_to_fresh,
    open_region,
    precision_and_recall,
    relative_entropy,
    speckle,
)
from ip2p_lightning.world.open.attributes import alternatives
from ip2p_lightning.world.open.drawing import draw
from ip2p_lightning.world.open.edits import OpenChange, answers
from ip2p_lightning.world.open.scene import OpenScene, Thing

Reader = Callable[[Tensor], list[dict[str, str]]]
"""A judge: what each of [M, 3, H, W] shows (`metrics.encoders.JudgeReader.read`)."""
_OPEN = ("kind", "sprite", "side", "size", "colour", "flipped")


@dataclass(frozen=True)
class OpenCase:
    """One instruction with right answers, some of them kept apart as fresh ones.

    Args:
        change: the edit.
        original: [3, H, W] in [-1, 1].
        scenes: K right answers.
        answers: [K, 3, H, W] their images.
        fresh: [N, 3, H, W] other right answers.
        fresh_scenes: their scenes.
    """

    change: OpenChange
    original: Tensor
    scenes: Sequence[OpenScene]
    answers: Tensor
    fresh: Tensor
    fresh_scenes: Sequence[OpenScene]

    @classmethod
    def draw(cls, change: OpenChange, number: int = 32, fresh: int = 16, size: int = 64, seed: int = 0) -> OpenCase:
        """Draw the right answers to an edit of scenes.

        Raises:
            ValueError: an edit of the image itself, which has one right answer.
        """
        if change.picture_edit is not None:
            raise ValueError(f"{change.instruction!r} edits the image itself and leaves nothing open; compare pixels")
        known, other = answers(change, number, seed), answers(change, fresh, seed + 1)
        return cls(change, _stack([change.before], size)[0], known, _stack(known, size), _stack(other, size), other)


def score(case: OpenCase, images: Tensor, judge: Reader | None = None) -> dict[str, float]:
    """Quality of an editor's images for one instruction.

    Args:
        case: the instruction and its right answers.
        images: [M, 3, H, W] in [-1, 1], made with M seeds; more than three for precision and recall.
        judge: reads attributes, for "success"; None leaves it out.

    Returns:
        "kept" (grey levels where nothing may change), "nearest" (distance to the nearest right answer relative to a
        fresh one's), "detail" and "speckle" (Laplacian energies relative to the nearest right answer's), "precision",
        "recall", "entropy: NAME" for each open value of what is new (relative to the renderer's), and "success". NaN
        where one does not apply.
    """
    region = open_region(case.original, torch.cat([case.answers, case.fresh]))
    near = distances(images, case.answers, region).argmin(1).tolist()
    usual = distances(case.fresh, case.answers, region).argmin(1).tolist()
    precision, recall = precision_and_recall(images, case.answers, region)
    found = {
        "kept": error_where_kept(images, case.original, torch.cat([case.answers, case.fresh])).mean().item(),
        "nearest": nearest_relative_to_fresh(images, case.answers, case.fresh, region).mean().item(),
        "detail": detail(images, case.answers, region).mean().item(),
        "speckle": speckle(images, case.answers, region).mean().item(),
        "precision": precision,
        "recall": recall,
    }
    for name in _OPEN:
        ours, right = ([_value(case, index, name) for index in chosen] for chosen in (near, usual))
        found[f"entropy: {name}"] = relative_entropy(ours, right)
    if judge is not None:
        right_ones = alternatives(case.change)
        found["success"] = sum(brought_about(reading, right_ones) for reading in judge(images)) / len(images)
    return found


def score_all(
    cases: Sequence[OpenCase], edit: Callable[[OpenCase], Tensor], judge: Reader | None = None
) -> list[dict[str, float]]:
    """`score` of each case, with the images that ``edit`` makes for it; for `metrics.bootstrap` and tables by kind."""
    return [score(case, edit(case), judge) for case in cases]


def _value(case: OpenCase, index: int, name: str) -> Any:
    """One open value of the new things in an answer, in the order of their sides."""
    new: list[Thing] = [thing for thing in case.scenes[index].things if thing not in case.change.kept.things]
    return tuple(getattr(thing, name) for thing in sorted(new, key=lambda thing: (thing.side, thing.kind)))


def _stack(scenes: Sequence[OpenScene], size: int) -> Tensor:
    images = np.stack([np.asarray(draw(scene, size)) for scene in scenes])
    return torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1
