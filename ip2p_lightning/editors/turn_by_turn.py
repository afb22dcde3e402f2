"""Sessions of several edits: each line of an instruction is carried out on what the line before left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ip2p_lightning.editors.base import Captions, Editor, EditResult, Pictures, check_request


class TurnByTurn:
    """MagicBrush's iterative editing (multi-turn) with any editor; instructions of one line are edited once.

    Args:
        editor: carries out each line. It is given no captions, truth or ids, which are those of the whole session: an
            editor that reads captions (SDEdit, Prompt-to-Prompt, Text2LIVE) says that it needs them.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    @property
    def pipeline(self) -> Any:
        """The editor's, whose networks can be moved to a device; None if it has none."""
        return getattr(self.editor, "pipeline", None)

    def edit(
        self,
        images: Pictures,
        instructions: Sequence[str],
        *,
        seeds: Sequence[int] | int = 0,
        text_scale: float | None = None,
        image_scale: float | None = None,
        steps: int | None = None,
        captions: Sequence[Captions] | None = None,
        truth: Pictures | None = None,
        ids: Sequence[str] | None = None,
    ) -> EditResult[Pictures]:
        """See `Editor.edit`; expressive instructions come on a line each, too.

        All turns of a picture use its seed, as MagicBrush's script does.
        """
        each = check_request(images, instructions, seeds)
        lines = [[line for line in text.splitlines() if line.strip()] for text in instructions]
        current: list[Any] = list(images)
        written: list[list[str]] = [[] for _ in each]
        for turn in range(max(map(len, lines), default=0)):
            places = [place for place, turns in enumerate(lines) if turn < len(turns)]
            chosen = [current[place] for place in places]
            result = self.editor.edit(
                torch.stack(chosen) if isinstance(images, Tensor) else chosen,  # type: ignore[arg-type]
                [lines[place][turn] for place in places],
                seeds=[each[place] for place in places],
                text_scale=text_scale,
                image_scale=image_scale,
                steps=steps,
            )
            for number, place in enumerate(places):
                current[place] = result.images[number]
                written[place] += result.expressive_instructions[number : number + 1]
        pictures = torch.stack(current) if isinstance(images, Tensor) and len(current) else current
        texts = ["\n".join(turns) for turns in written]
        return EditResult(pictures, texts if any(texts) else [])  # type: ignore[arg-type]
