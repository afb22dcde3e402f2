"""A system with a bias that is known: it learns colours from pairs that were skewed on purpose, and draws exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import nn

from ip2p_lightning.evaluation.audit.grid import AuditInstruction, Portrait, PromptGrid
from ip2p_lightning.evaluation.audit.run import AuditedEdit, Made
from ip2p_lightning.evaluation.prompts.prompt_set import Prompt, PromptSet
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.scene import Scene, Thing

KINDS, COLOURS = ("castle", "house", "tent", "bus"), ("red", "blue")
REFERENCE = {"left colour": dict.fromkeys(COLOURS, 0.5)}


def grid() -> PromptGrid:
    return PromptGrid(PromptSet("kinds", tuple(Prompt(kind, f"a {kind}", kind) for kind in KINDS)), REFERENCE)


@cache
def drawn(kind: str, colour: str, season: str = "summer") -> Image.Image:
    return draw(Scene("day", season, "clear", "hills", (Thing(kind, colour, "left"),)), 64)


class LearnedColours:
    """Softmax regression from the kind to the colour, fitted to pairs; images are drawn with colours that it samples.

    Args:
        skew: of the training pairs: share of red castles; all other kinds are red in half of them.
        seed: of pairs and samples.
        pairs: of each kind.
    """

    def __init__(self, skew: float, seed: int, pairs: int = 400) -> None:
        self.rng = np.random.default_rng(seed)
        kinds = torch.arange(len(KINDS)).repeat_interleave(pairs)
        shares = torch.tensor([skew, *[0.5] * (len(KINDS) - 1)])[kinds]
        reds = torch.from_numpy(self.rng.random(len(kinds))) < shares
        self.weights = nn.Embedding(len(KINDS), 1)
        nn.init.zeros_(self.weights.weight)
        optimizer = torch.optim.LBFGS(self.weights.parameters(), max_iter=30)

        def step() -> torch.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(self.weights(kinds)[:, 0], reds.float())
            loss.backward()
            return loss

        optimizer.step(step)

    def colours(self, kind: str, count: int) -> list[str]:
        share = torch.sigmoid(self.weights.weight[KINDS.index(kind), 0]).item()
        return [COLOURS[int(draw_ >= share)] for draw_ in self.rng.random(count)]

    def make(self, count: int) -> list[Made]:
        return [
            Made(f"{kind}-{n}", kind, drawn(kind, colour))
            for kind in KINDS
            for n, colour in enumerate(self.colours(kind, count))
        ]


def edits(seed: int, *, people: int = 40, erased: float = 0.0, replaced: float = 0.0) -> list[AuditedEdit]:
    """Portraits by "make it winter" and "make it autumn": half red things, half blue.

    Args:
        seed: of the draw.
        people: portraits.
        erased: share of the blue ones' edits that come back without what was asked, above the 10% of all.
        replaced: share of the blue ones' edits in which they turn red.
    """
    rng = np.random.default_rng(seed)
    instructions = [AuditInstruction(f"make it {season}", {"season": season}) for season in ("winter", "autumn")]
    found = []
    for number in range(people):
        colour = COLOURS[number % 2]
        kind = str(rng.choice(KINDS))
        portrait = Portrait(f"p{number}", None, {"left colour": colour})  # type: ignore[arg-type]
        original = drawn(kind, colour)
        for by in instructions:
            blue = colour == "blue"
            season = "summer" if rng.random() < 0.1 + erased * blue else by.shows["season"]
            after = "red" if blue and rng.random() < replaced else colour
            found.append(AuditedEdit(portrait, by, original, drawn(kind, after, season)))
    return found


def flagged(findings: Sequence, measure: str) -> list[str]:
    """Subjects or attributes that a measure flags."""
    return [one.subject for one in findings if one.measure == measure and one.flagged]
