"""Each line of an instruction is edited on what the line before left."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import EditResult
from ip2p_lightning.editors.turn_by_turn import TurnByTurn


class Brighter(Editor):
    """Adds the number that an instruction holds, and writes it down."""

    def edit_prepared(self, requests, on_step=None):
        return [EditResult(r.image + float(r.instruction), r, f"+{r.instruction}") for r in requests]


def edited(texts: list[str]) -> tuple[Tensor, list[str]]:
    result = TurnByTurn(Brighter()).edit(torch.zeros(len(texts), 3, 4, 4), texts, seeds=list(range(len(texts))))
    return result.images, result.expressive_instructions


def test_turns_add_up_for_sessions_of_any_length():
    images, written = edited(["0.1\n0.2\n0.4", "0.5", "0.1\n\n0.1"])
    assert torch.allclose(images.mean((1, 2, 3)), torch.tensor([0.7, 0.5, 0.2]))
    assert written == ["+0.1\n+0.2\n+0.4", "+0.5", "+0.1\n+0.1"]


def test_a_session_does_not_depend_on_the_others():
    alone, _ = edited(["0.1\n0.2"])
    together, _ = edited(["0.5", "0.1\n0.2"])
    assert torch.equal(alone[0], together[1])


def test_pil_pictures():
    pictures = [Image.new("RGB", (5, 4)), Image.new("RGB", (3, 2))]
    assert TurnByTurn(CopyInput()).edit(pictures, ["a\nb", "c"]).images == pictures
